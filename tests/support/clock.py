"""A clock that stands still until the test moves it."""


class Clock:
    """Seconds, since whatever the code under test counts from."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
