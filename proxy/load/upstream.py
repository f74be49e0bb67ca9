"""The upstream of `skinflint bench`: the provider simulator on a fixed port, with a certificate that stays the same.

Rules: it listens on loopback alone. Its authority is kept in a directory, so that a proxy can be told once to trust it;
it is made anew when it is about to end. A proxy reaches it under a name that nobody can own.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import orjson
from cryptography import x509

from proxy import runtime
from proxy.children import end_process
from proxy.demo.certificates import Certificates, make_certificates
from proxy.demo.process import SimulatorProcess
from proxy.load.destination import BUILT_IN_HOST
from proxy.load.drive import LoadError
from proxy.runtime import Runtime

_LEFT: Final = timedelta(days=1)
_EVENTS: Final = ("--events", "20", "--interval-ms", "20")
_READY_S: Final = 60.0
_POLL_S: Final = 0.05


def kept_certificates(directory: Path) -> Certificates:
    """Those of an earlier run, unless they end within a day. Raises OSError."""
    kept = Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    try:
        leaf = x509.load_pem_x509_certificate(kept.cert.read_bytes())
        if kept.key.exists() and leaf.not_valid_after_utc - datetime.now(UTC) > _LEFT:
            return kept
    except (FileNotFoundError, ValueError):  # none yet, or broken off while it was written
        pass
    return make_certificates(directory)


@contextmanager
def built_in(directory: Path, port: int) -> Iterator[SimulatorProcess]:
    """Serve until the block is left. Raises SimulatorFailed or OSError."""
    certificates = kept_certificates(directory)
    arguments = ("--port", str(port), *_EVENTS)
    with SimulatorProcess(directory, arguments, certificates=certificates) as upstream:
        yield upstream


def settings_for(upstream: SimulatorProcess) -> list[str]:
    """Options of `skinflint run` by which a proxy reaches the upstream, and takes it for a provider."""
    resolve = orjson.dumps({BUILT_IN_HOST: upstream.address}).decode()
    providers = orjson.dumps({"bench": {"hosts": [BUILT_IN_HOST]}}).decode()
    options = ["--upstream-ca", str(upstream.ca)]
    return [*options, "--set", f"upstream.resolve={resolve}", "--set", f"providers={providers}"]


def how_to(upstream: SimulatorProcess) -> str:
    """What to do when a proxy cannot reach the upstream."""
    return (
        f"The proxy must lead {BUILT_IN_HOST} to {upstream.address}, and trust the authority in {upstream.ca}. "
        "For Skinflint, with a data directory of its own:\n"
        f"  skinflint run --data-dir ./bench-data {shlex.join(settings_for(upstream))}\n"
        "(upstream.resolve and upstream.extra_ca in a settings file do the same). "
        f"Another forward proxy is asked for the address itself: --target https://{upstream.address}\n"
        "The upstream listens on this machine's loopback alone: for a proxy elsewhere, run `skinflint bench` beside "
        "it, or name a --target that it can reach. Without --proxy a Skinflint of its own is started for the run."
    )


@contextmanager
def own_proxy(directory: Path, options: list[str]) -> Iterator[Runtime]:
    """A Skinflint for this run alone. Raises LoadError when it does not start."""
    command = [sys.executable, "-P", "-m", "proxy", "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--data-dir", str(directory / "data"), "--set", "log.level=warning", "--lifeline", *options]
    log = directory / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        give_up_at = time.monotonic() + _READY_S
        while (ready := runtime.read(directory / "data")) is None or ready.pid != process.pid:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise LoadError(f"Skinflint did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_S)
        yield ready
    finally:
        end_process(process, _READY_S)
