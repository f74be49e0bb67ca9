"""A server of bytes that are no HTTP: what stands behind tunnels.

Run as `python -m bench.byte_source`. A client sends eight bytes, how much it wants, and gets so many; negative: it will
send so many itself, and gets one byte once they have all come. Rule: one buffer, no copies, so that it is never the
bottleneck.
"""

import argparse
import json
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Final

PIECE: Final = 256 * 1024
_ORDER: Final = struct.Struct(">q")
_CONTENT: Final = os.urandom(PIECE)


def order(count: int) -> bytes:
    """What a client sends."""
    return _ORDER.pack(count)


def _serve(connection: socket.socket) -> None:
    buffer = bytearray(PIECE)
    with connection:
        try:
            while head := connection.recv(_ORDER.size, socket.MSG_WAITALL):
                (count,) = _ORDER.unpack(head)
                if count >= 0:
                    _send(connection, count)
                else:
                    _take(connection, -count, buffer)
        except (OSError, struct.error):
            return  # the client has left


def _send(connection: socket.socket, count: int) -> None:
    while count:
        piece = min(count, PIECE)
        connection.sendall(memoryview(_CONTENT)[:piece])
        count -= piece


def _take(connection: socket.socket, count: int, buffer: bytearray) -> None:
    while count:
        received = connection.recv_into(buffer, min(count, PIECE))
        if not received:
            return
        count -= received
    connection.sendall(b"\x00")


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.byte_source")
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        part = arguments.ready_file.with_suffix(".part")
        part.write_text(json.dumps({"port": server.getsockname()[1]}))
        part.replace(arguments.ready_file)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
