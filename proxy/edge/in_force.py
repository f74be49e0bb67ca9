"""Is a certificate in force that we show to others? It can be served when it is not, but whoever asks refuses it."""

from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

log = structlog.get_logger(__name__)


class InForce:
    """The time in which the certificate of a file is valid; said once of each that it is not."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begins = self.ends = datetime.max.replace(tzinfo=UTC)
        self._is_told = True

    def take(self, pem: bytes) -> None:
        """This is the certificate now, and what is behind it its chain. Raises ValueError."""
        leaf = x509.load_pem_x509_certificate(pem)
        self._begins, self.ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        self._is_told = False

    def problem(self, now: datetime) -> str:
        """Why it is refused by others; empty when it is in force."""
        if now > self.ends:
            return f"it ended on {self.ends:%Y-%m-%d %H:%M} UTC"
        return f"it begins on {self._begins:%Y-%m-%d %H:%M} UTC" if now < self._begins else ""

    def say(self, now_ns: int) -> None:
        """Log the problem, if there is one and it has not been said."""
        if self._is_told or not (problem := self.problem(datetime.fromtimestamp(now_ns / 1e9, UTC))):
            return
        self._is_told = True
        log.error("certificate_not_in_force", file=str(self._file), reason=problem, effect="clients refuse it")
