"""A host that speaks a dialect of its own and, below some paths, another provider's as well.

Rules: an operation below a guest's prefix is wrapped, so that everything asked about it later goes to that guest, with
the operation that the guest itself knows. The rest is the host's own. Errors made here take the host's shape: when one
is made, the path is no longer at hand.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.exchange.elements import ByElement, ElementDialect
from proxy.exchange.headers import HeaderList
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, Provider, UsageReader
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import below
from proxy.providers.named import Named


@dataclass(frozen=True, slots=True)
class Guest:
    """A dialect, and how the paths begin that belong to it. Its own entry has the base path that it needs for them."""

    prefix: str
    dialect: Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestOperation(Operation):
    """An operation that a guest answers for."""

    dialect: Provider = field(compare=False)
    original: Operation


def lend(dialect: Provider, method: str, path: str) -> Operation:
    """The guest's operation of `path`, wrapped; UNKNOWN stays what it is."""
    found = dialect.operation(method, path)
    if found is UNKNOWN:
        return UNKNOWN
    return GuestOperation(
        found.name,
        answers=found.answers,
        sampled=found.sampled,
        repeatable=found.repeatable,
        json_request=found.json_request,
        dialect=dialect,
        original=found,
    )


class Blend(Named, ABC):
    """The Provider protocol, with guests seen to. What a dialect has to say itself begins with `own_`."""

    def __init__(self, entry: ProviderEntry, *guests: Guest) -> None:
        super().__init__(entry)
        self._guests = guests

    def operation(self, method: str, path: str) -> Operation:
        """The operation of a path, or UNKNOWN."""
        path = below(path, self._entry.base_path)
        for guest in self._guests:
            if path.startswith(guest.prefix):
                return lend(guest.dialect, method, path)
        return self.own_operation(method, path)

    def describe(self, operation: Operation, path: str, query: str, body: Json | None) -> CallFacts:
        """What this request asks for."""
        if isinstance(operation, GuestOperation):
            return operation.dialect.describe(operation.original, path, query, body)
        return self.own_facts(operation, below(path, self._entry.base_path), body)

    def ask_usage(self, operation: Operation, raw: bytes, body: Json) -> bytes | None:
        """Only guests have streams that must be asked."""
        if isinstance(operation, GuestOperation):
            return operation.dialect.ask_usage(operation.original, raw, body)
        return None

    def is_added_usage(self, event: bytes) -> bool:
        """True when a guest says so: nobody else was asked."""
        return any(guest.dialect.is_added_usage(event) for guest in self._guests)

    def usage_reader(self, operation: Operation, facts: CallFacts, content_type: str) -> UsageReader | None:
        """A reader for an answer of this type; None for what is not answered again, and stored state."""
        if isinstance(operation, GuestOperation):
            return operation.dialect.usage_reader(operation.original, facts, content_type)
        if not operation.answers:
            return None
        return self.own_reader(operation, facts, content_type.partition(";")[0].strip().lower())

    def element_dialect(self, operation: Operation, path: str) -> ElementDialect | None:
        """How embeddings are taken apart; None when they stay whole."""
        if not isinstance(operation, GuestOperation):
            return self.own_elements(operation, path)
        dialect = operation.dialect
        return dialect.element_dialect(operation.original, path) if isinstance(dialect, ByElement) else None

    def own_elements(self, operation: Operation, path: str) -> ElementDialect | None:
        """How embeddings of its own are taken apart."""
        return None

    @abstractmethod
    def own_operation(self, method: str, path: str) -> Operation:
        """The operation of a path below the base path, or UNKNOWN."""

    @abstractmethod
    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """What a request to an operation of its own asks for."""

    @abstractmethod
    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """A reader for an answer of an operation of its own. The media type is in lower case, without parameters."""

    @abstractmethod
    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The caller's credential as sent, or b""."""

    @abstractmethod
    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """A local refusal or failure."""
