"""Making a connection that is ready for calls: socket, TLS, user and password, database, and an answer to PING.

Rules: all of it within the connect timeout. What Redis says against us is reported by its code alone.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.fleet.connection import Connection, ErrorReply, Reply, packed
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.urls import Address, RedisPlace

PING: Final = packed("PING")
_NAME: Final = b"skinflint"


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How Redis is reached. `url` may hold a password; user and password given apart from it come first.
    `read_password` may raise OSError or ValueError."""

    url: str = field(repr=False)
    username: str | None = None
    read_password: Callable[[], str] | None = field(default=None, repr=False)  # anew for each connection, in a thread
    ca: Path | None = None  # the system's roots, when not given
    certificate: Path | None = None
    key: Path | None = None
    read_timeout_s: float = 0.02
    write_timeout_s: float = 0.2
    connect_timeout_s: float = 1.0
    max_connections: int = 8  # to one server, those of their own included
    max_answer_bytes: int = 67_108_864  # one answer larger than this ends its connection


class Dialer:
    """Knows how; not whom."""

    def __init__(self, place: RedisPlace, settings: LinkSettings) -> None:
        self._settings = settings
        self._place = place
        self._context: ssl.SSLContext | None = None

    async def dial(self, address: Address) -> Connection:
        """A connection that answers. Raises RedisUnavailableError."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                connection = await self._connect(address)
                try:
                    await self._introduce(connection)
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError as failure:
            raise RedisUnavailableError("connect_timeout") from failure
        except ssl.SSLCertVerificationError as failure:
            raise RedisUnavailableError("certificate_refused") from failure
        except ssl.SSLError as failure:
            raise RedisUnavailableError("tls_failed") from failure
        except OSError as failure:
            raise RedisUnavailableError("connection_failed") from failure
        except ValueError as failure:  # a host that no resolver takes
            raise RedisUnavailableError("not_an_address") from failure
        return connection

    async def _connect(self, address: Address) -> Connection:
        loop = asyncio.get_running_loop()

        def made() -> Connection:
            return Connection(self._settings.max_answer_bytes)

        if address.path:
            return (await loop.create_unix_connection(made, address.path))[1]
        if not self._place.is_tls:
            return (await loop.create_connection(made, address.host, address.port))[1]
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_context)
        return (await loop.create_connection(made, address.host, address.port, ssl=self._context))[1]

    def _make_context(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
        return context

    async def _introduce(self, connection: Connection) -> None:
        username, password = await credentials(self._place, self._settings)
        if password is not None:
            user = (username,) if username else ()
            _require(await connection.ask(packed("AUTH", *user, password)))
        connection.ask(packed("CLIENT", "SETNAME", _NAME))  # a user may lack the right to: no matter
        if self._place.database:
            _require(await connection.ask(packed("SELECT", self._place.database)))
        alive = await connection.ask(PING)
        if not is_refused_right(alive):
            _require(alive)


async def credentials(place: RedisPlace, settings: LinkSettings) -> tuple[str | None, str | None]:
    """User and password. Raises RedisUnavailableError."""
    password = place.password
    if settings.read_password is not None:
        try:
            password = await asyncio.to_thread(settings.read_password)
        except (OSError, ValueError) as failure:
            raise RedisUnavailableError("password_file_unreadable") from failure
    return settings.username or place.username, password


def _require(reply: Reply) -> None:
    if isinstance(reply, ErrorReply):
        raise RedisUnavailableError(reply.code)


def is_refused_right(reply: Reply) -> bool:
    """The user lacks the right to this command: a sign of life all the same."""
    return isinstance(reply, ErrorReply) and reply.code == "NOPERM"
