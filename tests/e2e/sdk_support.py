"""What the SDKs' tests share: the two ways to the providers, and clients that are asked the same on both.

`ways` (once a module) is a simulator with a proxy before it, and a way around the proxy. `Clients` runs one script on
each way and compares: what an application sees through the proxy must be what it sees without, and what it is told the
second time must come from the cache, identical to the last identifier.

Rules: a client gets nothing but what `skinflint env` prints, evaluated by a shell, and its providers' keys. Identifiers
and times differ with every real call: they are compared by type and length (`alike`), all else by value.
"""

import contextlib
import os
import re
import select
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import orjson
import pytest

from proxy.demo.certificates import Certificates
from proxy.demo.dialects import HOSTS
from proxy.demo.faults import Faults
from tests.conftest import towards
from tests.e2e.connect_relay import connect_relay
from tests.support.background import Providers, providers
from tests.support.processes import clients_python, environment, module, wait_until
from tests.support.running import RunningProxy, running_proxy

SCRIPTS = Path(__file__).with_name("sdk")
ANSWER_S = 60.0
_STOP_S = 10.0

KEYS: Mapping[str, str] = {
    "OPENAI_API_KEY": "sk-test",
    "ANTHROPIC_API_KEY": "sk-ant-test",
    "GEMINI_API_KEY": "gemini-test",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its prices when it is imported
    "PYTHONDONTWRITEBYTECODE": "1",
}
_IDENTIFIER = re.compile(r"\b(?:file-|batch_|resp_)\w+")
AZURE = "team.openai.azure.com"
WEBSITE = "example.test"

# Members whose value is made anew with every real answer.
_NEW_EACH_TIME = frozenset(
    {
        "id",
        "_request_id",
        "request_id",
        "x-request-id",
        "request-id",
        "created",
        "created_at",
        "item_id",
        "call_id",
        "tool_call_id",
        "response_id",
        "responseId",
        "b64_json",
        "system_fingerprint",
        "obfuscation",
        "completed_at",
    }
)


@dataclass(frozen=True, slots=True)
class Ways:
    """Two ways to the same providers."""

    provider: Providers
    proxy: RunningProxy
    direct: Mapping[str, str]  # variables of a client that goes around the proxy
    through: Mapping[str, str]  # ... and of one that was told what `skinflint env` prints

    def calls(self) -> Counter[str]:
        """How often each operation has reached the providers so far."""
        rows = self.provider.stats()["by_path"]
        assert isinstance(rows, list)
        counted: Counter[str] = Counter()
        for row in rows:
            counted[f"{row['method']} {row['host']}{_IDENTIFIER.sub('{id}', row['path'])}"] += row["count"]
        return counted


def evaluated(proxy: RunningProxy, home: Path) -> dict[str, str]:
    """The variables of a shell that has done what the README says: eval "$(skinflint env)"."""
    command = shlex.join(module("proxy", "env", "--data-dir", str(proxy.data_dir)))
    script = f'eval "$({command})"; unset PYTHONPATH; exec env -0'
    shell = subprocess.run(
        ["sh", "-ec", script], env=environment(home), cwd=home, capture_output=True, check=True, timeout=60
    )
    pairs = (entry.partition("=") for entry in shell.stdout.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs if name not in ("PWD", "_", "SHLVL", "OLDPWD")}


