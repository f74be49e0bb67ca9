"""curl, with what `skinflint env` sets and nothing else: both versions of HTTP, streams, uploads, codings, tunnels."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from proxy.demo.certificates import Certificates
from proxy.exchange.provider import Json
from tests.e2e.sdk_support import Ways, alike, ways

__all__ = ["ways"]

CHAT = "https://api.openai.com/v1/chat/completions"
_FIELDS = "%header{x-skinflint-cache} %header{content-encoding}"
_REPORT = "\n%{http_code} %{http_version} %{ssl_verify_result} %{num_connects} " + _FIELDS


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl got and reported."""

    body: bytes
    status: int
    version: str
    connections: int  # that it had to open
    cache: str
    coding: str

    def json(self) -> Json:
        """The body as an object."""
        value = orjson.loads(self.body)
        assert isinstance(value, dict)
        return value


type Curl = Callable[..., Answer]


@pytest.fixture
def curl(ways: Ways, tmp_path: Path) -> Iterator[Curl]:
    """Runs curl behind the proxy; `around=True` runs it around."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl")

    def run(*arguments: str, around: bool = False) -> Answer:
        environ = ways.direct | {"CURL_CA_BUNDLE": ways.direct["SSL_CERT_FILE"]} if around else ways.through
        command = [program, "--silent", "--show-error", "--max-time", "30", "--no-buffer", "-w", _REPORT, *arguments]
        done = subprocess.run(command, env=dict(environ), cwd=tmp_path, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        body, _, report = done.stdout.rpartition(b"\n")
        status, version, verified, connects, *rest = report.decode().split(" ")
        assert verified == "0"
        return Answer(body, int(status), version, int(connects), *rest)

    yield run
    for file in tmp_path.iterdir():
        file.unlink()


def ask(text: str, **more: object) -> list[str]:
    """The arguments of a deterministic chat."""
    chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    return [CHAT, "-H", "authorization: Bearer sk-test", "--json", orjson.dumps(chat).decode()]


@pytest.mark.parametrize(
    ("option", "versions"),
    [
        ("--http1.0", {"1", "1.1"}),
        ("--http1.1", {"1.1"}),
        ("--http2", {"1.1"}),  # it offers both, and of the two HTTP/1.1 costs less
        ("--http2-prior-knowledge", {"1.1", "2"}),  # newer versions offer HTTP/2 alone
    ],
)
def test_every_version_of_http_gets_the_same_answer_once(curl: Curl, option: str, versions: set[str]) -> None:
    direct = curl(option, *ask(option), around=True)
    first, second = curl(option, *ask(option)), curl(option, *ask(option))
    assert (first.status, first.cache) == (200, "miss")
    assert (second.status, second.cache) == (200, "hit")
    assert {first.version, second.version} <= versions
    assert alike(direct.json(), first.json())
    assert second.body == first.body


@pytest.mark.parametrize("option", ["--http1.1", "--http2-prior-knowledge"])
def test_streams_come_whole_and_again(curl: Curl, option: str) -> None:
    first, second = (curl(option, *ask(f"stream {option}", stream=True)) for _ in range(2))
    assert first.body.endswith(b"data: [DONE]\n\n")
    assert (first.cache, second.cache) == ("miss", "hit")
    assert second.body == first.body


@pytest.mark.parametrize("option", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_a_large_upload_arrives(curl: Curl, ways: Ways, tmp_path: Path, option: str, expect: str) -> None:
    form = tmp_path / "audio.wav"
    form.write_bytes(bytes(range(256)) * 12_000)
    key = ["-H", "authorization: Bearer sk-test", "-H", expect]
    answer = curl(option, "https://api.openai.com/v1/files", *key, "-F", f"file=@{form}", "-F", "purpose=batch")
    assert answer.status == 200
    call = ways.provider.calls[-1]
    assert form.read_bytes() in call.body
    assert answer.json()["bytes"] == len(call.body)


def test_a_coding_is_used_where_it_is_asked_for(curl: Curl) -> None:
    plain = curl("--http1.1", *ask("coded", n=8))
    coded = curl("--http1.1", "--compressed", *ask("coded", n=8))
    assert (plain.cache, plain.coding) == ("miss", "")
    assert coded.cache == "hit"
    assert coded.body == plain.body


def test_calls_one_after_another_share_a_connection(curl: Curl) -> None:
    last = curl("--http1.1", *ask("one connection"), CHAT, CHAT)
    assert last.body.count(b'"object":"chat.completion"') == 3
    assert (last.cache, last.connections) == ("hit", 0)


def test_cache_control_is_obeyed(curl: Curl) -> None:
    first = curl(*ask("control"))
    fresh = curl(*ask("control"), "-H", "cache-control: no-cache")
    assert (first.cache, fresh.cache) == ("miss", "miss")
    assert fresh.json()["id"] != first.json()["id"]
    unknown = curl(*ask("never asked"), "-H", "cache-control: only-if-cached")
    assert unknown.status == 504


def test_other_hosts_keep_their_own_certificate(curl: Curl, authority: Certificates) -> None:
    answer = curl("--cacert", str(authority.ca), "--http2", "https://example.test/some/path?x=1")
    assert (answer.status, answer.version, answer.cache) == (200, "2", "")
    assert answer.json() == {"host": "example.test", "method": "GET", "target": "/some/path?x=1", "bytes": 0}
