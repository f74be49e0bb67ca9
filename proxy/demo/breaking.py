"""Ends an answer the way that a fault asks for, where the codecs only know the proper ways.

Rules: what was sent before stays sent. HTTP/2 frames that a well-behaved server would not send are written past the
codec, which is then told to forget the stream.
"""

import asyncio
import socket
import struct
from typing import Final

from proxy.demo.faults import Faults
from proxy.wire.events import ServerCodec

_RST_STREAM: Final = 3
_GOAWAY: Final = 7
_NO_ERROR: Final = 0
_REFUSED_STREAM: Final = 7


def break_off(transport: asyncio.Transport, codec: ServerCodec, stream_id: int, faults: Faults) -> None:
    """Do not complete this answer."""
    is_http2 = codec.http_version == "2"
    waiting = codec.take_output()
    if faults.goaway and is_http2:
        # RFC 9113, section 6.8: streams above the last one named were not processed, and may be tried again.
        transport.write(waiting + _frame(_GOAWAY, 0, struct.pack(">II", max(stream_id - 2, 0), _NO_ERROR)))
        transport.close()
    elif faults.failure == "refuse" and is_http2:
        transport.write(waiting + _frame(_RST_STREAM, stream_id, struct.pack(">I", _REFUSED_STREAM)))
        codec.abort(stream_id)
        codec.take_output()  # its own RST_STREAM, which would be the second
    elif faults.failure == "garbage":
        transport.write(waiting + b"\x15\x03 this is not HTTP \xff\r\n\r\n")
        transport.close()
    elif faults.failure == "reset" and not is_http2:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    elif faults.failure in ("close", "refuse") or faults.goaway:
        transport.write(waiting)
        transport.close()
    else:
        codec.abort(stream_id)
        transport.write(waiting + codec.take_output())
        if codec.wants_close:
            transport.close()


def _frame(kind: int, stream_id: int, payload: bytes) -> bytes:
    """An HTTP/2 frame without flags."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0]) + struct.pack(">I", stream_id) + payload
