"""What ends a run: a contestant that does not start, or an answer that is not what was asked for."""


class BenchFailed(Exception):
    """The run cannot go on, and its figures would mean nothing."""
