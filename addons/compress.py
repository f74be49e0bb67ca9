"""compress: asks the origin for what saves most, and gives each client what it can read.

A client's Accept-Encoding never reaches the origin as it is: for answers that come in one piece, the best coding that
the client takes is asked for, or all of ours when it takes none (the answer is then decoded here). Event streams are
asked for in the client's own codings, and never decoded unless they must be: no compressor ever holds an event back.
Request bodies are compressed for origins that the settings say accept it, when that saves enough.
"""

from functools import lru_cache

from config.schema import Compression, Settings
from proxy.exchange.chain import Handler, Step
from proxy.exchange.errors import UpstreamError
from proxy.exchange.forward import show, show_end
from proxy.exchange.headers import HeaderList, first, joined, text, without
from proxy.exchange.model import Body, Ending, Exchange, Request, Response, Tap
from proxy.wire.coding import CodingError, Decoder, acceptable, decoder, encode, negotiate

OURS = ("zstd", "br", "gzip")
_MIN_REQUEST_BYTES = 1024
_SHORT = 128  # bytes of an Accept-Encoding that is worth remembering: SDKs send the same few


class Compress(Step):
    """Towards the client. Stands high, so that it adapts stored answers too."""

    name = "compress"

    def __init__(self, settings: Compression) -> None:
        self._clients = settings.clients
        self._min_bytes = settings.min_bytes

    def after(self, exchange: Exchange, response: Response) -> Response:
        wanted = _wanted(exchange.request.headers)
        coding = b""
        if first(response.headers, b"content-encoding") is not None:
            coding = joined(response.headers, b"content-encoding").lower()
        if exchange.request.method == "HEAD" or (coding and acceptable(wanted, coding.decode("latin-1"))):
            return response
        if coding:
            plain = decoded(response, coding.decode("latin-1"))
            if plain is None:
                return response  # a coding that is none of ours: the client may know more than it says
            response = plain
        return self._encoded(response, wanted, exchange.client)

    def _encoded(self, response: Response, wanted: bytes | None, client: str) -> Response:
        """A plain answer, compressed for a client that cannot take it plain, or that is not on this machine."""
        body = response.body
        must = not _takes_plain(wanted)
        worth_it = self._clients == "all" or (self._clients == "remote" and not _is_local(client))
        if not isinstance(body, bytes) or wanted is None or not body or not (must or worth_it):
            return response
        if response.status == 206 or b"no-transform" in joined(response.headers, b"cache-control").lower():
            return response
        if not must and (len(body) < self._min_bytes or not _is_text(response.headers)):
            return response
        coding = negotiate(wanted, OURS)
        if coding is None:
            return response
        headers = [*response.headers, (b"content-encoding", coding.encode()), (b"vary", b"accept-encoding")]
        return Response(response.status, headers, encode(coding, body), taps=response.taps)


def _wanted(headers: HeaderList) -> bytes | None:
    values = [value for name, value in headers if name == b"accept-encoding"]
    return b", ".join(values) if values else None


def _takes_plain(wanted: bytes | None) -> bool:
    if wanted is None:
        return True
    return _known_to_take_plain(wanted) if len(wanted) <= _SHORT else acceptable(wanted, "identity")


@lru_cache(maxsize=256)
def _known_to_take_plain(wanted: bytes) -> bool:
    return acceptable(wanted, "identity")


def _is_local(client: str) -> bool:
    return client.startswith("127.") or client in ("::1", "::ffff:127.0.0.1", "")


def _is_text(headers: HeaderList) -> bool:
    kind = text(headers, b"content-type").partition(";")[0].lower()
    return kind.startswith("text/") or kind.endswith(("json", "xml"))


@lru_cache(maxsize=256)
def asked_of_origin(wanted: bytes | None) -> bytes:
    """The Accept-Encoding for the origin, given the client's."""
    taken = [coding for coding in OURS if wanted is not None and acceptable(wanted, coding)]
    if taken:
        best = negotiate(wanted, taken)
        ordered = sorted(taken, key=lambda coding: coding != best)
        return ", ".join(ordered).encode()
    return ", ".join(OURS).encode()


def decoded(response: Response, coding: str) -> Response | None:
    """The response without its content coding; None when the coding is not one of ours."""
    reader = decoder(coding)
    if reader is None:
        return None
    headers = without(response.headers, (b"content-encoding",))
    body: bytes | Body
    if isinstance(response.body, bytes):
        try:
            body = reader.decode(response.body) + reader.flush()
        except CodingError as failure:
            raise UpstreamError("http_response_content_coding", "the origin's answer cannot be decoded") from failure
    else:
        body = Decoded(response.body, reader, response.taps)
    return Response(response.status, headers, body)


class Decoded(Body):
    """A body decoded piece by piece. Its taps still see what the origin sent."""

    def __init__(self, body: Body, reader: Decoder, taps: list[Tap]) -> None:
        self._body = body
        self._reader = reader
        self._taps = taps
        self._flushed = False

    async def read(self) -> bytes | None:
        try:
            while (chunk := await self._body.read()) is not None:
                plain = self._reader.decode(chunk)
                show(self._taps, chunk)
                if plain:
                    return plain
            show_end(self._taps, Ending.COMPLETE)
            if not self._flushed:
                self._flushed = True
                return self._reader.flush() or None
        except CodingError as failure:
            show_end(self._taps, Ending.TRUNCATED)
            raise UpstreamError("http_response_content_coding", "the origin's answer cannot be decoded") from failure
        except UpstreamError:
            show_end(self._taps, Ending.TRUNCATED)
            raise
        return None

    async def aclose(self) -> None:
        show_end(self._taps, Ending.ABANDONED)
        await self._body.aclose()


class TowardsOrigin:
    """What the origin is asked for, and request bodies for origins that take them compressed. Next to the pool."""

    name = "compress_request"

    def __init__(self, settings: Settings) -> None:
        self._asks = settings.compression.ask_upstream
        self._origins = settings.upstream.compress_requests
        self._min_saving = settings.upstream.compress_min_saving

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return self._may_ask(exchange) or bool(self._origins)

    def _may_ask(self, exchange: Exchange) -> bool:
        return self._asks and exchange.operation.answers and not exchange.facts.stream

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        original = exchange.request
        asking = self._asking(exchange)
        exchange.request = self._compressed(asking) if self._origins else asking
        try:
            return await call_next(exchange)
        finally:
            exchange.request = original

    def _asking(self, exchange: Exchange) -> Request:
        request = exchange.request
        if not self._may_ask(exchange):
            return request
        asked = asked_of_origin(_wanted(request.headers))
        headers = [field for field in request.headers if field[0] != b"accept-encoding"]
        headers.append((b"accept-encoding", asked))
        return request.changed(headers, request.body)

    def _compressed(self, request: Request) -> Request:
        coding = self._origins.get(request.host)
        body = request.body
        if coding is None or not isinstance(body, bytes) or len(body) < _MIN_REQUEST_BYTES:
            return request
        if first(request.headers, b"content-encoding"):
            return request
        packed = encode(coding, body)
        if len(packed) > len(body) * (1.0 - self._min_saving):
            return request
        return request.changed([*request.headers, (b"content-encoding", coding.encode())], packed)
