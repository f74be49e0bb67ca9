"""Which origins clients may ask for, by name. What their names lead to is judged where they are dialled."""

from collections.abc import Callable
from typing import Final

from config.gateway import ANY, PROVIDERS, Destinations
from config.patterns import HostPattern

type IsProvider = Callable[[str, int], bool]


class Reach:
    """One settings snapshot's rules."""

    def __init__(self, settings: Destinations, is_provider: IsProvider) -> None:
        self.is_any = ANY in settings.allow
        self._is_provider = is_provider if PROVIDERS in settings.allow else None
        self._patterns = [HostPattern.parse(text) for text in settings.allow if text not in (ANY, PROVIDERS)]

    def may_reach(self, host: str, port: int) -> bool:
        """May a client be connected with this origin?"""
        if self.is_any:
            return True
        if self._is_provider is not None and self._is_provider(host, port):
            return True
        return any(pattern.matches(host, port) for pattern in self._patterns)


EVERYWHERE: Final = Reach(Destinations(), lambda _host, _port: True)
