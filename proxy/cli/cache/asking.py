"""How the commands of `skinflint cache` ask the running proxy's admin listener, and what all of them take and print.

Rules: never through a proxy, ours included. All but the statistics needs the token that the proxy keeps in its data
directory (0600), or that `admin.token_file` names: it is read there, and never shown.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, Protocol

import typer

from proxy.cli import options
from proxy.cli.failures import CommandFailed

_TIMEOUT_S: Final = 60.0


class Format(StrEnum):
    """How it is shown."""

    TABLE = "table"
    JSON = "json"


Address = Annotated[
    str | None, typer.Option("--admin", metavar="HOST:PORT", help="Admin address. Default: the running proxy's.")
]
Output = Annotated[Format, typer.Option("--format")]


class Readable(Protocol):
    """What can be sent as a body."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin listener of a proxy."""

    address: str
    token: str | None = field(default=None, repr=False)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Its JSON answer. Raises CommandFailed."""
        status, said = self.ask_status(method, path, body)
        if status >= HTTPStatus.BAD_REQUEST:
            raise CommandFailed(refused(self.address, status, method, path, said))
        return said

    def ask_status(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """The same, whatever its status. Raises CommandFailed."""
        content = None if body is None else json.dumps(body).encode()
        with self.opened(method, path, content) as response:
            return response.status, _parsed(response.read(), self.address)

    @contextlib.contextmanager
    def opened(
        self, method: str, path: str, body: "bytes | Readable | None" = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Its answer, to be read. Raises CommandFailed when it does not answer."""
        from config.schema import split_address  # noqa: PLC0415 - --help must not wait for it
        from proxy.runtime import reachable  # noqa: PLC0415

        try:
            host, port = split_address(reachable(self.address))
        except ValueError as exc:
            raise CommandFailed(f"--admin {exc}", status=2) from exc
        fields = {"Accept": "application/json"}
        if self.token is not None:
            fields["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, fields, encode_chunked=True)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            raise CommandFailed(f"the proxy's admin listener at {self.address} does not answer: {exc}") from exc
        finally:
            connection.close()


def admin_of(address: str | None, config: Path | None, data_dir: Path | None, *, with_token: bool = True) -> Admin:
    """The running proxy's, unless an address is given. Raises CommandFailed."""
    if address is None:
        address = options.running_proxy(config, data_dir).admin
    if not with_token:
        return Admin(address)
    settings = options.settings_loader(config, options.flags(data_dir=data_dir)).load()
    return Admin(address, _token_in(settings.admin.token_file or settings.data_dir / _token_name()))


def _token_name() -> str:
    from proxy.admin.token import FILE_NAME  # noqa: PLC0415 - --help must not wait for it

    return FILE_NAME


def _token_in(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, ValueError) as exc:
        raise CommandFailed(
            f"the token in {file} cannot be read: name the proxy's data directory with --data-dir, or its settings "
            "with --config, and ask as the user that the proxy runs as"
        ) from exc


def refusal(response: http.client.HTTPResponse, address: str, method: str, path: str) -> CommandFailed:
    """What an answer that is an error says."""
    try:
        said = _parsed(response.read(), address)
    except CommandFailed as failure:
        return failure
    return CommandFailed(refused(address, response.status, method, path, said))


def refused(address: str, status: int, method: str, path: str, said: dict[str, object]) -> str:
    """What to tell of an answer that is an error."""
    message = f"the proxy's admin listener at {address} answered {status} to {method} {path.partition('?')[0]}"
    reason = said.get("error")
    return f"{message}: {reason}" if reason else message


def _parsed(body: bytes, address: str) -> dict[str, object]:
    try:
        said = json.loads(body) if body.strip() else {}
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise CommandFailed(f"what answers at {address} is not Skinflint's admin listener")
    return said


def show(answer: object, output: Format) -> None:
    """Print an answer, as lines or as JSON."""
    if output is Format.JSON:
        typer.echo(json.dumps(answer, indent=2))
        return
    rows = list(_rows(answer, ""))
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}")


def _rows(answer: object, name: str) -> list[tuple[str, str]]:
    if isinstance(answer, dict):
        return [row for key, value in answer.items() for row in _rows(value, f"{name}.{key}" if name else str(key))]
    if isinstance(answer, list):
        return [row for index, value in enumerate(answer) for row in _rows(value, f"{name}[{index}]")]
    if answer is None:
        return [(name, "–")]
    return [(name, f"{answer:,}" if type(answer) in (int, float) else str(answer))]
