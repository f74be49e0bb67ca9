"""pyreqwest's exceptions in our words (RFC 9209's error types where it has one)."""

from pyreqwest.exceptions import PyreqwestError, RequestError, RequestTimeoutError

from proxy.exchange.errors import UpstreamError

# Causes, as hyper and rustls word them, that tell more than the exception's class does.
_NOT_CONNECTED = (
    ("invalid peer certificate", "tls_certificate_error", "the origin's certificate could not be verified"),
    ("certificate", "tls_certificate_error", "the origin's certificate could not be verified"),
    ("dns error", "dns_error", "the origin's name could not be resolved"),
    ("failed to lookup address", "dns_error", "the origin's name could not be resolved"),
    ("tunnel", "proxy_error", "the upstream proxy refused the tunnel"),
    ("Connection refused", "connection_refused", "the origin refused the connection"),
    ("unreachable", "destination_ip_unroutable", "the origin cannot be reached from here"),
    ("handshake", "tls_protocol_error", "the TLS handshake with the origin failed"),
    ("InvalidContentType", "tls_protocol_error", "the origin does not speak TLS on this port"),
)
# pyreqwest calls every broken connection a ConnectError, and every timeout before the head a ConnectTimeoutError; only
# this cause says that the connection never came about.
_WHILE_CONNECTING = "client error (Connect)"
# RFC 9113, sections 8.7 and 6.8: a refused stream, or one above a graceful GOAWAY's last, was not processed.
_NOT_PROCESSED = ("refused stream before processing", "connection error received: not a result of an error")
_NO_HTTP = ("connection error detected", "invalid HTTP version", "invalid HTTP status-code", "invalid HTTP header")


def causes_of(failure: PyreqwestError) -> str:
    """All causes in one string, for matching only: they may name hosts, so they are never shown."""
    details = failure.details if isinstance(failure, RequestError) else None
    causes = (details.get("causes") if isinstance(details, dict) else None) or []
    return " | ".join([str(failure), *(cause["message"] for cause in causes)])


def translate(failure: PyreqwestError) -> UpstreamError:
    """The UpstreamError that says the same. A failure while connecting has sent nothing of the request."""
    text = causes_of(failure)
    if _WHILE_CONNECTING in text:
        return _not_connected(failure, text)
    if isinstance(failure, RequestTimeoutError):
        return UpstreamError("http_response_timeout", "the origin took too long to answer", status=504)
    if any(word in text for word in _NO_HTTP):
        return UpstreamError("http_protocol_error", "the origin's answer is not HTTP")
    was_processed = not any(word in text for word in _NOT_PROCESSED)
    message = "the origin closed the connection before it had answered"
    return UpstreamError("connection_terminated", message, sent=was_processed)


def _not_connected(failure: PyreqwestError, text: str) -> UpstreamError:
    if isinstance(failure, RequestTimeoutError):
        return UpstreamError("connection_timeout", "connecting to the origin took too long", status=504, sent=False)
    for word, code, message in _NOT_CONNECTED:
        if word in text:
            return UpstreamError(code, message, sent=False)
    return UpstreamError("connection_failed", "no connection to the origin could be made", sent=False)
