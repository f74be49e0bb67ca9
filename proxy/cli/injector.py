"""`skinflint injector`: the webhook that puts the sidecar into pods."""

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.failures import CommandFailed


def command(
    cert: Annotated[Path, typer.Option("--cert", metavar="FILE", help="PEM certificate, with its chain.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="PEM key of the certificate.")],
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="What pods get; see docs/kubernetes.md.")],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Address for the API server; [::]:8443 for IPv6.")
    ] = "0.0.0.0:8443",
    linger: Annotated[
        float, typer.Option("--linger", min=0, max=60, metavar="SECONDS", help="Time to go on after SIGTERM.")
    ] = 5.0,
) -> None:
    """Run the Kubernetes webhook that adds the sidecar to pods, until SIGINT or SIGTERM.

    Example: skinflint injector --cert tls.crt --key tls.key --config injector.yaml

    Changed files are taken without a restart.
    """
    from config.schema import Log, split_address  # noqa: PLC0415 - --help must not wait for it
    from proxy.injector import process  # noqa: PLC0415
    from proxy.injector.certs import CertificateError  # noqa: PLC0415
    from proxy.logs import setup  # noqa: PLC0415

    try:
        split_address(listen)
    except ValueError as exc:
        raise CommandFailed(f"--listen {exc}", status=2) from exc
    setup(Log())
    place = process.Place(listen, cert, key, config, linger)
    try:
        process.run(place, lambda address: typer.echo(f"The injector is ready at https://{address}/mutate"))
    except CertificateError as exc:
        raise CommandFailed(str(exc)) from exc
    except OSError as exc:  # files are read before: what is left is the address
        raise CommandFailed(f"--listen {listen}: {os.strerror(exc.errno) if exc.errno else exc}") from exc
