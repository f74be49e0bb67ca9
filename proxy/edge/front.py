"""TLS of a listener itself, for clients that use it as an HTTPS proxy; with their certificates, where those are wanted.

Rules: files are read together and loaded from what was read, so that a change between two looks is never half taken;
a new handshake gets the newest good ones, and connections that are open keep theirs. Only HTTP/1.1 is spoken on it.
What clients say inside is TLS again, for the origin: this is the outer one, and asyncio's own.
"""

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from config.errors import Problem, SettingsError
from config.gateway import ListenerTls
from config.sight import Sight, look
from proxy.edge.in_force import InForce

log = structlog.get_logger(__name__)


class Front:
    """One listener's certificate. `context` is for the next handshake."""

    def __init__(self, settings: ListenerTls, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Raises SettingsError."""
        self._settings = settings
        self._clock_ns = clock_ns
        named = (settings.certificate, settings.key, settings.client_ca)
        self._files = tuple(file for file in named if file is not None)
        self.in_force = InForce(settings.certificate)
        self._seen: dict[Path, Sight] = {}
        self._seen = self._look()
        try:
            self.context = self._load()
        except (ValueError, OSError) as exc:
            raise SettingsError(Problem(str(settings.certificate), "listeners.tls", _why(exc))) from exc

    def poll(self) -> bool:
        """Look at the files, and take what is new: True then. Never raises."""
        has_new = self._taken()
        self.in_force.say(self._clock_ns())
        return has_new

    def _taken(self) -> bool:
        seen = self._look()
        changed = any(seen[file].digest != self._seen[file].digest for file in self._files)
        self._seen = seen
        if not changed:
            return False
        try:
            self.context = self._load()
        except (ValueError, OSError) as exc:
            log.error("certificate_refused", file=str(self._settings.certificate), reason=_why(exc))
            return False
        log.info("certificate_reloaded", file=str(self._settings.certificate))
        return True

    def _look(self) -> dict[Path, Sight]:
        now = self._clock_ns()
        return {file: look(file, self._seen.get(file), now) for file in self._files}

    def _load(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        certificate = settings.certificate.read_bytes()
        with _in_memory(certificate) as chain, _in_memory(settings.key.read_bytes()) as key:
            context.load_cert_chain(chain, key, password="")
        if settings.client_ca is not None:
            context.load_verify_locations(cadata=settings.client_ca.read_text("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
        with contextlib.suppress(ValueError):  # OpenSSL reads some that this does not
            self.in_force.take(certificate)
        return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path for OpenSSL, which reads files only."""
    descriptor = os.memfd_create("skinflint-front", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _why(exc: ValueError | OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"certificate, key and client_ca do not fit: {(exc.reason or 'not readable').lower().replace('_', ' ')}"
    if isinstance(exc, OSError):
        return f"{exc.filename} cannot be read: {exc.strerror}"
    return "client_ca is not PEM"
