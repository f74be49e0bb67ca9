"""What an Accept-Encoding field allows (RFC 9110, section 12.5.3).

Rules: a member with a malformed weight counts as absent. Without the field the RFC allows every coding; we allow only
identity then, because a client that does not send the field does not decode either.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

_MEMBER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}
_SHORT = 128
_UNLISTED_IDENTITY = 0.0005  # acceptable, but less than anything the client took the trouble to name


def negotiate(accept_encoding: bytes | None, offered: Sequence[str]) -> str | None:
    """The acceptable coding of `offered` with the highest weight, the earlier among equals; None if there is none."""
    weights = _weights(accept_encoding)
    best, best_weight = None, 0.0
    for coding in offered:
        weight = _weight(weights, coding)
        if weight > best_weight:
            best, best_weight = coding, weight
    return best


def acceptable(accept_encoding: bytes | None, coding: str) -> bool:
    """True when the client takes `coding`; of several codings in a row ("gzip, br") it must take each."""
    weights = _weights(accept_encoding)
    return all(_weight(weights, part.strip()) > 0 for part in coding.split(","))


def _weights(accept_encoding: bytes | None) -> Mapping[str, float]:
    """Clients send the same few fields again and again; long ones are not worth remembering."""
    return _known(accept_encoding) if len(accept_encoding or b"") <= _SHORT else _read(accept_encoding)


def _read(accept_encoding: bytes | None) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for member in (accept_encoding or b"").split(b","):
        match = _MEMBER.fullmatch(member.strip(b" \t"))
        if match is not None:
            weights[_canonical(match[1].decode())] = 1.0 if match[2] is None else float(match[2])
    return weights


_known = lru_cache(maxsize=256)(_read)


def _weight(weights: Mapping[str, float], coding: str) -> float:
    name = _canonical(coding)
    weight = weights.get(name, weights.get("*"))
    if weight is None:
        return _UNLISTED_IDENTITY if name == "identity" else 0.0
    return weight


def _canonical(coding: str) -> str:
    name = coding.lower()
    return _ALIASES.get(name, name)
