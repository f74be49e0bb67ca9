"""One run: a first call that shows whether the way is open, a warm-up, and the round that is measured."""

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.demo.process import SimulatorProcess
from proxy.load.calls import Calls, Work
from proxy.load.destination import Origin
from proxy.load.drive import Drive, LoadError, Way, ask_once
from proxy.load.figures import Counted, Figures, times
from proxy.load.observed import cpu_seconds, outcomes
from proxy.load.upstream import how_to
from proxy.runtime import Runtime

_OK: Final = 200
_WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done. `calls`: at most so many, the first one included; then there is no warm-up."""

    work: Work
    connections: int
    seconds: float
    calls: int | None = None
    body: bytes | None = None
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is done. `skinflint`: the proxy, where it is one of ours on this machine."""

    proxy: tuple[str, int]
    origin: Origin
    ca: Path | None
    upstream: SimulatorProcess | None
    skinflint: Runtime | None


def run(place: Place, plan: Plan) -> Figures:
    """Raises LoadError when not even one call can be made."""
    trust = _trust(place) if place.origin.scheme == "https" else None
    way = Way(place.proxy, place.origin, trust)
    calls = Calls(place.origin, plan.work, body=plan.body, fields=plan.fields, absolute=trust is None)
    _first_call(place, way, calls.make(0))
    left = None if plan.calls is None else plan.calls - 1
    try:
        with Drive(way, calls, plan.connections) as drive:
            if left is None:
                drive.run(min(_WARM_UP_S, plan.seconds / 5))
            before = _look(place)
            own_before = time.process_time()
            counted = drive.run(plan.seconds, left)
            own = time.process_time() - own_before
            return _figures(place, plan, counted, own_s=own, before=before, after=_look(place))
    except (OSError, ValueError) as failure:
        raise LoadError(f"{plan.connections} connections could not be made: {failure}") from failure


def _trust(place: Place) -> ssl.SSLContext:
    """The proxy's authority (without one: the system's roots), and the built-in upstream's. Raises LoadError."""
    try:
        context = ssl.create_default_context(cafile=str(place.ca) if place.ca is not None else None)
        if place.upstream is not None:  # a proxy that only tunnels shows the upstream's own certificate
            context.load_verify_locations(place.upstream.ca)
    except OSError as failure:
        raise LoadError(f"the authority in {place.ca} cannot be read: {failure}") from failure
    context.set_alpn_protocols(["http/1.1"])
    return context


def _first_call(place: Place, way: Way, request: bytes) -> None:
    """Show that the way is open, or say what to do."""
    advice = f"\n{how_to(place.upstream)}" if place.upstream is not None else ""
    try:
        status = ask_once(way, request)
    except ssl.SSLCertVerificationError as failure:
        raise LoadError(
            f"the certificate for {place.origin.host} is not trusted ({failure.verify_message}); "
            "name the proxy's authority with --ca (Skinflint's is ca/skinflint-ca.pem in its data directory)"
        ) from failure
    except LoadError as failure:
        raise LoadError(f"{failure}{advice}") from failure
    except ConnectionRefusedError as failure:
        raise LoadError(f"nothing listens at {place.proxy[0]}:{place.proxy[1]}") from failure
    except (OSError, ValueError) as failure:
        raise LoadError(f"the first call failed: {failure}{advice}") from failure
    if status != _OK:
        raise LoadError(f"the first call was answered with status {status}, not 200{advice}")


@dataclass(frozen=True, slots=True)
class _Look:
    """What was taken and counted so far."""

    upstream_s: float | None
    proxy_s: float | None
    outcomes: dict[str, int] | None


def _look(place: Place) -> _Look:
    return _Look(
        upstream_s=cpu_seconds(place.upstream.pid) if place.upstream is not None else None,
        proxy_s=cpu_seconds(place.skinflint.pid) if place.skinflint is not None else None,
        outcomes=outcomes(place.skinflint) if place.skinflint is not None else None,
    )


def _figures(place: Place, plan: Plan, counted: Counted, *, own_s: float, before: _Look, after: _Look) -> Figures:
    seconds = counted.seconds
    upstream_s, proxy_s = _less(after.upstream_s, before.upstream_s), _less(after.proxy_s, before.proxy_s)
    found = None
    if before.outcomes is not None and after.outcomes is not None:
        found = {name: count - before.outcomes.get(name, 0) for name, count in after.outcomes.items()}
    return Figures(
        work=plan.work.value,
        proxy=f"{place.proxy[0]}:{place.proxy[1]}",
        origin=f"{place.origin.scheme}://{place.origin.authority}{place.origin.path}",
        connections=plan.connections,
        seconds=seconds,
        calls=counted.calls,
        errors=counted.errors,
        calls_per_s=counted.calls / seconds,
        pieces_per_s=counted.pieces / seconds,
        answer=times(counted.latencies_ns),
        first_byte=times(counted.first_bytes_ns),
        load_cores=own_s / seconds,
        upstream_cores=None if upstream_s is None else upstream_s / seconds,
        proxy_cores=None if proxy_s is None else proxy_s / seconds,
        proxy_cpu_us=None if proxy_s is None or not counted.calls else proxy_s / counted.calls * 1e6,
        outcomes=found,
    )


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
