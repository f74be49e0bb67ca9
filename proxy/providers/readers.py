"""Readers of answers that every dialect can share: one JSON document, server-sent events, or bytes of no known shape.

Rules: what a usage object looks like comes in as small pure functions; here is only the reading. Nothing raises on
malformed input. At most 1 MiB of an answer is held: a longer JSON document is followed by its edges, a longer event
ends the search. An event that holds nothing of interest is told apart by its bytes alone and never parsed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.exchange.provider import Json
from proxy.exchange.usage import Usage
from proxy.providers.fields import parse
from proxy.providers.large_json import LargeJson
from proxy.wire.sse import SseSplitter, data_of

LIMIT_BYTES: Final = 1024 * 1024

type ReadUsage = Callable[[Json], Usage | None]
type Judge = Callable[[Json], bool]


class JsonUsageReader:
    """One JSON document. It is parsed once, when it is asked about.

    `read` finds the usage in the document; `fails` says that the document is an error in spite of being whole. `key`
    is the member to look for when the document is too large to parse.
    """

    def __init__(self, read: ReadUsage, fails: Judge, *, key: bytes = b"usage") -> None:
        self._read = read
        self._fails = fails
        self._key = key
        self._pieces: list[bytes] = []
        self._size = 0
        self._large: LargeJson | None = None
        self._document: Json | None = None
        self._is_parsed = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._large is not None:
            self._large.feed(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        self._is_parsed = False
        if self._size > LIMIT_BYTES:
            self._large = LargeJson()
            for piece in self._pieces:
                self._large.feed(piece)
            self._pieces.clear()

    def usage(self) -> Usage | None:
        """What the document reports; None while it is not whole."""
        document = self._parsed()
        return self._read(document) if document is not None else None

    def is_complete(self) -> bool:
        """True when the body is one whole JSON object that is not an error."""
        if self._large is not None:
            return self._large.is_whole()  # of this size it is an answer: errors are short
        document = self._parsed()
        return document is not None and not self._fails(document)

    def _parsed(self) -> Json | None:
        if self._large is not None:
            return self._large.edges(self._key) if self._large.is_whole() else None
        if not self._is_parsed:
            self._pieces = [b"".join(self._pieces)]
            self._document = parse(self._pieces[0])
            self._is_parsed = True
        return self._document


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What to look for in a stream of server-sent events.

    is_of_interest: told by an event's bytes; all other events are passed over. It must hold for every event that the
        functions below care for.
    read: the usage that one event reports. A later report replaces an earlier one: they are cumulative.
    ends: this event is the provider's own end of a good answer.
    fails: this event is an error; whatever follows, the answer is not complete.
    end_data: data that is no JSON and ends the stream, e.g. `[DONE]`; empty when there is none.
    may_matter: False for several events at once of which none is of interest; they are not even taken apart then. Left
        out where that cannot be told.
    """

    is_of_interest: Callable[[bytes], bool]
    read: ReadUsage
    ends: Judge
    fails: Judge
    end_data: bytes = b""
    may_matter: Callable[[bytes], bool] | None = None


class SseUsageReader:
    """Server-sent events, as a StreamShape describes them."""

    def __init__(self, shape: StreamShape) -> None:
        self._shape = shape
        self._is_of_interest = shape.is_of_interest
        self._splitter = SseSplitter(LIMIT_BYTES)
        self._usage: Usage | None = None
        self._has_ended = False
        self._has_failed = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        may_matter, splitter = self._shape.may_matter, self._splitter
        if may_matter is not None and data.endswith(b"\n\n") and splitter.is_between_events and not may_matter(data):
            return  # whole events: the next bytes begin another one
        for event in splitter.feed(data):
            if self._is_of_interest(event):
                self._take(event)

    def usage(self) -> Usage | None:
        """The last report; None once an event was too long to hold."""
        return None if self._splitter.overflowed else self._usage

    def is_complete(self) -> bool:
        """True after the stream's own end, unless there was an error or an event too long to hold."""
        return self._has_ended and not self._has_failed and not self._splitter.overflowed

    def _take(self, event: bytes) -> None:
        data = data_of(event)
        if data.strip() == self._shape.end_data:
            self._has_ended = self._has_ended or bool(self._shape.end_data)
            return
        document = parse(data)
        if document is None:
            return
        if self._shape.fails(document):
            self._has_failed = True
        elif self._shape.ends(document):
            self._has_ended = True
        self._usage = self._shape.read(document) or self._usage


class OpaqueReader:
    """Bytes without a shape: spoken audio, subtitles. There is no usage in them, and no mark at their end."""

    def __init__(self) -> None:
        self._has_bytes = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._has_bytes = self._has_bytes or bool(data)

    def usage(self) -> Usage | None:
        """Always None."""
        return None

    def is_complete(self) -> bool:
        """True once there is any byte: the message's own framing tells the rest."""
        return self._has_bytes
