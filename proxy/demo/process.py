"""The simulator as a process of its own: started, read and steered over its control paths, stopped.

Rules: a context manager; leaving it stops the process, however that happens, and the process ends by itself when this
one is gone (it watches a pipe).
"""

import contextlib
import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from proxy.children import end_process
from proxy.demo.certificates import Certificates
from proxy.exchange.provider import Json

READY_S: Final = 30.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.02
_ROOT: Final = Path(__file__).parents[2]


class SimulatorFailed(Exception):
    """The simulator's process could not be started, or did not answer as it should."""


class SimulatorProcess:
    """A running simulator with TLS, whose files are in `directory`. `arguments` as for `proxy.demo.simulator`."""

    def __init__(
        self, directory: Path, arguments: Sequence[str] = (), *, certificates: Certificates | None = None
    ) -> None:
        """Start it and wait until it listens; without `certificates` it makes its own. Raises SimulatorFailed."""
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = certificates.ca if certificates is not None else directory / "ca.pem"
        self._log = directory / "simulator.log"
        ready = directory / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "proxy.demo.simulator"]
        if certificates is None:
            command += ["--certificates", str(directory)]
        else:
            command += ["--cert", str(certificates.cert), "--key", str(certificates.key)]
        command += ["--ready-file", str(ready), "--lifeline", *arguments]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                cwd=directory,
                env={"PYTHONPATH": str(_ROOT)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self.port = self._wait(ready)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """127.0.0.1:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stats(self) -> Json:
        """All counters, as `Simulator.stats` has them."""
        return self._control("GET", "stats")

    def reset(self) -> None:
        """Forget calls, counters and faults."""
        self._control("POST", "reset")

    def set_faults(self, faults: Sequence[Json]) -> None:
        """Replace all faults; the names are those of `Faults`."""
        self._control("POST", "faults", list(faults))

    def set_options(self, options: Json) -> None:
        """Change the named options; the names are those of `Options`."""
        self._control("POST", "options", options)

    def calls(self) -> list[Json]:
        """The latest calls, oldest first."""
        calls = self._request("GET", "calls", b"")
        if not isinstance(calls, list):
            raise SimulatorFailed("the list of calls is none")
        return calls

    def stop(self) -> None:
        """Stop it and wait for its end. May be called again."""
        end_process(self._process, _STOP_S)

    def _wait(self, ready: Path) -> int:
        give_up_at = time.monotonic() + READY_S
        while time.monotonic() < give_up_at:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(FileNotFoundError):
                return int(orjson.loads(ready.read_bytes())["port"])
            time.sleep(_POLL_S)
        told = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
        raise SimulatorFailed(f"the simulated providers did not start:\n{told}")

    def _control(self, method: str, path: str, value: object = None) -> Json:
        answer = self._request(method, path, orjson.dumps(value))
        if not isinstance(answer, dict):
            raise SimulatorFailed(f"{path} gave no object")
        return answer

    def _request(self, method: str, path: str, body: bytes) -> object:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        with contextlib.closing(connection):
            connection.request(method, f"/__sim/{path}", body)
            answer = connection.getresponse()
            payload = answer.read()
        if answer.status != 200:
            raise SimulatorFailed(f"{method} {path}: {payload.decode(errors='replace')}")
        value: object = orjson.loads(payload)
        return value
