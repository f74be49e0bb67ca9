"""How many connections the webhook has open. Whoever opens more than it takes must not keep the API server out, so the
one that has been idle for longest gives way; whoever waits for an answer keeps its connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

MAX_CONNECTIONS: Final = 512  # API servers keep a handful each


class Connections:
    """Makes the connections' protocols. Those that have closed are forgotten like idle ones."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most
        self._requests: dict[web.RequestHandler, int] = {}  # in hand; used longest ago first

    def __call__(self) -> web.RequestHandler:
        """For a connection that was accepted."""
        if len(self._requests) >= self._most:
            idle = next((each for each, in_hand in self._requests.items() if in_hand == 0), None)
            if idle is not None:
                del self._requests[idle]
                idle.force_close()
        made = self._server()
        self._requests[made] = 0
        return made

    @contextmanager
    def in_hand(self, connection: web.RequestHandler) -> Iterator[None]:
        """A request of it is being answered."""
        self._requests[connection] = self._requests.pop(connection, 0) + 1
        try:
            yield
        finally:
            self._requests[connection] = self._requests.pop(connection, 1) - 1
