"""Whether a client accepts our certificate, and what is learned when it does not (see pins.py).

Said once for each client and host: from then on its connections are tunnelled, so that nothing breaks that worked.
"""

import ssl
from typing import TYPE_CHECKING

import structlog

from proxy.edge import pins
from proxy.edge.pins import PinKey

if TYPE_CHECKING:
    from proxy.edge.bridge import Bridge

log = structlog.get_logger(__name__)


class Acceptance:
    """One connection's. `pin` is None where nothing can be learned: behind reverse listeners."""

    def __init__(self, bridge: "Bridge", client: str, pin: PinKey | None) -> None:
        self._bridge = bridge
        self._client = client
        self._pin = pin

    def accepted(self) -> None:
        """The client has read our certificate and went on to ask."""
        if self._pin is not None:
            self._bridge.pins.accepted(self._pin)
            self._pin = None

    def failed(self, failure: ssl.SSLError) -> None:
        """The handshake, or the first read after it, failed."""
        reason = pins.rejection(failure)
        if reason is None:
            self._bridge.count_connection("tls_failed")
            log.debug("tls_failed", client=self._client, reason=failure.reason)
        elif self._pin is not None:
            self._rejected(self._bridge.pins.rejected(self._pin), reason)

    def closed(self) -> None:
        """The client closed before it asked for anything: some TLS libraries reject a certificate without a word."""
        if self._pin is not None:
            self._rejected(self._bridge.pins.closed(self._pin), "closed_without_a_word")

    def given_up(self) -> None:
        """We close: what happens from here on is not the client's doing."""
        self._pin = None

    def _rejected(self, is_news: bool, reason: str) -> None:
        pin, self._pin = self._pin, None
        self._bridge.count_connection("rejected")
        if is_news and pin is not None:
            log.warning(
                "client_rejects_our_certificate",
                host=pin.server_name,
                client=self._client,
                reason=reason,
                effect="this client's calls to the host are tunnelled from now on, unseen",
                mend="make the client trust ca/bundle.pem, or list the host under passthrough.hosts",
            )
