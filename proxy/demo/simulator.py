"""Many LLM providers in one server: what `skinflint demo`, the end-to-end tests and the benchmark talk to.

Rules: HTTP/1.1 and HTTP/2, with TLS or without; the provider follows from the Host (a path that begins with `/@HOST/`
overrides it); every call is counted, and the latest are kept; misbehaviour is asked for by `options`, `faults` and
`script`. `python -m proxy.demo.simulator` runs it as a process, with `/__sim/…` to read and steer it.
"""

import argparse
import asyncio
import os
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from secrets import token_bytes
from types import TracebackType
from typing import Final, Self

import orjson
import uvloop

from proxy.demo.asks import Answer, Ask, Call, PromptCache, json_object
from proxy.demo.calls import CallLog
from proxy.demo.certificates import Certificates, make_certificates
from proxy.demo.coding import decode, encode
from proxy.demo.control import PREFIX, control
from proxy.demo.dialects import dialect_of
from proxy.demo.faults import NO_FAULTS, Faults, Options, choose
from proxy.demo.server import Connection
from proxy.demo.traffic import Received, Traffic
from proxy.exchange.headers import text
from proxy.exchange.provider import Json

_STOP_S: Final = 2.0
_TLS_FAREWELL_S: Final = 0.25  # for the client's close_notify, which idle clients never send

type Script = Callable[[Call], Answer | None]


