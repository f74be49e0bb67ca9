"""Starts and stops a proxy many times, each in a process of its own, and prints their exit statuses as JSON.

Not a test module: test_restarts.py runs it as a program. Modules are imported once and each proxy is forked from
there, since importing takes most of a start's time; every fork makes a call, and ends as any interpreter does.
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path

from config.load import SettingsLoader
from config.prices import load_prices
from proxy import process, runtime
from proxy.ledger.prices import PriceBook
from proxy.runtime import Runtime

_PARALLEL = 2


def call_and_stop(ready: Runtime, file: Path) -> None:
    """Make a call through the plain listener, and tell this process to end."""
    runtime.write(ready, file)
    host, port = ready.listeners[0].address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\nconnection: close\r\n\r\n")
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        os._exit(99)
    os.kill(os.getpid(), 15)


def one(config: Path, directory: Path) -> int:
    """One proxy's life; returns its exit status."""
    given = {"--data-dir": [str(directory)]}
    loader = SettingsLoader(config, given, {"HOME": str(directory)}, "production")

    def on_ready(ready: Runtime) -> None:
        threading.Thread(target=call_and_stop, args=(ready, directory / "runtime.json"), daemon=True).start()

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
            sys.exit(one(config, data))
        running += 1
        if running == _PARALLEL:
            statuses.append(os.waitstatus_to_exitcode(os.wait()[1]))
            running -= 1
    statuses += [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(running)]
    sys.stdout.write(json.dumps(statuses) + "\n")


if __name__ == "__main__":
    main()
