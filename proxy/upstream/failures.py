"""pyreqwest's exceptions in our words (RFC 9209's error types where it has one)."""

from pyreqwest.exceptions import (
    ConnectError,
    ConnectTimeoutError,
    PyreqwestError,
    RequestError,
    RequestTimeoutError,
)

from proxy.exchange.errors import UpstreamError

# Causes, as hyper and rustls word them, that tell more than the exception's class does.
_CAUSES = (
    ("invalid peer certificate", "tls_certificate_error", "the origin's certificate could not be verified"),
    ("certificate", "tls_certificate_error", "the origin's certificate could not be verified"),
    ("dns error", "dns_error", "the origin's name could not be resolved"),
    ("failed to lookup address", "dns_error", "the origin's name could not be resolved"),
    ("Connection refused", "connection_refused", "the origin refused the connection"),
    ("unreachable", "destination_ip_unroutable", "the origin cannot be reached from here"),
    ("tunnel", "proxy_error", "the upstream proxy refused the tunnel"),
    ("handshake", "tls_protocol_error", "the TLS handshake with the origin failed"),
    ("InvalidContentType", "tls_protocol_error", "the origin does not speak TLS on this port"),
)


def causes_of(failure: PyreqwestError) -> str:
    """All causes in one string, for matching only: they may name hosts, so they are never shown."""
    details = failure.details if isinstance(failure, RequestError) else None
    causes = (details.get("causes") if isinstance(details, dict) else None) or []
    return " | ".join([str(failure), *(cause["message"] for cause in causes)])


def translate(failure: PyreqwestError) -> UpstreamError:
    """The UpstreamError that says the same. A failure while connecting has sent nothing of the request."""
    if isinstance(failure, ConnectTimeoutError):
        return UpstreamError("connection_timeout", "connecting to the origin took too long", status=504, sent=False)
    text = causes_of(failure)
    if isinstance(failure, ConnectError):
        for word, code, message in _CAUSES:
            if word in text:
                return UpstreamError(code, message, sent=False)
        return UpstreamError("connection_failed", "no connection to the origin could be made", sent=False)
    if isinstance(failure, RequestTimeoutError):
        return UpstreamError("http_response_timeout", "the origin took too long to answer", status=504)
    return UpstreamError("connection_terminated", "the origin closed the connection before it had answered")
