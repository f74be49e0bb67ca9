"""Whether a request pins its sampling, so that the answer would come out the same again.

Rules: a temperature or top_p of zero takes the likeliest token each time; an integer seed asks for repeatable draws.
Any of them is enough. Numbers count, whatever their notation (0, 0.0, -0.0); booleans, strings and null do not.
Providers promise repeatability only as far as they can; the promise asked for is what the policy goes by.
"""

from proxy.exchange.provider import Json
from proxy.providers.fields import NUMBERS


def is_zero(value: object) -> bool:
    """True for a JSON number that is zero."""
    return value == 0 and isinstance(value, NUMBERS) and not isinstance(value, bool)


def has_seed(body: Json, key: str = "seed") -> bool:
    """True when `key` holds an integer."""
    value = body.get(key)
    return isinstance(value, int) and not isinstance(value, bool)


def is_deterministic(body: Json, *, seed_key: str = "seed") -> bool:
    """True when temperature or top_p is zero, or a seed is given, at the top level of `body`."""
    return is_zero(body.get("temperature")) or is_zero(body.get("top_p")) or has_seed(body, seed_key)
