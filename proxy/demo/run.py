"""The demo: real SDKs, a real proxy, simulated providers; nothing leaves this machine, and no key is needed.

Rules: everything lives in one temporary directory and in processes that end with this one; the user's own settings,
keys, proxies and Python paths stay out of it. The providers keep their real names: the applications ask for
api.openai.com, the proxy verifies that name against a throw-away CA, and only the address is the simulator's.
"""

import http.client
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from proxy.cli import options
from proxy.cli.child import ChildProxy
from proxy.cli.env import proxy_variables
from proxy.cli.failures import CommandFailed
from proxy.demo.outcome import Outcome, show
from proxy.demo.process import SimulatorFailed, SimulatorProcess
from proxy.demo.scenario import SDKS, ApplicationsFailed, SdkMissing, Tally, run_applications
from proxy.exchange.provider import Json
from proxy.ledger.location import default_url
from proxy.ledger.report import build_report
from proxy.runtime import Runtime

HOSTS: Final = ("api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com")
_PACE: Final = ("--latency-ms", "300", "--events", "40", "--interval-ms", "15", "--jitter", "0.3")
_DRAIN_S: Final = 5.0
_KEYS: Final = {"OPENAI_API_KEY": "sk-demo", "ANTHROPIC_API_KEY": "sk-ant-demo", "GEMINI_API_KEY": "demo"}
_FOREIGN: Final = ("SKINFLINT_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "AZURE_", "PYTHON")


def run_demo(*, python: Path | None, keep: bool, console: Console) -> int:
    """Run it and print what happened. `python` has the SDKs (default: this interpreter); `keep` leaves the directory.

    Returns the exit status. Raises CommandFailed with what to do when something is missing or does not work.
    """
    interpreter = _interpreter(python)
    directory = Path(tempfile.mkdtemp(prefix="skinflint-demo-"))
    try:
        show(_play(interpreter, directory, console), console)
    except SimulatorFailed as exc:
        raise CommandFailed(str(exc)) from exc
    except SdkMissing as exc:
        advice = f"{interpreter} -m pip install {' '.join(SDKS)}"
        raise CommandFailed(f"{exc}, which {interpreter} does not have; install the SDKs with\n  {advice}") from exc
    except ApplicationsFailed as exc:
        raise CommandFailed(str(exc)) from exc
    finally:
        if keep:
            console.print(f"Kept: {directory}", style="dim")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def _interpreter(python: Path | None) -> Path:
    chosen = python or Path(sys.executable)
    found = shutil.which(str(chosen))
    if found is None:
        raise CommandFailed(f"{chosen} is no interpreter that can be run", status=2)
    return Path(found).absolute()  # not resolved: a virtual environment is found by its link


def _play(interpreter: Path, directory: Path, console: Console) -> Outcome:
    started_at = datetime.now(UTC)
    environ = _clean(options.environment())
    data_dir = directory / "data"
    with ExitStack() as running:
        with console.status("Starting simulated providers and the proxy …"):
            providers = running.enter_context(SimulatorProcess(directory / "providers", _PACE))
            proxy = running.enter_context(
                ChildProxy(_arguments(directory, providers), environ, directory / "proxy.log", _DRAIN_S)
            )
            found = proxy.wait_until_ready()
        console.print(
            f"Proxy on {found.proxy_url}. An answer takes 0.3 s, a stream 0.6 s more.",
            style="dim",
        )
        tally = _run(interpreter, {**environ, **proxy_variables(found, environ), **_KEYS}, console)
        counted = providers.stats()
        connections = _client_connections(found)
    # The proxy has ended: its ledger is complete.
    report = build_report(default_url(data_dir), since=started_at, by=("provider", "operation"))
    return Outcome(tally, counted, report, connections)


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what belongs to the user's own settings, keys, proxies and Python."""
    return {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith(_FOREIGN) and not name.upper().endswith("_PROXY")
    }


def _arguments(directory: Path, providers: SimulatorProcess) -> list[str]:
    """`run`'s arguments. An empty configuration file is named, so that none is found by its place."""
    config = directory / "skinflint.yaml"
    config.touch()
    resolve = orjson.dumps(dict.fromkeys(HOSTS, providers.address)).decode()
    return [
        f"--config={config}",
        f"--data-dir={directory / 'data'}",
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--profile=development",
        f"--upstream-ca={providers.ca}",
        f"--set=upstream.resolve={resolve}",
        f"--set=drain.timeout_s={_DRAIN_S:g}",
    ]


def _run(interpreter: Path, environ: Mapping[str, str], console: Console) -> Tally:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Importing the SDKs", total=None)
        return run_applications(interpreter, environ, lambda tally, report: _advance(progress, task, tally, report))


def _advance(progress: Progress, task: TaskID, tally: Tally, report: Json) -> None:
    match report.get("event"):
        case "plan":
            progress.update(task, total=tally.planned)
        case "phase":
            progress.update(task, description=str(report.get("title")))
        case "call":
            progress.update(task, completed=tally.calls)


def _client_connections(found: Runtime) -> int | None:
    """How many connections the proxy accepted, from its metrics."""
    connection = http.client.HTTPConnection(found.admin, timeout=5)
    with closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    samples = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "skinflint_client_connections_total"
    ]
    return int(sum(samples)) if samples else None
