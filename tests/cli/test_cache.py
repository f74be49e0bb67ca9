"""cache stats and cache clear against an admin listener."""

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from proxy import runtime
from tests.cli.conftest import Run
from tests.cli.test_runtime import make_runtime

DATA_DIR = ".local/share/skinflint"
TOKEN = "t" * 43


class Admin(HTTPServer):
    """Answers as it is told and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.authorizations: list[str | None] = []
        self.status = 200
        self.body = json.dumps(
            {"cache": {"entries": 3, "bytes": 12345}, "tiers": [{"name": "memory", "ratio": None}]}
        ).encode()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Admin

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.authorizations.append(self.headers.get("Authorization"))
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin(home: Path) -> Iterator[Admin]:
    (home / DATA_DIR).mkdir(parents=True)
    (home / DATA_DIR / "admin.token").write_text(f"{TOKEN}\n")
    server = Admin()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_stats_are_shown_as_lines(skinflint: Run, admin: Admin) -> None:
    result = skinflint("cache", "stats", "--admin", admin.address)
    lines = ["cache.entries   3", "cache.bytes     12,345", "tiers[0].name   memory", "tiers[0].ratio  –"]
    assert result.stdout.splitlines() == lines
    assert admin.asked == ["GET /v1/stats"]


def test_stats_can_be_json(skinflint: Run, admin: Admin) -> None:
    result = skinflint("cache", "stats", "--admin", admin.address, "--format", "json")
    assert json.loads(result.stdout) == json.loads(admin.body)


def test_clear_posts(skinflint: Run, admin: Admin) -> None:
    admin.body = b""
    assert skinflint("cache", "clear", "--admin", admin.address).exit_code == 0
    assert admin.asked == ["POST /v1/cache/clear"]
    assert admin.authorizations == [f"Bearer {TOKEN}"]


def test_the_token_may_be_in_a_file_that_the_settings_name(
    skinflint: Run, admin: Admin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "secret").write_text("another token")
    monkeypatch.setenv("SKINFLINT_ADMIN__TOKEN_FILE", str(home / "secret"))
    assert skinflint("cache", "clear", "--admin", admin.address).exit_code == 0
    assert admin.authorizations == ["Bearer another token"]


def test_without_the_token_nothing_is_asked_but_statistics(skinflint: Run, admin: Admin, home: Path) -> None:
    (home / DATA_DIR / "admin.token").unlink()
    result = skinflint("cache", "clear", "--admin", admin.address)
    assert (result.exit_code, "admin.token cannot be read" in result.stderr, admin.asked) == (1, True, [])
    assert skinflint("cache", "stats", "--admin", admin.address).exit_code == 0
    assert admin.authorizations == [None]


def test_a_token_that_is_refused_is_said(skinflint: Run, admin: Admin) -> None:
    admin.status, admin.body = 401, b'{"error": "this needs the token"}'
    result = skinflint("cache", "clear", "--admin", admin.address)
    assert (result.exit_code, "401 to POST /v1/cache/clear: this needs the token" in result.stderr) == (1, True)
    assert TOKEN not in result.output


def test_the_running_proxy_is_found_and_no_proxy_is_used(
    skinflint: Run, admin: Admin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    runtime.write(dataclasses.replace(make_runtime(home / "data"), admin=admin.address.replace("127.0.0.1", "0.0.0.0")))
    assert skinflint("cache", "stats", "--data-dir", "data").exit_code == 0
    assert admin.asked == ["GET /v1/stats"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [(503, b"{}", "answered 503 to GET /v1/stats"), (200, b"<html>", "is not Skinflint's admin listener")],
)
def test_a_strange_answer_is_a_failure(skinflint: Run, admin: Admin, status: int, body: bytes, message: str) -> None:
    admin.status, admin.body = status, body
    result = skinflint("cache", "stats", "--admin", admin.address)
    assert (result.exit_code, message in result.stderr) == (1, True)


def test_nobody_answering_is_a_failure(skinflint: Run) -> None:
    result = skinflint("cache", "stats", "--admin", "127.0.0.1:1")
    assert (result.exit_code, "does not answer" in result.stderr) == (1, True)


def test_an_address_that_is_none_is_a_mistake(skinflint: Run) -> None:
    result = skinflint("cache", "stats", "--admin", "nonsense")
    assert (result.exit_code, "HOST:PORT" in result.stderr) == (2, True)
