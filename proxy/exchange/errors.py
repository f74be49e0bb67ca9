"""The two failures a stage may raise, and nothing else: a refusal by policy, and an upstream that failed.

Both carry a constant `code` that goes to the ledger and the metrics (RFC 9209's words where it has one), and a message
for the client that names no secret and quotes nobody's bytes.
"""


class ExchangeError(Exception):
    """Something that ends an exchange with a local answer."""

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Refusal(ExchangeError):
    """Policy says no (budget, rate limit, only-if-cached). Ends in the provider's own error shape."""


class UpstreamError(ExchangeError):
    """The origin could not be reached, or broke off.

    `sent` says whether any byte of the request may have reached the origin: when False, a retry is always safe.
    """

    def __init__(self, code: str, message: str, *, status: int = 502, sent: bool = True) -> None:
        super().__init__(code, message, status=status)
        self.sent = sent
