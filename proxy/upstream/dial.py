"""Connections towards origins, raw ones and those of HTTP/2: through the corporate proxy if there is one, by our own
resolver if the hosts file leads back to us.
"""

import asyncio
import base64
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.upstream.guard import UNGUARDED, Guard
from proxy.upstream.http2 import Http2Connection
from proxy.upstream.liveness import notice_dead_peer
from proxy.upstream.resolver import Resolver

_MAX_HEAD = 16_384
_NEXT_ADDRESS_S = 1.0
_DEAD_PEER_S = 60.0  # calls notice it sooner, by HTTP/2's own pings: this is for connections without any


class Dialer:
    """Opens connections as the settings say."""

    def __init__(self, settings: Upstream, resolver: Resolver, guard: Guard = UNGUARDED) -> None:
        self._settings = settings
        self._resolver = resolver
        self._guard = guard

    async def open(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the origin, with TLS inside if a context is given. Raises UpstreamError."""
        with _translated():
            async with asyncio.timeout(self._settings.connect_timeout_s):
                return await self._open(host, port, tls)

    async def open_http2(
        self, host: str, port: int, tls: ssl.SSLContext, on_change: Callable[[], None]
    ) -> tuple[Http2Connection, str]:
        """A connection with TLS for whatever the origin speaks, and which protocol that is. Raises UpstreamError."""
        with _translated():
            async with asyncio.timeout(self._settings.connect_timeout_s):
                _, writer = await self._open(host, port, None)
                notice_dead_peer(writer.transport, _DEAD_PEER_S)
                connection = Http2Connection(tls, host, on_change)
                return connection, await connection.establish(writer)

    async def _open(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._guard.check_host(host, port)
        if self._settings.proxy and self.goes_through_proxy(host):
            return await self._through_proxy(self._settings.proxy, host, port, tls)
        address = await self._resolver.address(host, port)
        name = host if tls is not None else None
        if address is not None:
            return await asyncio.open_connection(*address, ssl=tls, server_hostname=name)
        connected = await _connected(host, port, self._guard)
        return await asyncio.open_connection(sock=connected, ssl=tls, server_hostname=name)

    async def address(self, host: str, port: int) -> tuple[str, int] | None:
        """Where connections of others to this origin have to go; None: where they like. Raises UpstreamError."""
        self._guard.check_host(host, port)
        if self._guard.is_on and self.goes_through_proxy(host):
            return None
        address = await self._resolver.address(host, port)
        if address is not None or not self._guard.is_on:
            return address
        with _translated():
            async with asyncio.timeout(self._settings.connect_timeout_s):
                with await _connected(host, port, self._guard) as reached:  # which of several answers shows here only
                    found = reached.getpeername()
        return str(found[0]), port

    @property
    def is_guarded(self) -> bool:
        """Addresses are judged."""
        return self._guard.is_on

    def goes_through_proxy(self, host: str) -> bool:
        """By way of the corporate proxy."""
        return self._settings.proxy is not None and not self._is_exempt(host)

    def _is_exempt(self, host: str) -> bool:
        entries = [entry.strip().lower().lstrip(".") for entry in (self._settings.no_proxy or "").split(",")]
        return any(entry in ("*", host) or host.endswith(f".{entry}") for entry in entries if entry)

    async def _through_proxy(
        self, proxy: str, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(proxy)
        try:
            reader, writer = await asyncio.open_connection(
                url.hostname, url.port or 3128, ssl=ssl.create_default_context() if url.scheme == "https" else None
            )
        except TimeoutError:
            raise
        except OSError as failure:
            raise UpstreamError("proxy_error", "the upstream proxy cannot be reached", sent=False) from failure
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
        if url.username is not None:
            pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            head += f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
        writer.write(head.encode("latin-1") + b"\r\n")
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as failure:
            writer.close()
            raise UpstreamError("proxy_error", "the upstream proxy broke off", sent=False) from failure
        status = answer.split(b" ", 2)[1:2]
        if len(answer) > _MAX_HEAD or status != [b"200"]:
            writer.close()
            raise UpstreamError("proxy_error", "the upstream proxy refused the tunnel", sent=False)
        if tls is not None:
            await writer.start_tls(tls, server_hostname=host)
        return reader, writer


async def _connected(host: str, port: int, guard: Guard) -> socket.socket:
    """A socket that is connected to one of the host's addresses, tried in the system's order. An address that does not
    answer (IPv6 that leads nowhere, most often) holds the next one up for a second, not for the whole deadline."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if guard.is_on:
        permitted = guard.chosen(host, port, [str(entry[4][0]) for entry in found])
        found = [entry for entry in found if entry[4][0] in permitted]
    for family, kind, protocol, _, address in found[:-1]:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_NEXT_ADDRESS_S):
                return await _connect(socket.socket(family, kind, protocol), address)
    family, kind, protocol, _, address = found[-1]
    return await _connect(socket.socket(family, kind, protocol), address)


async def _connect(made: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Failures to connect as UpstreamErrors; nothing of a request was sent."""
    try:
        yield
    except TimeoutError as failure:
        raise UpstreamError(
            "connection_timeout", "connecting to the origin took too long", status=504, sent=False
        ) from failure
    except ssl.SSLCertVerificationError as failure:
        raise UpstreamError(
            "tls_certificate_error", "the origin's certificate could not be verified", sent=False
        ) from failure
    except ssl.SSLError as failure:
        raise UpstreamError("tls_protocol_error", "the TLS handshake with the origin failed", sent=False) from failure
    except socket.gaierror as failure:
        raise UpstreamError("dns_error", "the origin's name could not be resolved", sent=False) from failure
    except ConnectionRefusedError as failure:
        raise UpstreamError("connection_refused", "the origin refused the connection", sent=False) from failure
    except OSError as failure:
        if failure.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            message = "the origin cannot be reached from here"
            raise UpstreamError("destination_ip_unroutable", message, sent=False) from failure
        raise UpstreamError("connection_failed", "no connection to the origin could be made", sent=False) from failure
