"""Runs the demo's applications and keeps what they report.

Rules: `clients.py` runs under an interpreter of its own, with nothing but environment variables to lead it through the
proxy; every line it prints is one report. Times are those that the applications measured themselves.
"""

import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from proxy.children import end_process
from proxy.demo.asks import as_json, as_text
from proxy.exchange.provider import Json

CLIENTS: Final = Path(__file__).with_name("clients.py")
SDKS: Final = ("openai", "anthropic", "google-genai")
_TAIL_LINES: Final = 12
_STOP_S: Final = 5.0


class ApplicationsFailed(Exception):
    """The applications could not run, or did not get what they asked for. The message is for the person who asked."""


class SdkMissing(ApplicationsFailed):
    """The interpreter lacks an SDK."""


@dataclass(slots=True)
class Tally:
    """What the applications did."""

    planned: int = 0
    calls: int = 0
    phases: list[tuple[str, int, float]] = field(default_factory=list)  # title, calls, seconds
    ended: bool = False
    _role: str = ""
    _phase_calls: int = 0
    _seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, report: Json) -> None:
        """Take one report. Raises SdkMissing when it says so."""
        match report.get("event"):
            case "missing":
                raise SdkMissing(f"the applications need the module {as_text(report.get('module'))}")
            case "plan":
                self.planned = int(str(report["calls"]))
            case "phase":
                self._role = as_text(report["role"])
                self._phase_calls = int(str(report["calls"]))
            case "phase_end":
                self.phases.append((as_text(report["title"]), self._phase_calls, float(str(report["seconds"]))))
            case "call":
                self.calls += 1
                self._seconds[as_text(report["kind"]), self._role].append(float(str(report["seconds"])))
            case "end":
                self.ended = True

    def median_s(self, kind: str, role: str) -> float | None:
        """How long the applications waited for such a call: the median, in seconds. None when there was none."""
        seconds = self._seconds.get((kind, role))
        return statistics.median(seconds) if seconds else None


def run_applications(python: Path, environ: Mapping[str, str], watch: Callable[[Tally, Json], None]) -> Tally:
    """Run them to their end; `watch` sees each report after it was noted.

    Raises SdkMissing or ApplicationsFailed when they cannot run, and OSError when there is no such interpreter.
    """
    tally = Tally()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - the interpreter was named by the user
            [str(python), "-W", "ignore", str(CLIENTS)],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                _follow(lines, tally, watch)
            status = process.wait(_STOP_S)
        finally:
            end_process(process, _STOP_S)
        if status or not tally.ended:
            errors.seek(0)
            end = "\n".join(errors.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
            raise ApplicationsFailed(f"the applications ended with status {status}:\n{end}")
    return tally


def _follow(lines: Iterable[bytes], tally: Tally, watch: Callable[[Tally, Json], None]) -> None:
    for line in lines:
        if line.startswith(b"{"):  # anything else is an SDK's own chatter
            report = as_json(orjson.loads(line))
            tally.note(report)
            watch(tally, report)
