"""Sends a datagram to `HOST PORT`, and prints what became of it: `sent` or not, and what was heard then.

A datagram that the kernel refuses fails when it is sent, whatever the socket; who has connected the socket hears of the
refusal once more, as of a port where nobody listens.
"""

import socket
import sys

host, port = sys.argv[1:]
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(5)
    client.connect((host, int(port)))
    try:
        client.send(b"hello")
        sent = "sent"
    except PermissionError:
        sent = "not permitted"
    try:
        heard = client.recv(100).decode()
    except ConnectionRefusedError:
        heard = "refused"
    except TimeoutError:
        heard = "nothing"
print(f"{sent}, {heard}")
