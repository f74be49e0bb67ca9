"""What a provider's file has to say. Everything here is pure: no I/O, no clock, no settings beyond its own data.

A provider says which operations its paths are, what a request asks for (model, streaming, whether sampling varies the
answer), where usage stands in the answer, when a stream is complete, and what its errors look like. Nothing here
changes a message, with one exception that the settings can turn off: asking a stream for its usage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.exchange.headers import HeaderList
from proxy.exchange.usage import Usage

type Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call. `name` is stable: it stands in metrics, the ledger and settings.

    name: chat, responses, completions, embeddings, images, audio, speech, moderations, models, files, batches,
        fine_tuning, threads, realtime, rerank, generate_content, converse, invoke_model, count_tokens, ...
    answers: the same request may be answered again from the cache or by collapsing (subject to policy). False for
        whatever creates, deletes or lists state at the provider, and for unknown paths.
    sampled: the answer varies from call to call unless the request pins it (temperature 0, top_p 0, a seed).
    repeatable: sending it a second time does no harm but cost: a lost connection before the first byte may be retried.
    json_request: the request body is one JSON object that `describe` wants.
    """

    name: str
    answers: bool = False
    sampled: bool = False
    repeatable: bool = False
    json_request: bool = True


UNKNOWN = Operation("unknown", json_request=False)


@dataclass(slots=True, unsafe_hash=True)
class CallFacts:
    """What a request asks for, read from its path and its JSON body (None when there is none). Not to be changed, like
    a Usage."""

    model: str = ""
    stream: bool = False
    deterministic: bool = False  # sampling cannot vary the answer
    asks_usage: bool = True  # a stream will report usage by itself; False: `ask_usage` would make it
    has_tools: bool = False
    messages: int = 0  # turns of the conversation, when it is one
    stateful: bool = False  # reads or creates state at the provider beyond its answer: never answered again or repeated


NO_FACTS = CallFacts()


class UsageReader(Protocol):
    """Reads one response body incrementally. Bytes come with the content coding already removed.

    `feed` never raises on malformed input and holds at most a bounded number of bytes (1 MiB; past that it stops
    looking and reports no usage).
    """

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        ...

    def usage(self) -> Usage | None:
        """What has been reported so far; None when nothing has."""
        ...

    def is_complete(self) -> bool:
        """True when the body seen so far carries the provider's own end: `[DONE]`, `message_stop`, a terminal
        event, a finish reason, or one whole JSON document that is not an error."""
        ...


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """A local error in the provider's own words."""

    content_type: bytes
    body: bytes


class Provider(Protocol):
    """One provider's dialect."""

    @property
    def name(self) -> str:
        """Stable: stands in metrics, the ledger and settings (`openai`, `azure`, `anthropic`, `gemini`, ...)."""
        ...

    @property
    def price_id(self) -> str:
        """Under which name its prices are found."""
        ...

    def operation(self, method: str, path: str) -> Operation:
        """The operation of a path (without its query); UNKNOWN when it is not known."""
        ...

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """What this request asks for."""
        ...

    def ask_usage(self, operation: Operation, raw: bytes, body: Json) -> bytes | None:
        """The request body changed so that its stream reports usage, or None when it needs no change.
        Every byte that is not the added member stays as it was."""
        ...

    def is_added_usage(self, event: bytes) -> bool:
        """True for the SSE event (its bytes, without the blank line) that only exists because of `ask_usage`."""
        ...

    def usage_reader(self, operation: Operation, facts: CallFacts, content_type: str) -> UsageReader | None:
        """A reader for an answer of this type, or None when such answers carry no usage."""
        ...

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The caller's credential as sent (API key, bearer token, SigV4 access key id), or b"" without one.
        Only ever digested."""
        ...

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """A local refusal or failure, shaped as this provider's SDKs expect it."""
        ...
