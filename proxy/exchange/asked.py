"""What a caller asks of Skinflint itself, in request fields that never reach the origin. Pure.

    x-skinflint-cache: off | read | write | refresh
    x-skinflint-ttl: 600               seconds that the answer is fresh, instead of the policy's
    x-skinflint-tag: nightly, eval     words by which it can be invalidated
    x-skinflint-namespace: team-a      answers of one namespace are never given in another
    x-skinflint-seed: 17               which of several kept answers (cache.buckets); the same seed, the same answer

A field that cannot be meant is refused, with what it may be: a misspelt wish that is ignored would cost money.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from proxy.exchange.errors import Refusal
from proxy.exchange.headers import HeaderList

_PREFIX: Final = b"x-skinflint-"
_MOST_TTL_S: Final = 31_536_000
_MOST_TAGS: Final = 16
_MOST_SEED_BYTES: Final = 64
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class Mode(Enum):
    """What may become of the cache for one call."""

    DEFAULT = "default"  # read and written
    OFF = "off"  # neither
    READ = "read"  # its answer is not stored
    WRITE = "write"  # not answered from the cache; its answer is stored
    REFRESH = "refresh"  # as WRITE, and it joins no call that is under way


@dataclass(frozen=True, slots=True)
class Asked:
    """See the module; what was not asked has its default."""

    mode: Mode = Mode.DEFAULT
    ttl_s: float | None = None
    tags: tuple[str, ...] = ()
    namespace: str = ""
    seed: str = ""


NOTHING: Final = Asked()
FIELDS: Final = frozenset(_PREFIX + name for name in (b"cache", b"ttl", b"tag", b"namespace", b"seed"))


def asked(fields: HeaderList) -> Asked:
    """What these fields ask; only those of FIELDS are looked at. Raises Refusal (400) naming the field."""
    mode, ttl_s, namespace, seed = Mode.DEFAULT, None, "", ""
    tags: list[str] = []
    for name, raw in fields:
        value = raw.decode("latin-1").strip()
        match name.removeprefix(_PREFIX):
            case b"cache":
                mode = _mode(value)
            case b"ttl":
                ttl_s = _ttl(value)
            case b"tag":
                tags += [_word("tag", part.strip(), "comma-separated words") for part in value.split(",")]
            case b"namespace":
                namespace = _word("namespace", value, "one word")
            case b"seed":
                seed = _seed(value)
    if len(tags) > _MOST_TAGS:
        raise _refused("tag", f"at most {_MOST_TAGS} words")
    return Asked(mode, ttl_s, tuple(dict.fromkeys(tags)), namespace, seed)


def _mode(value: str) -> Mode:
    allowed = [mode.value for mode in Mode if mode is not Mode.DEFAULT]
    if value.lower() not in allowed:
        raise _refused("cache", ", ".join(allowed))
    return Mode(value.lower())


def _ttl(value: str) -> float:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) <= _MOST_TTL_S:
        raise _refused("ttl", f"whole seconds from 1 to {_MOST_TTL_S}")
    return float(value)


def _word(field: str, value: str, form: str) -> str:
    if _WORD.fullmatch(value) is None:
        raise _refused(field, f"{form} of at most 64 letters, digits and _ . : / -")
    return value


def _seed(value: str) -> str:
    if not 0 < len(value) <= _MOST_SEED_BYTES:
        raise _refused("seed", f"1 to {_MOST_SEED_BYTES} characters")
    return value


def _refused(field: str, allowed: str) -> Refusal:
    return Refusal("invalid_skinflint_field", f"x-skinflint-{field} must be: {allowed}", status=400)