class Simulator:
    """See the module. `async with Simulator(certificates) as simulator:` serves on a loopback port until it is left.

    `listen`: addresses to listen on instead; `port` must be given then if there are several."""

    def __init__(
        self,
        certificates: Certificates | None = None,
        options: Options | None = None,
        *,
        port: int = 0,
        listen: Sequence[str] = ("127.0.0.1",),
    ) -> None:
        self.options = options or Options()
        self._listen = listen
        self.faults: list[Faults] = []
        self.traffic = Traffic()
        self._log = CallLog(self.options.keep_calls)
        self.port = port
        self._certificates = certificates
        self._script: Script | None = None
        self._connections: set[Connection] = set()
        self._connected = 0
        self._seed = token_bytes(8)
        self._prompt_cache = PromptCache()
        self._date = (0, b"")
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; `port` is known from then on."""
        loop = asyncio.get_running_loop()
        tls = self._tls()
        self._server = await loop.create_server(
            lambda: Connection(self),
            self._listen,
            self.port,
            ssl=tls,
            backlog=1024,
            ssl_shutdown_timeout=_TLS_FAREWELL_S if tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and every connection, and wait until they are gone."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        deadline = time.monotonic() + _STOP_S
        while self._connections and time.monotonic() < deadline:  # noqa: ASYNC110  # ends in a turn or two of the loop
            await asyncio.sleep(0)
        await self._server.wait_closed()
        self._server = None

    # What tests read

    @property
    def address(self) -> str:
        """127.0.0.1:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme and address."""
        return f"{'https' if self._certificates else 'http'}://{self.address}"

    def addresses(self, *hosts: str) -> Mapping[str, str]:
        """These hosts, each at the simulator's address: a value for `upstream.resolve`."""
        return dict.fromkeys(hosts, self.address)

    def count(self, *, path: str | None = None, host: str | None = None, method: str | None = None) -> int:
        """Calls so far that match all that is given."""
        return self._log.count(path=path, host=host, method=method)

    @property
    def calls(self) -> deque[Call]:
        """The latest calls, oldest first."""
        return self._log.latest

    @property
    def connections_opened(self) -> int:
        """Connections that got as far as speaking HTTP."""
        return self.traffic.opened.total()

    @property
    def connections_open(self) -> int:
        """Connections open now, silent ones included."""
        return len(self._connections)

    def stats(self) -> Json:
        """All counters, for JSON."""
        traffic = self.traffic
        return {
            "calls": self.count(),
            "by_path": self._log.rows(),
            "connections_opened": dict(traffic.opened),
            "connections_open": len(self._connections),
            "completed": traffic.completed,
            "abandoned": traffic.abandoned,
            "broken": traffic.broken,
            "most_streams": traffic.most_streams,
        }

    # What tests set

    def script(self, script: Script | None) -> None:
        """Ask this function for each answer first; where it returns None, the provider answers as ever."""
        self._script = script

    def reset(self) -> None:
        """Forget calls, counters, faults and the script. Open connections stay and keep counting as open."""
        self._log.clear()
        self.faults.clear()
        self._script = None
        active, still_open = self.traffic.active_streams, self.traffic.open
        self.traffic = Traffic(open=still_open, active_streams=active, most_streams=active)

    # Service, for connections

    def connected(self, connection: Connection) -> int:
        """A connection begins; returns its number."""
        self._connections.add(connection)
        self._connected += 1
        return self._connected

    def disconnected(self, connection: Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)

    def serve(self, received: Received) -> tuple[Answer, Faults]:
        """Answer a request: the control paths, the script, a fault, or the provider."""
        host, target = self._place(received)
        if target.startswith(PREFIX):
            return control(self, received.head.method.decode("latin-1"), target, received.body), NO_FAULTS
        call = self._log.record(received, host, target)
        try:
            faults = choose(self.faults, call)
            body = decode(received.body, text(call.headers, b"content-encoding"))
        except ValueError as exc:
            return dialect_of(host).error(self._ask(call, b""), 400, str(exc)), NO_FAULTS
        answer = self._script(call) if self._script else None
        if answer is None:
            answer = self._provider_answer(self._ask(call, body), faults)
        return self._finished(call, answer), faults

    # Inside

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificates is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.cert, self._certificates.key)
        context.set_alpn_protocols(["h2", "http/1.1"] if self.options.http2 else ["http/1.1"])
        return context

    def _place(self, received: Received) -> tuple[str, str]:
        """The host and the path that are meant."""
        host = _without_port(received.head.authority.decode("latin-1").lower())
        target = received.head.target.decode("latin-1")
        if not target.startswith("/"):  # absolute-form
            target = "/" + target.partition("://")[2].partition("/")[2]
        if target.startswith("/@"):
            host, _, rest = target[2:].partition("/")
            target = "/" + rest
        elif host in ("", "127.0.0.1", "localhost", "::1"):
            host = self.options.default_host
        return host, target

    def _ask(self, call: Call, body: bytes) -> Ask:
        return Ask(call, body, json_object(body), self.options.events, self._seed, self._prompt_cache)

    def _provider_answer(self, ask: Ask, faults: Faults) -> Answer:
        dialect = dialect_of(ask.call.host)
        if not faults.status:
            return dialect.answer(ask)
        answer = dialect.error(ask, faults.status, "Something went wrong here, as the simulator was told.")
        if faults.retry_after:
            return replace(answer, headers=[*answer.headers, (b"retry-after", faults.retry_after.encode())])
        return answer

    def _finished(self, call: Call, answer: Answer) -> Answer:
        """The answer with its date and, if it comes whole, in a coding the client accepts."""
        now = int(call.at)
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True).encode())
        headers = [(b"date", self._date[1]), *answer.headers]
        if answer.streamed or not self.options.compress:
            return replace(answer, headers=headers)
        body, coding = encode(answer.body, text(call.headers, b"accept-encoding"))
        if coding:
            headers += [(b"content-encoding", coding), (b"vary", b"accept-encoding")]
        return Answer([body], answer.status, headers)


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proxy.demo.simulator", description="Simulated LLM providers.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--cert", type=Path, help="PEM file; without it and --certificates: no TLS")
    parser.add_argument("--key", type=Path, help="PEM file")
    parser.add_argument("--certificates", type=Path, help="make a CA and a certificate in this directory")
    parser.add_argument("--ready-file", type=Path, help="written with port and process id once it listens")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--max-streams", type=int, default=100)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--interval-ms", type=float, default=0.0)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--http1", action="store_true", help="do not offer HTTP/2")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    parser.add_argument("--default-host", default=Options().default_host)
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    certificates = None
    if arguments.certificates:
        certificates = make_certificates(arguments.certificates)
    elif arguments.cert:
        certificates = Certificates(arguments.cert, arguments.cert, arguments.key or arguments.cert)
    options = Options(
        http2=not arguments.http1,
        max_streams=arguments.max_streams,
        latency_s=arguments.latency_ms / 1000,
        events=arguments.events,
        interval_s=arguments.interval_ms / 1000,
        jitter=arguments.jitter,
        default_host=arguments.default_host,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if arguments.lifeline:
        loop.add_reader(sys.stdin.fileno(), stopped.set)  # nobody writes to it: readable means that it has ended
    async with Simulator(certificates, options, port=arguments.port) as simulator:
        if arguments.ready_file:
            _announce(arguments.ready_file, simulator.port)
        await stopped.wait()


def _announce(path: Path, port: int) -> None:
    """Write the ready file in one step, so that nobody reads half of it."""
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps({"port": port, "pid": os.getpid()}))
    part.replace(path)


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
