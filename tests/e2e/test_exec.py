"""`skinflint exec` around real programs that call providers: what they get, what the summary says, how it all ends.

Its statuses and its proxy's life without any call are tests/cli's business.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import towards
from tests.support.background import Providers, providers
from tests.support.processes import clients_python, environment, is_alive, module, running, wait_until
from tests.support.running import merged

BASE: Mapping[str, object] = {"data_dir": "data", "ledger": {"flush_s": 0.05}, "drain": {"timeout_s": 5}}

# A program as anybody writes it: the standard library alone.
CALL = """
import json, os, sys, urllib.request
def call(text):
    body = {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": "Bearer sk-test", "content-type": "application/json"}
    url = "https://api.openai.com/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)["id"]
"""
SUMMARY = re.compile(
    r"skinflint: (?P<calls>\d+) calls? \((?P<hits>\d+) hits?, (?P<collapsed>\d+) collapsed(?P<more>[^)]*)\), "
    r"cost (?P<cost>[^,]+), saved (?P<saved>.+)\n"
)


@pytest.fixture(scope="module")
def provider(authority: Certificates) -> Iterator[Providers]:
    with providers(authority) as simulated:
        yield simulated


@pytest.fixture
def home(provider: Providers, authority: Certificates, tmp_path: Path) -> Path:
    """A working directory whose settings file leads to the simulated provider."""
    provider.start_over()
    (tmp_path / "skinflint.yaml").write_bytes(orjson.dumps(merged(BASE, towards(provider, authority))))
    return tmp_path


def execute(home: Path, *program: str) -> subprocess.CompletedProcess[str]:
    """`skinflint exec -- PROGRAM` in the home directory, to its end."""
    command = module("proxy", "exec", "--", *program)
    return subprocess.run(
        command, cwd=home, env=environment(home), capture_output=True, text=True, check=False, timeout=100
    )


def summary(errors: str) -> dict[str, str]:
    """The last line's figures."""
    match = SUMMARY.search(errors)
    assert match, errors
    return match.groupdict()


def test_a_program_is_answered_and_the_summary_tells_what_it_cost(home: Path, provider: Providers) -> None:
    done = execute(home, sys.executable, "-c", CALL + "print(call('one'), call('one'), call('two')); sys.exit(3)")
    assert done.returncode == 3, done.stderr
    first, second, other = done.stdout.split()
    assert first == second != other
    said = summary(done.stderr)
    assert (said["calls"], said["hits"], said["collapsed"], said["more"]) == ("3", "1", "0", "")
    assert said["cost"].startswith("$0.0")
    assert said["saved"].startswith("$0.0")
    assert float(said["saved"].lstrip("$")) < float(said["cost"].lstrip("$"))
    assert provider.count() == 2


def test_what_the_program_starts_is_led_here_too(home: Path, provider: Providers) -> None:
    innermost = "os.environ['CALL'] + 'print(call(\"child\"))'"
    nested = f"import subprocess; subprocess.run([sys.executable, '-c', {innermost}], check=True)"
    script = f'export CALL="$0"; "{sys.executable}" -c "$1"; "{sys.executable}" -c "$1"'
    done = execute(home, "sh", "-c", script, CALL, CALL + nested)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second
    assert summary(done.stderr)["calls"] == "2"
    assert provider.count() == 1


def test_node_is_led_here_too(home: Path, provider: Providers) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    script = """
        const messages = [{ role: 'user', content: 'node' }];
        const body = JSON.stringify({ model: 'gpt-4o-mini', temperature: 0, messages });
        const headers = { authorization: 'Bearer sk-test', 'content-type': 'application/json' };
        const ask = () => fetch('https://api.openai.com/v1/chat/completions', { method: 'POST', headers, body });
        (async () => { for (const _ of [1, 2]) console.log((await (await ask()).json()).id); })();
    """
    done = execute(home, node, "-e", script)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second
    assert summary(done.stderr)["hits"] == "1"
    assert provider.count() == 1


def test_an_sdk_is_led_here_too(home: Path, provider: Providers) -> None:
    python = clients_python()
    if python is None:
        pytest.skip("no SDKs: `make clients` installs them")
    script = (
        "from openai import OpenAI; ask = OpenAI(api_key='sk-test').responses.create;"
        "print(*[ask(model='gpt-4o-mini', input='x').id for _ in range(3)])"
    )
    done = execute(home, str(python), "-c", script)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert summary(done.stderr)["hits"] == "2"
    assert provider.count() == 1


def test_the_program_sees_the_providers_errors_and_pays_nothing_for_them(home: Path, provider: Providers) -> None:
    fail = "import urllib.error\ntry: call('x')\nexcept urllib.error.HTTPError as exc: print(exc.code)"
    done = execute(home, sys.executable, "-c", CALL.replace("gpt-4o-mini", "no-such-model") + fail)
    assert (done.returncode, done.stdout) == (0, "404\n"), done.stderr
    said = summary(done.stderr)
    assert (said["calls"], said["hits"], said["cost"]) == ("1", "0", "$0.00")


def test_two_at_once_have_answers_of_their_own_and_one_ledger(home: Path, provider: Providers) -> None:
    wait = """
import pathlib, time
print(call("both"), flush=True)
while not pathlib.Path("go").exists(): time.sleep(0.02)
print(call("both"))
"""
    command = module("proxy", "exec", "--", sys.executable, "-c", CALL + wait)
    with running(command, home) as one, running(command, home) as two:
        wait_until(lambda: provider.count() == 2, "both have called", process=one)
        (home / "go").touch()
        assert [one.popen.wait(60), two.popen.wait(60)] == [0, 0]
    said = one.output  # both write to one log
    identifiers = re.findall(r"chatcmpl-\w+", said)
    assert sorted(identifiers.count(each) for each in set(identifiers)) == [2, 2]
    assert provider.count() == 2
    assert max(int(match["calls"]) for match in SUMMARY.finditer(said)) == 4


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_a_program_that_waits_for_an_answer(
    home: Path, provider: Providers, number: signal.Signals, status: int
) -> None:
    slow = CALL.replace('{"auth', '{"x-sim-faults": \'{"latency_s": 2}\', "auth')
    tell = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print(os.getpid(), flush=True); call('slow')"
    with running(module("proxy", "exec", "--", sys.executable, "-c", slow + tell), home) as process:
        wait_until(lambda: provider.count() == 1, "the call is under way", process=process)
        program = int(process.output.split()[0])
        process.popen.send_signal(number)
        assert process.popen.wait(60) == status
    assert not is_alive(program)
    assert not list((home / "data").glob("exec-*.json"))
