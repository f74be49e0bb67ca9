"""Starts and stops a proxy many times, each in a process of its own, and prints their exit statuses as JSON.

Not a test module: test_restarts.py runs it as a program. Modules are imported once and each proxy is forked from
there, since importing takes most of a start's time; every fork makes a call, and ends as any interpreter does.
"""

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from config.load import SettingsLoader
from config.prices import load_prices
from proxy import process
from proxy.ledger.prices import PriceBook
from proxy.runtime import Runtime

_PARALLEL = 2


_REQUEST = b"GET /v1/models%s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\nconnection: close\r\n%s\r\n"


def call_and_stop(ready: Runtime, number: int) -> None:
    """Make a call through the plain listener, and tell this process to end; now and then with calls under way."""
    host, port = ready.listeners[0].address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(_REQUEST % (b"", b""))
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        os._exit(99)
    under_way = []
    if number % 3 == 0:  # answered about when the process ends: nobody may be called back then
        for call in range(10):
            client = socket.create_connection((host, int(port)), timeout=20)
            fault = b'x-sim-faults: {"latency_s": 0.0%d}\r\n' % (call + number % 10)
            client.sendall(_REQUEST % (b"?%d" % call, fault))
            under_way.append(client)
    os.kill(os.getpid(), signal.SIGTERM)
    for client in under_way:
        client.close()


def one(config: Path, directory: Path, number: int) -> int:
    """One proxy's life; returns its exit status."""
    given = {"--data-dir": [str(directory)]}
    loader = SettingsLoader(config, given, {"HOME": str(directory)}, "production")

    def on_ready(ready: Runtime) -> None:
        threading.Thread(target=call_and_stop, args=(ready, number), daemon=True).start()

    return process.run(loader, on_ready)


def main() -> None:
    """Arguments: settings file, directory, how often."""
    config, directory, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    PriceBook(load_prices()).warm()  # the largest of all imports, which a proxy leaves to a thread
    statuses: list[int] = []
    running = 0
    for number in range(count):
        child = os.fork()
        if child == 0:
            data = directory / f"data-{number % _PARALLEL}"
            data.mkdir(parents=True, exist_ok=True)
            sys.exit(one(config, data, number))
        running += 1
        if running == _PARALLEL:
            statuses.append(os.waitstatus_to_exitcode(os.wait()[1]))
            running -= 1
    statuses += [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(running)]
    sys.stdout.write(json.dumps(statuses) + "\n")


if __name__ == "__main__":
    main()
