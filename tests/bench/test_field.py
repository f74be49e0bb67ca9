"""Rivals that are missing, do not start or answer wrongly are told of; Skinflint's failures end the run."""

import contextlib
import dataclasses
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import override

import pytest

from bench.contestants import Contestant, Upstream
from bench.failures import BenchFailed
from bench.field import QUICK, Entrant, Field, Run
from bench.rivals.base import Launch, Rival
from bench.target import Target
from bench.upstream_http1 import Http1Requests, head
from bench.work import Requests, answer, order_of
from proxy.demo.certificates import make_certificates


class Absent(Rival):
    """A rival that is not installed."""

    @override
    def why_missing(self) -> str | None:
        return "not installed"

    @override
    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        raise AssertionError


class Broken(Absent):
    """A rival that cannot be started."""

    @override
    def why_missing(self) -> str | None:
        return None

    @override
    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        raise BenchFailed("no | such\nprogram")


class Plain:
    """A contestant that is no rival, on a port where somebody else listens."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._port = port

    def start(self, upstream: Upstream, directory: Path) -> Target:
        ca = make_certificates(directory).ca
        return Target(("127.0.0.1", self._port), is_proxy=False, ca=ca, pid=None, is_tls=False)

    def stop(self) -> None:
        return None


class Handler(socketserver.BaseRequestHandler):
    """Answers over plain HTTP; calls of 2 KB get a wrong answer."""

    @override
    def handle(self) -> None:
        requests = Http1Requests()
        with contextlib.suppress(ConnectionResetError):
            self.answer_all(requests)

    def answer_all(self, requests: Http1Requests) -> None:
        while received := self.request.recv(65_536):
            if (body := requests.feed(received)) is not None:
                order = order_of(body)
                said = answer(order.number if order.answer_bytes != 2048 else order.number + 1, order.answer_bytes)
                self.request.sendall(head([], len(said)) + said)


@pytest.fixture
def port() -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class Told:
    """The upstream's counters, which nobody counts here."""

    def counters(self) -> dict[str, int]:
        return {"answers": 0}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(dataclasses.replace(QUICK, warm_up_s=0.02), lambda line: None)
    made.directory = tmp_path
    made.upstream = Told()  # type: ignore[assignment]
    return made


@contextlib.contextmanager
def entered(run: Run, *contestants: Contestant) -> Iterator[Field]:
    with run.field(contestants) as field:
        yield field


def test_missing_rival_is_told_of(run: Run, port: int) -> None:
    with entered(run, Plain("us", port), Absent("them", "hit")) as field:
        assert [entrant.name for entrant in field.entrants] == ["us"]
        assert field.absent == {"them": "not installed"}


def test_rival_that_does_not_start_is_told_of_in_a_table_s_words(run: Run) -> None:
    with entered(run, Broken("them", "hit")) as field:
        assert field.absent == {"them": "failed: no such program"}


def compared(run: Run, field: Field, size: int) -> dict[str, int]:
    measured = run.compare(field, 2, lambda target: Requests(answer_bytes=size), seconds=0.02)
    return {name: len(rounds) for name, rounds in measured.items()}


def test_each_round_has_figures_of_all(run: Run, port: int) -> None:
    with entered(run, Plain("us", port), Plain("them", port)) as field:
        assert compared(run, field, 1024) == {"us": QUICK.rounds, "them": QUICK.rounds}


def test_wrong_answer_of_ours_ends_the_run(run: Run, port: int) -> None:
    with entered(run, Plain("us", port)) as field, pytest.raises(BenchFailed, match="a wrong answer to call"):
        compared(run, field, 2048)


def test_rival_that_answers_wrongly_is_left_out(run: Run, port: int) -> None:
    with entered(run, Plain("us", port)) as field:
        target = field.entrants.pop().target
        field.add(Entrant(Absent("them", "hit"), target, run.numbers))
        assert compared(run, field, 2048) == {}
        assert field.absent["them"].startswith("failed: a wrong answer to call")
