"""Which clients will not accept our certificate, so that their next connection is passed through untouched.

What clients do when they do not trust a leaf (seen with TLS 1.2 and 1.3 alike): OpenSSL, curl, Python's ssl and rustls
send `unknown_ca`, `bad_certificate` for a wrong name; Java's old client sends `certificate_unknown`. These alerts reach
a server while it still waits for the client's Finished, so the handshake fails with them. aiohttp, Node and Java's new
client just close in the handshake; GnuTLS (wget, git), and Node with TLS 1.2, finish the handshake, look at the
certificate, and close without having sent a byte.

Rules: an alert is proof and pins at once; but where the same kind of client has accepted our certificate at the same
address it is another client that refuses (containers of a pod share an address, and so do clients behind a NAT), and it
takes several alerts in a row: who accepts, and goes on calling, is not let past for another's sake. A silent close can
also be a timeout or a probe, so it takes several of them in a row from a client that never accepted our certificate.
Pins end after a while and are bounded in number. Pure.
"""

import hashlib
import ssl
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SILENT_CLOSES = 3
ALERTS_AFTER_ACCEPTANCE = 3

# The end of OpenSSL's reason for each alert (RFC 8446, section 6.2) about a certificate; the beginning varies.
_ALERTS = {
    "ALERT_UNKNOWN_CA": "unknown_ca",
    "ALERT_BAD_CERTIFICATE": "bad_certificate",
    "ALERT_CERTIFICATE_UNKNOWN": "certificate_unknown",
    "ALERT_CERTIFICATE_EXPIRED": "certificate_expired",
    "ALERT_CERTIFICATE_REVOKED": "certificate_revoked",
    "ALERT_UNSUPPORTED_CERTIFICATE": "unsupported_certificate",
    "ALERT_ACCESS_DENIED": "access_denied",
    "BAD_CERTIFICATE_STATUS_RESPONSE": "bad_certificate_status_response",
}


def rejection(error: ssl.SSLError) -> str | None:
    """The certificate alert that a client ended the handshake with, as a constant word; None for other failures."""
    reason = error.reason or ""
    return next((word for ending, word in _ALERTS.items() if reason.endswith(ending)), None)


def is_silent_close(error: OSError) -> bool:
    """Whether the client went away in the handshake without a word. Proves nothing by itself."""
    return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError | BrokenPipeError)


def tls_stack(cipher_suites: Iterable[int], extensions: Iterable[int]) -> str:
    """A short digest that is the same for every hello of one TLS library in one configuration.

    GREASE values (RFC 8701) are random and left out; extensions are sorted, because browsers shuffle them.
    """
    suites = [number for number in cipher_suites if not _is_grease(number)]
    kinds = sorted(number for number in extensions if not _is_grease(number))
    return hashlib.blake2b(f"{suites}{kinds}".encode("ascii"), digest_size=8).hexdigest()


def _is_grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


@dataclass(frozen=True, slots=True)
class PinKey:
    """Who refused what: a client's address, the server name it asked for, and a digest of its TLS stack."""

    client: str
    server_name: str
    tls_stack: str


@dataclass(slots=True)
class _Memory:
    has_accepted: bool = False
    silent_closes: int = 0
    alerts: int = 0  # since it accepted
    pinned_until: float | None = None


class PinMemory:
    """What was learned about clients, the longest unused forgotten first. `clock` gives monotonic seconds."""

    def __init__(self, ttl_s: float, clock: Callable[[], float], max_entries: int = 1024) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._max_entries = max_entries
        self._memories: OrderedDict[PinKey, _Memory] = OrderedDict()

    def __len__(self) -> int:
        return len(self._memories)

    def rejected(self, key: PinKey) -> bool:
        """The client refused our certificate with an alert. True when that made it pinned: worth a line in the log."""
        memory = self._recall(key)
        memory.alerts += 1
        if memory.has_accepted and memory.alerts < ALERTS_AFTER_ACCEPTANCE:
            return False
        return self._pin(memory)

    def closed(self, key: PinKey) -> bool:
        """The client closed after our certificate and before its first request. True when that made it pinned."""
        memory = self._recall(key)
        if memory.has_accepted:
            return False
        memory.silent_closes += 1
        return memory.silent_closes >= SILENT_CLOSES and self._pin(memory)

    def accepted(self, key: PinKey) -> None:
        """The client sent a request through our TLS: whatever was held against it is forgotten."""
        memory = self._recall(key)
        memory.has_accepted, memory.silent_closes, memory.alerts, memory.pinned_until = True, 0, 0, None

    def is_pinned(self, key: PinKey) -> bool:
        """Whether this client's connections to this name are to be passed through."""
        memory = self._memories.get(key)
        if memory is None or memory.pinned_until is None:
            return False
        if self._clock() < memory.pinned_until:
            self._memories.move_to_end(key)
            return True
        del self._memories[key]
        return False

    def pinned(self) -> dict[str, int]:
        """How many clients are passed through now, by the server name that they ask for."""
        now = self._clock()
        return dict(
            Counter(
                key.server_name
                for key, memory in self._memories.items()
                if memory.pinned_until is not None and now < memory.pinned_until
            )
        )

    def _pin(self, memory: _Memory) -> bool:
        now = self._clock()
        is_new = memory.pinned_until is None or memory.pinned_until <= now
        memory.has_accepted, memory.pinned_until = False, now + self._ttl_s
        return is_new

    def _recall(self, key: PinKey) -> _Memory:
        memory = self._memories.setdefault(key, _Memory())
        self._memories.move_to_end(key)
        if len(self._memories) > self._max_entries:
            self._memories.popitem(last=False)
        return memory
