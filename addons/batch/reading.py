"""What the stage `batch` makes of a provider's answer: its parts, each with its share of tokens and of the price."""

from collections.abc import Sequence

from addons.batch.parts import Part, Plan
from proxy.exchange.elements import Answered, Element, shared_out
from proxy.exchange.headers import HeaderList, text, without
from proxy.exchange.model import UpstreamCall
from proxy.exchange.usage import Usage
from proxy.wire.coding import CodingError, decoder

# Fields that are about the very body that they came with, or about its one receiver.
_NOT_CARRIED = (b"content-encoding", b"content-length", b"etag", b"set-cookie", b"set-cookie2", b"age")


def carried(headers: HeaderList) -> HeaderList:
    """The fields of an answer that hold for what is put together from its parts too."""
    return without(headers, _NOT_CARRIED)


def read(plan: Plan, call: UpstreamCall | None, headers: HeaderList, body: bytes | None, count: int) -> Answered | None:
    """A complete answer taken apart. One that cannot be is remembered."""
    if call is None or not call.complete or body is None:
        return None
    plain = _plain(body, text(headers, b"content-encoding"))
    answered = plan.dialect.read(plain, count) if plain is not None else None
    plan.frame.was_read = answered is not None
    plan.frame.was_refused = answered is None
    return answered


def parts_of(
    answered: Answered, elements: Sequence[Element], cost: int | None, usage: Usage | None, fields: HeaderList
) -> list[Part]:
    """An answer's parts, with what each of them used and cost: exact for one alone, else by length."""
    weights = [element.weight for element in elements]
    counts = None if answered.tokens is None else shared_out(answered.tokens, weights)
    costs = shares(cost, counts or weights)
    model, tier = (usage.model, usage.service_tier) if usage is not None else ("", "")
    return [
        Part(
            value=value,
            template=answered.template,
            fields=fields,
            usage=None if counts is None else Usage(input_tokens=counts[at], model=model, service_tier=tier),
            cost_nanousd=costs[at],
        )
        for at, value in enumerate(answered.values)
    ]


def shares(cost: int | None, weights: Sequence[int]) -> Sequence[int | None]:
    """What each pays; nobody knows it of an unpriced call."""
    return [None] * len(weights) if cost is None else shared_out(cost, weights)


def _plain(body: bytes, coding: str) -> bytes | None:
    """The body without its content coding; None when that cannot be read."""
    if not coding:
        return body
    reader = decoder(coding)
    if reader is None:
        return None
    try:
        return reader.decode(body) + reader.flush()
    except CodingError:
        return None