@pytest.fixture(scope="module")
def ways(authority: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """One simulator, one proxy that answers every repeated call again, and the way around it."""
    directory = tmp_path_factory.mktemp("ways")
    with providers(authority) as provider, connect_relay(provider.port) as relay:
        settings = {**towards(provider, authority, *HOSTS, AZURE, WEBSITE), "profile": "development"}
        with running_proxy(directory / "proxy", settings) as proxy:
            through = {**evaluated(proxy, directory), **KEYS}
            direct = {
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "HTTPS_PROXY": relay.url,
                "SSL_CERT_FILE": str(authority.ca),
                "REQUESTS_CA_BUNDLE": str(authority.ca),
                **KEYS,
            }
            yield Ways(provider, proxy, direct, through)


class Client:
    """A client script that runs, and answers one question at a time."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._rest = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env=dict(environ),
                cwd=log.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, name: str) -> object:
        """Have it run a scenario, and return what the application saw."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells
            self._process.stdin.write(name.encode() + b"\n")
            self._process.stdin.flush()
        answer = orjson.loads(self._line())
        assert "failure" not in answer, answer["failure"]
        value: object = answer["value"]
        return value

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        give_up_at = time.monotonic() + ANSWER_S
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, give_up_at - time.monotonic()))
            piece = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                reason = "has ended" if ready else "does not answer"
                raise AssertionError(f"the client {reason}; it said:\n{self._log.read_text()[-4000:]}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@dataclass(frozen=True, slots=True)
class Seen:
    """What an application saw, and which calls reached the providers for it: around the proxy, through it, again."""

    direct: object
    through: object
    again: object
    calls_direct: Counter[str]
    calls_through: Counter[str]
    calls_again: Counter[str]


class Clients:
    """The same script on both ways."""

    def __init__(self, ways: Ways, direct: Client, through: Client) -> None:
        self.ways = ways
        self._direct = direct
        self._through = through

    def scenarios(self) -> list[str]:
        """What the script can be asked."""
        known = self._through.ask("?")
        assert isinstance(known, list)
        return known

    def see(self, name: str, faults: Sequence[Faults] = ()) -> Seen:
        """Run a scenario around the proxy, through it, and through it again. `faults` are new for the first two."""
        direct, calls_direct = self._run(self._direct, name, faults)
        through, calls_through = self._run(self._through, name, faults)
        again, calls_again = self._run(self._through, name, ())
        return Seen(direct, through, again, calls_direct, calls_through, calls_again)

    def _run(self, client: Client, name: str, faults: Sequence[Faults]) -> tuple[object, Counter[str]]:
        before = self.ways.calls()
        self.ways.provider.faults = [replace(each) for each in faults]  # they count their uses
        try:
            value = client.ask(name)
        finally:
            self.ways.provider.faults = []
        return value, self.ways.calls() - before


@contextlib.contextmanager
def python_clients(ways: Ways, script: str, log_directory: Path) -> Iterator[Clients]:
    """A Python script of `sdk/` on both ways. Skips when the SDKs are not installed."""
    python = clients_python()
    if python is None:
        pytest.skip("no SDKs: `make clients` installs them")
    command = [str(python), str(SCRIPTS / script)]
    with both(ways, command, command, log_directory) as clients:
        yield clients


@contextlib.contextmanager
def both(ways: Ways, direct: Sequence[str], through: Sequence[str], log_directory: Path) -> Iterator[Clients]:
    """A command on both ways."""
    with (
        Client(direct, ways.direct, log_directory / "direct.log") as first,
        Client(through, ways.through, log_directory / "through.log") as second,
    ):
        yield Clients(ways, first, second)


def alike(one: object, other: object, member: str = "") -> bool:
    """Equal, but for what is made anew with every answer: that must only look the same.

    A chunk's `usage: null` counts as none: who asks for the usage of a stream gets it on each chunk but the last.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        one, other = ({k: v for k, v in each.items() if (k, v) != ("usage", None)} for each in (one, other))
        return one.keys() == other.keys() and all(alike(one[name], other[name], name) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(*pair, member) for pair in zip(one, other, strict=True))
    if member in _NEW_EACH_TIME and type(one) is type(other):
        return len(str(one)) == len(str(other))
    return one == other


def assert_answered_again(seen: Seen) -> None:
    """The same through the proxy as around it; the second time from the cache."""
    assert alike(seen.direct, seen.through), (seen.direct, seen.through)
    saved = seen.calls_direct - seen.calls_through
    assert seen.calls_through <= seen.calls_direct
    assert all("embed" in call.lower() for call in saved), "only inputs that were embedded before need no call"
    assert seen.again == seen.through
    assert seen.calls_again == Counter()


def assert_left_running(seen: Seen) -> None:
    """The client gives up before the answer: the same through the proxy as around it. The provider goes on answering,
    and charges, so asking again joins that call: nothing is paid twice."""
    assert alike(seen.direct, seen.through), (seen.direct, seen.through)
    assert alike(seen.through, seen.again), (seen.through, seen.again)
    assert seen.calls_direct == seen.calls_through
    assert seen.calls_through.total() > 0
    assert seen.calls_again == Counter()


def assert_passed_on(seen: Seen) -> None:
    """The same through the proxy as around it, each time, and each time asked of the provider."""
    assert alike(seen.direct, seen.through), (seen.direct, seen.through)
    assert alike(seen.through, seen.again), (seen.through, seen.again)
    assert seen.calls_direct == seen.calls_through
    assert seen.calls_again == seen.calls_through
    assert seen.calls_through.total() > 0


def wait_until_nothing_is_open(ways: Ways) -> None:
    """Until every stream towards the providers has ended."""
    wait_until(lambda: ways.provider.traffic.active_streams == 0, "no stream is open", deadline_s=20)
