"""Learning what an origin speaks, from its own handshake: the protocol, and how many HTTP/2 streams it allows.

One TLS connection, closed at once. Made only when a second call comes before the first has been answered; without it,
a burst of first calls would open a connection each.
"""

import asyncio
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from proxy.upstream.origin import HTTP1, HTTP2

DEFAULT_STREAMS = 100  # RFC 9113, section 6.5.2 recommends that servers allow no fewer
_MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


async def probe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> tuple[str, int]:
    """(protocol, streams allowed) of the origin at the other end of this connection, whose TLS handshake is done."""
    try:
        tls = writer.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject) or tls.selected_alpn_protocol() != "h2":
            return HTTP1, 0
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        try:
            async with asyncio.timeout(timeout_s):
                return HTTP2, await _streams_allowed(connection, reader)
        except (TimeoutError, OSError, h2.exceptions.ProtocolError):
            return HTTP2, DEFAULT_STREAMS
    finally:
        writer.close()


async def _streams_allowed(connection: h2.connection.H2Connection, reader: asyncio.StreamReader) -> int:
    while data := await reader.read(16_384):
        events = connection.receive_data(data)
        said = [event.changed_settings for event in events if isinstance(event, h2.events.RemoteSettingsChanged)]
        limits = [changed[_MAX_STREAMS].new_value for changed in said if _MAX_STREAMS in changed]
        if said:  # some servers begin with empty settings, and change them at once
            return int(limits[-1]) if limits else DEFAULT_STREAMS
    return DEFAULT_STREAMS
