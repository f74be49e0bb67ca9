"""bench: load through a proxy, what it refuses to do unasked, and what it says when the way is not open."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Run

REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nproxy-status: test; error=dns_error\r\ncontent-length: 0\r\n\r\n"


@contextlib.contextmanager
def refusing_proxy() -> Iterator[str]:
    """A proxy that says no to everything; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(REFUSAL)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_an_origin_elsewhere_is_not_asked_without_a_number_of_calls(skinflint: Run) -> None:
    result = skinflint("bench", "--target", "https://api.openai.com")
    assert result.exit_code == 2
    assert "--calls" in result.output


def test_an_origin_elsewhere_is_not_asked_without_a_yes(skinflint: Run) -> None:
    result = skinflint("bench", "--target", "https://api.openai.com/v1/models", "--calls", "1234")
    assert result.exit_code == 2
    assert "up to 1,234 calls to https://api.openai.com:443/v1/models" in result.output
    assert "--yes" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "nonsense"), "--target"),
        (("--proxy", "127.0.0.1:8080"), "--proxy"),
        (("--header", "no colon"), "--header"),
        (("--key-env", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
    ],
)
def test_a_mistake_in_the_options_is_named(skinflint: Run, arguments: tuple[str, str], said: str) -> None:
    result = skinflint("bench", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_proxy_that_does_not_know_the_upstream_is_told_how_to(skinflint: Run) -> None:
    with refusing_proxy() as url:
        result = skinflint("bench", "--proxy", url, "--upstream-port", "0")
    assert result.exit_code == 1
    for said in ("dns_error", "upstream.resolve", "--upstream-ca", "bench.example.test", "--target https://127.0.0.1:"):
        assert said in result.output


def test_where_nothing_listens_it_says_so(skinflint: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = skinflint("bench", "--proxy", f"http://127.0.0.1:{port}", "--upstream-port", "0")
    assert result.exit_code == 1
    assert f"nothing listens at 127.0.0.1:{port}" in result.output


@pytest.mark.parametrize(("work", "outcome"), [("hits", "hit"), ("forwards", "miss"), ("streams", "miss")])
def test_a_proxy_of_its_own_is_measured(skinflint: Run, work: str, outcome: str) -> None:
    result = skinflint("bench", "--work", work, "--connections", "4", "--calls", "21", "--seconds", "60", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["calls"], figures["errors"]) == (20, {})  # the first of them shows that the way is open
    assert figures["outcomes"][outcome] == 20
    assert figures["answer"]["p50_ms"] > 0
    assert (figures["pieces_per_s"] > 0) is (work == "streams")
