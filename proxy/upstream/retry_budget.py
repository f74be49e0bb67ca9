"""How many retries the recent calls allow: a failing origin must not be called twice as often as a healthy one."""


class RetryBudget:
    """A leaky count of calls and retries. Pure: the caller gives the time."""

    _HALF_LIFE_S = 10.0
    _FREE = 3.0  # retries that are always allowed within a half-life, so that a quiet sidecar can retry at all

    def __init__(self, share: float) -> None:
        self._share = share
        self._calls = 0.0
        self._retries = 0.0
        self._at = 0.0

    def note_call(self, now: float) -> None:
        """A first attempt was made."""
        self._decay(now)
        self._calls += 1.0

    def try_spend(self, now: float) -> bool:
        """Take one retry out of the budget; False when there is none left."""
        self._decay(now)
        if self._share == 0.0 or self._retries + 1.0 > self._FREE + self._share * self._calls:
            return False
        self._retries += 1.0
        return True

    def _decay(self, now: float) -> None:
        factor = 0.5 ** (max(0.0, now - self._at) / self._HALF_LIFE_S)
        self._calls *= factor
        self._retries *= factor
        self._at = now
