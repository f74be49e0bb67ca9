"""Which rivals take part, by the names that `--against` takes, in the order of the tables."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from bench import wrk
from bench.contestants import Contestant, Mitmdump
from bench.rivals import litellm, nginx, portkey, squid
from bench.rivals.base import Work

_MAKERS: Final[Mapping[str, Callable[[Work], list[Contestant]]]] = MappingProxyType(
    {
        "mitmdump": lambda work: [Mitmdump(work)],
        "portkey": lambda work: [portkey.Portkey(work)],
        "litellm": lambda work: [litellm.LiteLlm(work)],
        "squid": lambda work: [
            squid.Squid(work, is_bumped=is_bumped) for is_bumped in ((True,) if work == "hit" else (True, False))
        ],
        "nginx": lambda work: [nginx.Nginx(work)],
    }
)
NAMES: Final = tuple(_MAKERS)


def rivals(work: Work, names: Collection[str]) -> list[Contestant]:
    """Those of `names`, set up for one kind of work; whether they are installed shows when they are started."""
    return [each for name, make in _MAKERS.items() if name in names for each in make(work)]


def versions() -> list[str]:
    """What is installed, with its version."""
    found = [each.version() for each in (portkey, litellm, squid, nginx, wrk)]
    return [version for version in found if version]
