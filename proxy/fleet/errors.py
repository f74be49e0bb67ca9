"""The one way in which a call over the link fails."""


class RedisUnavailableError(Exception):
    """No answer. `reason` is a word of our own or Redis's code (`timeout`, `OOM`, ...), never a text with values."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RedisRefusedError(RedisUnavailableError):
    """Redis is there and said no, to this command: `reason` is its code."""
