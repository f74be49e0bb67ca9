"""Raw connections towards origins, for what is relayed byte for byte and for probes: through the corporate proxy if
there is one, by our own resolver if the hosts file leads back to us.
"""

import asyncio
import base64
import ssl
from urllib.parse import unquote, urlsplit

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.upstream.resolver import Resolver

_MAX_HEAD = 16_384


class Dialer:
    """Opens connections as the settings say."""

    def __init__(self, settings: Upstream, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver

    async def open(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the origin, with TLS inside if a context is given. Raises UpstreamError."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                if self._settings.proxy and not self._is_exempt(host):
                    return await self._through_proxy(self._settings.proxy, host, port, tls)
                address = await self._resolver.address(host, port)
                name = host if tls is not None else None
                return await asyncio.open_connection(*(address or (host, port)), ssl=tls, server_hostname=name)
        except TimeoutError as failure:
            raise UpstreamError(
                "connection_timeout", "connecting to the origin took too long", status=504, sent=False
            ) from failure
        except ssl.SSLCertVerificationError as failure:
            raise UpstreamError(
                "tls_certificate_error", "the origin's certificate could not be verified", sent=False
            ) from failure
        except OSError as failure:
            raise UpstreamError(
                "connection_failed", "no connection to the origin could be made", sent=False
            ) from failure

    def _is_exempt(self, host: str) -> bool:
        entries = [entry.strip().lower().lstrip(".") for entry in (self._settings.no_proxy or "").split(",")]
        return any(entry in ("*", host) or host.endswith(f".{entry}") for entry in entries if entry)

    async def _through_proxy(
        self, proxy: str, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(proxy)
        reader, writer = await asyncio.open_connection(
            url.hostname, url.port or 3128, ssl=ssl.create_default_context() if url.scheme == "https" else None
        )
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
