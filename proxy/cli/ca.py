"""`skinflint ca`: where the certificate authority is, what it may sign, and its public half in other formats.

Rules: only public halves are ever printed. An authority that does not exist yet is made, as `skinflint run` would
make it, so that it can be installed before the first start.
"""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.schema import Settings
    from proxy.edge.ca import CertificateAuthority

app = typer.Typer(no_args_is_help=True, help="Show the certificate authority, or export its public half.")


class Format(StrEnum):
    """What the public half is exported as."""

    PEM = "pem"
    DER = "der"
    P12 = "p12"
    BUNDLE = "bundle"


@app.command("path")
def path_command(config: options.Config = None, data_dir: options.DataDir = None) -> None:
    """Print the path of the root certificate, the one file that clients have to trust.

    Example: NODE_EXTRA_CA_CERTS="$(skinflint ca path)" node app.js
    """
    typer.echo(str(_authority(config, data_dir).root_path))


@app.command()
def export(
    output_format: Annotated[
        Format,
        typer.Option(
            "--format", help="pem or der: our root. p12: a Java truststore. bundle: all usual roots and ours."
        ),
    ] = Format.PEM,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Export what clients need to trust us. No key is exported.

    Examples: skinflint ca export > skinflint-ca.pem
    · skinflint ca export --format p12 --output truststore.p12   (its password is changeit)
    """
    content = exported(_authority(config, data_dir), output_format)
    if output is not None:
        output.write_bytes(content)
    elif output_format in (Format.DER, Format.P12) and sys.stdout.isatty():
        raise CommandFailed(f"{output_format} is not text; name a file with --output, or redirect the output")
    else:
        sys.stdout.buffer.write(content)


@app.command()
def show(config: options.Config = None, data_dir: options.DataDir = None) -> None:
    """Show the authority: its name, fingerprint, validity, and the hosts it may sign for."""
    typer.echo(described(_authority(config, data_dir)))


@app.command()
def make(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where its three files go; made if it is missing.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="HOST", help="A name, or *.DOMAIN, that it may sign for besides; repeatable."),
    ] = None,
    config: options.Config = None,
) -> None:
    """Make an authority for replicas to share: a root, and an intermediate with its key that is bound to the providers.

    The root's key is thrown away. For replicas: ca_dir, read only.

    Example: skinflint ca make ca && kubectl create secret generic skinflint-ca --from-file ca
    """
    from proxy.edge.ca import CaError  # noqa: PLC0415 - --help must not wait for it
    from proxy.edge.ca import make as make_authority  # noqa: PLC0415

    try:
        made = make_authority(directory, wanted_hosts(config, host or ()), datetime.now(UTC))
    except CaError as exc:
        raise CommandFailed(str(exc)) from exc
    typer.echo(described(made))


@app.command()
def secret(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The Secret's name.")],
    *,
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NS", help="Default: that of this pod's service account.")
    ] = None,
    configmap: Annotated[
        str | None,
        typer.Option("--configmap", metavar="NAME", help="Put the public half into this ConfigMap too, as ca.crt."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="HOST", help="A name, or *.DOMAIN, that it may sign for besides; repeatable."),
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", metavar="URL", help="The Kubernetes API. Default: this pod's.")
    ] = (None),
    account: Annotated[
        Path, typer.Option("--service-account", metavar="DIR", help="Where token, ca.crt and namespace are.")
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount"),
    config: options.Config = None,
) -> None:
    """Make an authority in a Kubernetes Secret, unless there is one: for a Job that runs before the gateway.

    Example: skinflint ca secret skinflint-ca --configmap skinflint-ca

    An existing Secret is left as it is.
    """
    from proxy.cli.ca_secret import Wanted, ensure  # noqa: PLC0415 - --help must not wait for it

    wanted = Wanted(name, namespace, configmap, wanted_hosts(config, host or ()), api, account)
    for line in ensure(wanted, options.environment(), datetime.now(UTC)):
        typer.echo(line)


def wanted_hosts(config: Path | None, more: "Sequence[str]") -> tuple[str, ...]:
    """The providers of the settings, ourselves, and others."""
    from proxy.edge.ca import certified_hosts  # noqa: PLC0415 - --help must not wait for it
    from proxy.providers.registry import Registry  # noqa: PLC0415

    settings = options.settings_loader(config, options.flags()).load()
    return (*certified_hosts(Registry.from_settings(settings).hosts()), *more)


def load_for(settings: "Settings", now: datetime) -> "CertificateAuthority":
    """The authority for these settings' provider hosts, made if there is none. Raises CommandFailed."""
    from proxy.edge.ca import CaError  # noqa: PLC0415 - --help must not wait for it
    from proxy.identity import authority_of  # noqa: PLC0415

    try:
        return authority_of(settings, now)
    except (CaError, ValueError) as exc:
        raise CommandFailed(str(exc)) from exc


def exported(authority: "CertificateAuthority", output_format: Format) -> bytes:
    """The public half as one file's content."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - --help must not wait for it

    from proxy.edge import trust  # noqa: PLC0415

    der = authority.root.public_bytes(Encoding.DER)
    match output_format:
        case Format.PEM:
            return authority.root_pem
        case Format.DER:
            return der
    ours = trust.TrustFiles.in_directory(authority.directory).bundle
    sources = trust.trusted_sources(options.environment(), ours)
    roots = trust.merge([source.read_bytes() for source in sources], der)
    return trust.truststore(roots) if output_format is Format.P12 else b"".join(map(trust.to_pem, roots))


def described(authority: "CertificateAuthority") -> str:
    """What a person wants to know before trusting it."""
    from proxy.edge.ca import fingerprint  # noqa: PLC0415 - --help must not wait for it

    root, permitted = authority.root, authority.permitted
    names = sorted(permitted.names) + sorted(str(network) for network in permitted.networks)
    if permitted.is_everything:
        names = ["every name: it has no name constraints"]
    lines = [
        f"file         {authority.root_path}",
        f"subject      {root.subject.rfc4514_string()}",
        f"fingerprint  {fingerprint(root)}",
        f"valid        {root.not_valid_before_utc:%Y-%m-%d} to {root.not_valid_after_utc:%Y-%m-%d}",
        "may sign     these names and those below them, nothing else:",
        *(f"             {name}" for name in names),
    ]
    return "\n".join(lines)


def _authority(config: Path | None, data_dir: Path | None) -> "CertificateAuthority":
    from proxy import logs  # noqa: PLC0415 - --help must not wait for it

    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    logs.setup(settings.log)  # to standard error: standard output is what the command was asked for
    return load_for(settings, datetime.now(UTC))
