"""Commands for vector sets over the process's link to Redis. What the link cannot do now is no answer."""

from proxy.fleet.link import RedisLink, RedisRefusedError, RedisUnavailableError


class LinkCommands:
    """See proxy.semantic.shared.Commands. A call waits for a search no longer than for an entry."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def command(self, *words: bytes | str | int, key: bytes) -> object:
        """None in an outage, past the deadline, and where the server refuses."""
        settings = self._link.settings
        deadline_s = settings.read_timeout_s if words[0] == "VSIM" else settings.write_timeout_s
        try:
            return await self._link.call(*words, key=key, deadline_s=deadline_s)
        except (RedisUnavailableError, RedisRefusedError):
            return None
