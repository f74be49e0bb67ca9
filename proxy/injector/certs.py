"""The webhook's certificate, which is changed while it serves.

Rules: certificate and key are read together and loaded from what was read, so a change between two looks is never half
taken; a pair that does not fit is said once, and the old one serves on. One that is not in force serves, but is said.
A new handshake gets the newest pair, connections that are open keep theirs.
"""

import os
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import structlog

from config.sight import Sight, look
from proxy.edge.in_force import InForce

log = structlog.get_logger(__name__)

type Outcome = Literal["unchanged", "reloaded", "refused"]


class CertificateError(Exception):
    """The pair cannot be used. The message names the files, and nothing of the key."""


class Certificates:
    """The pair in two files. `context` serves, with whatever pair is the newest good one."""

    def __init__(self, certificate: Path, key: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Raises CertificateError."""
        self._files = (certificate, key)
        self._clock_ns = clock_ns
        self._seen = self._look((None, None))
        self._in_force = InForce(certificate)
        self._current = self._load()
        # Handshakes begin here and go on with the current pair. OpenSSL calls back for clients without a name, too.
        self.context = self._current
        self.context.sni_callback = self._choose

    def poll(self) -> Outcome:
        """Look at the files, and take what is new. Never raises."""
        outcome = self._taken()
        self._in_force.say(self._clock_ns())
        return outcome

    @property
    def expires_at(self) -> datetime:
        """When the certificate that is served ends."""
        return self._in_force.ends

    def _taken(self) -> Outcome:
        seen = self._look(self._seen)
        if [each.digest for each in seen] == [each.digest for each in self._seen]:
            self._seen = seen
            return "unchanged"
        self._seen = seen
        try:
            self._current = self._load()
        except CertificateError as failure:
            log.error("certificate_refused", reason=str(failure))
            return "refused"
        log.info("certificate_reloaded", expires=self.expires_at.isoformat())
        return "reloaded"

    def _look(self, before: tuple[Sight | None, Sight | None]) -> tuple[Sight, Sight]:
        now = self._clock_ns()
        return look(self._files[0], before[0], now), look(self._files[1], before[1], now)

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        certificate, key = (self._read(file) for file in self._files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            _load_chain(context, certificate, key)
            self._in_force.take(certificate)
        except (ValueError, ssl.SSLError) as exc:
            raise CertificateError(
                f"{self._files[0]} and {self._files[1]} are no pair of PEM files: {_why(exc)}"
            ) from exc
        return context

    def _read(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as exc:
            raise CertificateError(f"{file} cannot be read: {exc.strerror}") from exc


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads files only: these are in memory, and nobody else's."""
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("certificate", "key")]
    try:
        for file, content in zip(files, (certificate, key), strict=True):
            os.write(file, content)
        chain, private = (f"/proc/self/fd/{file}" for file in files)
        context.load_cert_chain(chain, private, password="")  # or OpenSSL would ask at the terminal
    finally:
        for file in files:
            os.close(file)


def _why(exc: ValueError | ssl.SSLError) -> str:
    reason = exc.reason if isinstance(exc, ssl.SSLError) else None
    return (reason or "not readable").lower().replace("_", " ")
