"""Real clients in an application's container: each makes the same call twice, and says what came back.

Rules: a client has nothing but what its container got: variables, files, the network. Interpreters that take long to
start go on from test to test; a runtime that is not on this machine skips its tests. programs/ holds the programs.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.e2e.sdk_support import Client
from tests.kubernetes.kubelet import RunningPod
from tests.kubernetes.pods import APP
from tests.support.processes import ROOT, clients_python

PROGRAMS = Path(__file__).with_name("programs")
NODE_SDKS = ROOT / "tests" / "e2e" / "node" / "node_modules"

# Those that name a host of their own, and those that are asked for one.
OWN_HOST = {
    "python anthropic": "api.anthropic.com",
    "python gemini": "generativelanguage.googleapis.com",
    "node anthropic": "api.anthropic.com",
}
ANY_HOST = (
    "python openai",
    "python httpx",
    "python requests",
    "python urllib",
    "python urllib3",
    "python aiohttp",
    "python aiohttp_told",
    "node openai",
    "node fetch",
    "node https",
    "go",
    "java http",
    "java url",
    "ruby",
    "curl",
)
# Those that say of a server whether they trust it.
JUDGES = (
    "python urllib",
    "python requests",
    "python httpx",
    "node https",
    "go",
    "java http",
    "java url",
    "ruby",
    "curl",
    "openssl",
)
TRUSTED = "trusted"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call came back with. `cache`: what the sidecar says of it; empty when it did not see it."""

    status: int
    cache: str
    said: str


class Clients:
    """The clients of one pod's container."""

    def __init__(self, pod: RunningPod, programs: Path, logs: Path, container: str = APP) -> None:
        self._pod = pod
        self._programs = programs
        self._logs = logs
        self._container = container
        self._open = contextlib.ExitStack()
        self._speaking: dict[str, Client] = {}

    def close(self) -> None:
        """End those that go on."""
        self._open.close()

    def ask(self, client: str, host: str, prompt: str) -> list[Answer]:
        """The answers of two calls that are the same."""
        runtime, _, library = client.partition(" ")
        if runtime in ("python", "node"):
            told = self._speak(runtime, {"client": library, "host": host, "prompt": prompt})
        elif runtime == "curl":
            told = [self._curl(host, prompt) for _ in range(2)]
        else:
            told = self._run(self._command(runtime), "ask", *library.split(), host, prompt)
        assert isinstance(told, list)
        return [Answer(**each) for each in told]

    def judge(self, client: str, urls: list[str]) -> list[str]:
        """Of each server TRUSTED, or why not."""
        runtime, _, library = client.partition(" ")
        match runtime:
            case "python" | "node":
                return [str(self._speak(runtime, {"client": library, "url": url})) for url in urls]
            case "curl":
                return [self._judged([needed("curl"), "-sS", "-m", "20", "-o", "/dev/null", url]) for url in urls]
            case "openssl":
                return [self._judged(_s_client(url)) for url in urls]
            case _:
                told = self._run(self._command(runtime), "trust", *library.split(), *urls)
                assert isinstance(told, list)
                return [str(each) for each in told]

    def _speak(self, runtime: str, wish: dict[str, str]) -> object:
        if runtime not in self._speaking:
            log = self._logs / f"{runtime}.log"
            command = self._pod.inside(self._container, *self._command(runtime))
            speaking = Client(command, self._pod.environment(self._container), log)
            self._speaking[runtime] = self._open.enter_context(speaking)
        return self._speaking[runtime].ask(orjson.dumps(wish).decode())

    def _command(self, runtime: str) -> list[str]:
        commands: dict[str, Callable[[], list[str]]] = {
            "python": lambda: [_python(), str(PROGRAMS / "calls.py")],
            "node": lambda: [_node(), str(PROGRAMS / "calls.cjs")],
            "go": lambda: [str(built(self._programs, "calls"))],
            "java": lambda: [needed("java"), "-cp", str(built(self._programs, "Calls.class").parent), "Calls"],
            "ruby": lambda: [needed("ruby"), str(PROGRAMS / "calls.rb")],
        }
        return commands[runtime]()

    def _run(self, command: list[str], *arguments: str) -> object:
        done = self._pod.exec(self._container, *command, *arguments)
        assert done.returncode == 0, done.stderr
        value: object = orjson.loads(done.stdout)
        return value

    def _curl(self, host: str, prompt: str) -> dict[str, object]:
        chat = {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        url = f"https://{host}/v1/chat/completions"
        report = "\n%{http_code} %header{x-skinflint-cache}"
        more = ["-H", "authorization: Bearer sk-test", "--json", orjson.dumps(chat).decode(), "-w", report]
        done = self._pod.exec(self._container, needed("curl"), "-sS", "-m", "20", url, *more)
        assert done.returncode == 0, done.stderr
        body, _, told = done.stdout.rpartition("\n")
        status, _, cache = told.partition(" ")
        words = orjson.loads(body)["choices"][0]["message"]["content"]
        return {"status": int(status), "cache": cache, "said": words}

    def _judged(self, command: list[str]) -> str:
        done = self._pod.exec(self._container, *command)
        return TRUSTED if done.returncode == 0 else done.stdout + done.stderr


def _s_client(url: str) -> list[str]:
    place = url.removeprefix("https://").removesuffix("/")
    name = place.partition(":")[0]
    check = ["-verify_ip", name] if name[0].isdigit() else ["-servername", name, "-verify_hostname", name]
    return [needed("openssl"), "s_client", "-connect", place, *check, "-verify_return_error", "-brief"]


def needed(program: str) -> str:
    """Its path; skips when it is not on this machine."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program}")
    return found


def built(programs: Path, name: str) -> Path:
    """A program that `build` made; skips when its compiler is not on this machine."""
    if not (programs / name).exists():
        pytest.skip(f"{name} could not be built: there is no {'go' if name == 'calls' else 'javac'}")
    return programs / name


def build(programs: Path) -> None:
    """Compile what has to be, as far as there are compilers."""
    if go := shutil.which("go"):
        cache = {"HOME": str(programs), "GOCACHE": str(programs / "go")}
        environ = {"PATH": "/usr/bin:/bin", "GO111MODULE": "off", **cache}
        command = [go, "build", "-o", str(programs / "calls"), str(PROGRAMS / "calls.go")]
        subprocess.run(command, env=environ, cwd=programs, check=True, capture_output=True, timeout=100)
    if javac := shutil.which("javac"):
        command = [javac, "-d", str(programs), str(PROGRAMS / "Calls.java")]
        subprocess.run(command, check=True, capture_output=True, timeout=100)


def _python() -> str:
    python = clients_python()
    if python is None:
        pytest.skip("no SDKs: `make clients` installs them")
    return str(python)


def _node() -> str:
    if not NODE_SDKS.is_dir():
        pytest.skip("no SDKs for Node: `make node-clients` installs them")
    return needed("node")
