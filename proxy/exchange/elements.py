"""Embeddings by element: a request as its single inputs, and an answer as its single vectors.

Rules: pure, like everything that a provider's file says. Inputs and vectors are raw JSON, copied byte for byte and
never read as numbers. A dialect takes apart only what it knows in every member: an unknown option may make one vector
depend on another input, so such a request, or such an answer, stays whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from proxy.exchange.canonical import canonical_json, length_prefixed
from proxy.exchange.provider import Operation


@dataclass(frozen=True, slots=True)
class Element:
    """One input. `raw`: as it was sent. `canonical`: equal for equal inputs. `weight`: its likely share of tokens."""

    raw: bytes = field(repr=False)
    canonical: bytes = field(repr=False)
    weight: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request taken apart. `frame`: everything that is not an input, in canonical form."""

    elements: tuple[Element, ...]
    frame: bytes = field(repr=False)
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)

    def with_elements(self, raws: Iterable[bytes]) -> bytes:
        """The same request for other inputs."""
        return b"".join((self.before, b"[", b",".join(raws), b"]", self.after))


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer taken apart. `values`: what belongs to each input, in the order of the inputs. `tokens`: as reported
    for all of them; None when it reports none. `template`: the rest of the answer."""

    values: tuple[bytes, ...] = field(repr=False)
    tokens: int | None
    template: bytes = field(repr=False)


class ElementDialect(Protocol):
    """How one provider writes arrays of inputs and their answers."""

    @property
    def most(self) -> int:
        """The most inputs that the provider takes in one call."""
        ...

    @property
    def is_known(self) -> bool:
        """False where servers differ: inputs of several callers are then sent together only after an answer of the
        same kind could be read."""
        ...

    def split(self, raw: bytes) -> Asked | None:
        """The request taken apart; None when it must stay whole."""
        ...

    def read(self, raw: bytes, count: int) -> Answered | None:
        """The answer to `count` inputs taken apart; None when it is not fully understood."""
        ...

    def assemble(self, template: bytes, values: Sequence[bytes], tokens: int | None) -> bytes:
        """An answer as the provider would have written it."""
        ...

    def lasting(self, template: bytes) -> bytes:
        """What of a template must be equal for vectors to belong together: not what is new in each answer."""
        ...


@runtime_checkable
class ByElement(Protocol):
    """A provider that can take embeddings apart."""

    def element_dialect(self, operation: Operation, path: str) -> ElementDialect | None:
        """How, for this operation; None when it cannot."""
        ...


def frame_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The canonical form of the members that are no input."""
    return length_prefixed(
        part for name, raw in sorted(members) for part in (name.encode("utf-8", "surrogatepass"), canonical_json(raw))
    )


def shared_out(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts that are proportional to the weights and add up to it exactly (largest remainder)."""
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
        for at in by_remainder[:left]:
            parts[at] += 1
    return parts
