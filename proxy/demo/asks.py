"""What the simulator is asked and what it answers: `Call` as it was received, `Ask` as the dialects read it, `Answer`.

Rules: dialects are pure functions from `Ask` to `Answer`. Text follows from a digest of the request, so that a
deterministic call is answered alike each time; identifiers follow from the call's number, so that two real calls can
always be told apart. Request JSON is read leniently: a member of the wrong type counts as absent.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import orjson

from proxy.exchange.headers import HeaderList, text
from proxy.exchange.provider import Json

JSON_TYPE: Final = b"application/json"
SSE_TYPE: Final = b"text/event-stream; charset=utf-8"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_ALPHABET: Final = bytes([_ALPHABET[byte % len(_ALPHABET)] for byte in range(256)])


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the simulator. `body` is as received, its content coding included."""

    number: int  # 1, 2, 3 ... over all connections
    host: str  # without port, lower case
    method: str
    target: str  # path and query
    headers: HeaderList
    body: bytes
    http_version: str
    connection_id: int
    at: float  # seconds since the epoch

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `streamed` ones declare no length, and their pieces are sent at the simulator's pace."""

    pieces: Sequence[bytes]
    status: int = 200
    headers: HeaderList = field(default_factory=list)
    streamed: bool = False

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


class PromptCache:
    """Which cacheable prompt prefixes were seen before: decides between cache-write and cache-read tokens."""

    def __init__(self, limit: int = 1000) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._limit = limit

    def saw(self, prefix: bytes) -> bool:
        """True when this prefix was seen before; remembers it."""
        key = blake2b(prefix, digest_size=16).digest()
        known = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return known


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, decoded for a dialect."""

    call: Call
    body: bytes  # content coding removed
    json: Json  # the body, when it is a JSON object; else empty
    words: int  # length of an answer, and the number of content events in a stream
    seed: bytes  # of this simulator: makes identifiers unique among several
    prompt_cache: PromptCache

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.call.path

    @property
    def created(self) -> int:
        """The time of the answer."""
        return int(self.call.at)

    def header(self, name: bytes) -> str:
        """A request field's first value, or an empty string."""
        return text(self.call.headers, name)

    def unique(self, prefix: str, length: int = 24) -> str:
        """An identifier that no other call gets. The same for each use in one answer."""
        raw = blake2b(b"%s/%d/%s" % (self.seed, self.call.number, prefix.encode()), digest_size=64).digest()
        return prefix + raw[:length].translate(_TO_ALPHABET).decode()

    def text_seed(self, *, sampled: bool) -> bytes:
        """What the answer's text follows from: the request and, where sampling would vary it, the call's number.

        Whether it is streamed, and with what reports, is no part of that.
        """
        digest = blake2b(self.call.path.encode(), digest_size=32)
        if "stream_options" in self.json or "stream" in self.json:
            asked = {name: value for name, value in self.json.items() if name not in ("stream", "stream_options")}
            digest.update(orjson.dumps(asked))
        else:
            digest.update(self.body)
        if sampled:
            digest.update(self.seed + b"%d" % self.call.number)
        return digest.digest()


def as_text(value: object) -> str:
    """The value when it is text, else an empty string."""
    return value if isinstance(value, str) else ""


def as_list(value: object) -> list[object]:
    """The value when it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_json(value: object) -> Json:
    """The value when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_count(value: object) -> int | None:
    """The value when it is a positive whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def json_object(body: bytes) -> Json:
    """The body when it is a JSON object, else an empty one."""
    if not body.lstrip().startswith(b"{"):
        return {}
    try:
        return as_json(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def is_sampled(settings: Json, temperature: str = "temperature") -> bool:
    """True unless the request pins its answer by a temperature of 0 or a seed."""
    value = settings.get(temperature)
    return value not in (0, 0.0) and settings.get("seed") is None


def whole(value: object, *, status: int = 200, headers: HeaderList | None = None) -> Answer:
    """A JSON answer."""
    return Answer([orjson.dumps(value)], status, [(b"content-type", JSON_TYPE), *(headers or [])])


def stream(pieces: Sequence[bytes], *, content_type: bytes = SSE_TYPE, headers: HeaderList | None = None) -> Answer:
    """A streamed answer."""
    fields = [(b"content-type", content_type), (b"cache-control", b"no-cache"), *(headers or [])]
    return Answer(pieces, 200, fields, streamed=True)


def sse(value: object, event: str = "") -> bytes:
    """One server-sent event."""
    name = b"event: %s\n" % event.encode() if event else b""
    return b"%sdata: %s\n\n" % (name, orjson.dumps(value))
