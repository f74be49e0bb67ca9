"""Ways to hand bytes to a codec, and to compare what came out however they were cut up."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from proxy.wire.events import Event, RequestData, RequestEnd, RequestHead, ServerCodec


def bytewise(data: bytes) -> list[bytes]:
    """Each byte alone."""
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, positions: Iterable[int]) -> Iterator[bytes]:
    """`data` cut at these positions (taken modulo its length)."""
    edges = sorted({position % (len(data) + 1) for position in positions} | {0, len(data)})
    for start, end in pairwise(edges):
        yield data[start:end]


def receive_all(codec: ServerCodec, pieces: Iterable[bytes]) -> list[Event]:
    """All events, with neighbouring pieces of a body put together."""
    events: list[Event] = []
    for piece in pieces:
        events += codec.receive(piece)
    return merged(events)


def merged(events: Sequence[Event]) -> list[Event]:
    """Events with the pieces of each body joined and placed before the body's end."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, RequestData) and isinstance(last, RequestData) and last.stream_id == event.stream_id:
            last.data += event.data
        elif isinstance(event, RequestData):
            result.append(RequestData(event.stream_id, event.data))
        else:
            result.append(event)
    return result


def head_of(events: Sequence[Event]) -> RequestHead:
    """The only head among the events."""
    (head,) = [event for event in events if isinstance(event, RequestHead)]
    return head


def body_of(events: Sequence[Event]) -> bytes:
    """The body among the events."""
    return b"".join(event.data for event in events if isinstance(event, RequestData))


def is_complete(events: Sequence[Event]) -> bool:
    """The last event ends a request."""
    return bool(events) and isinstance(events[-1], RequestEnd)
