"""`skinflint bench`: load through a running proxy, or through one that is started for the run.

Rules: it asks its own upstream, or what --target names; anything that is not this machine must be confirmed with --yes
after it was said how many calls it will be.
"""

import contextlib
import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from proxy.load.destination import Origin
    from proxy.load.figures import Figures
    from proxy.load.run import Plan
    from proxy.runtime import Runtime


class WorkName(StrEnum):
    """What is asked."""

    HITS = "hits"
    FORWARDS = "forwards"
    STREAMS = "streams"


Proxy = Annotated[
    str | None, typer.Option("--proxy", metavar="URL", help="A running proxy. Default: a Skinflint for this run alone.")
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="PEM roots that clients of the proxy trust. Default: a local Skinflint's."
    ),
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="URL", help="Ask this origin. Default: an upstream that is started.")
]
Connections = Annotated[int, typer.Option("--connections", min=1, max=10_000, help="How many clients ask at once.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.1, max=86_400, help="How long.")]
CallLimit = Annotated[int | None, typer.Option("--calls", min=1, help="At most so many calls.")]
WorkOption = Annotated[
    WorkName, typer.Option("--work", help="The same call again, calls that all differ, or streamed ones.")
]
BodyFile = Annotated[
    Path | None,
    typer.Option("--body", metavar="FILE", help="JSON to send; {n} in it becomes the number of the call."),
]
Header = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME:VALUE", help="A field of each request; repeatable.")
]
KeyVariable = Annotated[
    str | None, typer.Option("--key-env", metavar="NAME", help="The variable that holds the key for Authorization.")
]
UpstreamPort = Annotated[int, typer.Option("--upstream-port", min=0, max=65_535, help="Of the upstream it starts.")]


def command(
    *,
    proxy: Proxy = None,
    ca: Ca = None,
    target: Target = None,
    connections: Connections = 16,
    seconds: Seconds = 10.0,
    work: WorkOption = WorkName.HITS,
    calls: CallLimit = None,
    body: BodyFile = None,
    header: Header = None,
    key_env: KeyVariable = None,
    upstream_port: UpstreamPort = 18443,
    yes: Annotated[bool, typer.Option("--yes", help="Really ask an origin that is not this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
    data_dir: options.DataDir = None,
) -> None:
    """Measure a proxy: calls a second, times, errors, and Skinflint's CPU where it runs on this machine.

    Examples: skinflint bench --work forwards
    · skinflint bench --proxy http://127.0.0.1:8080 --seconds 30
    · skinflint bench --proxy http://127.0.0.1:8080 --target https://127.0.0.1:9443/v1/chat/completions --ca ca.pem
    """
    from proxy.load.calls import Work  # noqa: PLC0415 - --help must not wait for it
    from proxy.load.run import Plan  # noqa: PLC0415

    origin = _origin(target)
    _confirm(origin, calls=calls, yes=yes)
    plan = Plan(
        work=Work(work.value),
        connections=connections if calls is None else min(connections, calls),
        seconds=seconds,
        calls=calls,
        body=body.read_bytes() if body is not None else None,
        fields=_fields(header, key_env),
    )
    figures = _measure(plan, origin, proxy, ca=ca, data_dir=data_dir, port=upstream_port)
    _print(figures, as_json=as_json)
    if not figures.calls:
        raise typer.Exit(1)


def _origin(target: str | None) -> "Origin | None":
    """None: the upstream that we start."""
    from proxy.load.destination import origin_from  # noqa: PLC0415

    if target is None:
        return None
    try:
        return origin_from(target)
    except ValueError as exc:
        raise CommandFailed(f"--target {exc}", status=2) from exc


def _confirm(origin: "Origin | None", *, calls: int | None, yes: bool) -> None:
    """Nothing leaves this machine by accident, and never an unknown number of calls."""
    if origin is None or origin.is_ours:
        return
    if calls is None:
        raise CommandFailed(f"{origin.host} is not this machine: say with --calls how many calls it may get", status=2)
    if not yes:
        raise CommandFailed(
            f"this would make up to {calls:,} calls to {origin.scheme}://{origin.authority}{origin.path}, which may "
            "charge for each of them; add --yes if that is meant",
            status=2,
        )


def _fields(header: list[str] | None, key_env: str | None) -> tuple[tuple[str, str], ...]:
    fields = []
    for each in header or ():
        name, colon, value = each.partition(":")
        if not colon or not name.strip() or "\n" in each or "\r" in each:
            raise CommandFailed(f"--header {each!r} must be NAME:VALUE", status=2)
        fields.append((name.strip(), value.strip()))
    if key_env is not None:
        if not (key := options.environment().get(key_env)):
            raise CommandFailed(f"--key-env: there is no variable {key_env}", status=2)
        fields.append(("Authorization", f"Bearer {key}"))
    return tuple(fields)


def _measure(
    plan: "Plan", target: "Origin | None", proxy: str | None, *, ca: Path | None, data_dir: Path | None, port: int
) -> "Figures":
    from proxy.demo.process import SimulatorFailed  # noqa: PLC0415
    from proxy.load.destination import BUILT_IN, proxy_address  # noqa: PLC0415
    from proxy.load.drive import LoadError  # noqa: PLC0415
    from proxy.load.run import Place, run  # noqa: PLC0415
    from proxy.load.upstream import built_in, own_proxy, settings_for  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        try:
            address = proxy_address(proxy) if proxy is not None else None
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skinflint-bench-")))
            upstream = None
            is_built_in = target is None or (target.host == "127.0.0.1" and target.port == port != 0)
            if is_built_in:
                kept = scratch / "upstream" if address is None else _data_dir(data_dir) / "bench"
                upstream = stack.enter_context(built_in(kept, 0 if address is None else port))
            if address is None:
                given = settings_for(upstream) if upstream is not None else []
                ours: Runtime | None = stack.enter_context(own_proxy(scratch, given))
                address = proxy_address((ours.proxy_url or "") if ours is not None else "")
            else:
                ours = _local_skinflint(address, data_dir)
            trusted = ca if ca is not None else (ours.ca if ours is not None else None)
            return run(Place(address, target or BUILT_IN, trusted, upstream, ours), plan)
        except (LoadError, SimulatorFailed) as exc:
            raise CommandFailed(str(exc)) from exc
        except ValueError as exc:
            raise CommandFailed(f"--proxy {exc}", status=2) from exc


def _data_dir(data_dir: Path | None) -> Path:
    return options.settings_loader(None, options.flags(data_dir=data_dir)).load().data_dir


def _local_skinflint(address: tuple[str, int], data_dir: Path | None) -> "Runtime | None":
    """The proxy at this address, if it is a Skinflint of this machine whose data directory is known."""
    from config.schema import split_address  # noqa: PLC0415
    from proxy import runtime  # noqa: PLC0415

    found = runtime.read(_data_dir(data_dir))
    if found is None:
        return None
    bound = [split_address(runtime.reachable(listener.address)) for listener in found.listeners]
    host = "127.0.0.1" if address[0] == "localhost" else address[0]
    return found if (host, address[1]) in bound else None


def _print(figures: "Figures", *, as_json: bool) -> None:
    from proxy.load import figures as shown  # noqa: PLC0415

    typer.echo(json.dumps(shown.as_json(figures), indent=2) if as_json else shown.show(figures))
