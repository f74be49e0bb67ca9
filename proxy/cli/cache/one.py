"""`skinflint cache show`: all that is known of one entry, and its answer for who may have it."""

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from proxy.cli import options
from proxy.cli.cache.asking import Address, Format, Output, admin_of, refusal, show
from proxy.cli.failures import CommandFailed


def command(
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="At least its first 8 digits.")],
    *,
    body: Annotated[bool, typer.Option("--body", help="Write the answer's bytes instead.")] = False,
    admin: Address = None,
    output: Output = Format.TABLE,
    config: options.Config = None,
    data_dir: options.DataDir = None,
) -> None:
    """Show one cached answer's metadata, or with --body the answer.

    Example: skinflint cache show 3fa9c04d1be2
    """
    asked = admin_of(admin, config, data_dir)
    path = f"/v1/cache/entries/{quote(fingerprint.lower(), safe='')}"
    if body:
        with asked.opened("GET", f"{path}/body") as response:
            if response.status != 200:
                raise refusal(response, asked.address, "GET", path)
            content, coding = response.read(), response.headers.get("X-Skinflint-Coding", "")
        sys.stdout.buffer.write(_decoded(content, coding))
        return
    status, said = asked.ask_status("GET", path)
    if status >= 400:
        entries = said.get("entries")
        several = entries if isinstance(entries, list) else []
        named = "".join(f"\n  {entry['fingerprint']}" for entry in several)
        raise CommandFailed(f"{fingerprint}: {said.get('error', f'the listener answered {status}')}{named}")
    show(said, output)


def _decoded(content: bytes, coding: str) -> bytes:
    from proxy.wire.coding import CodingError, decoder  # noqa: PLC0415 - --help must not wait for it

    reader = decoder(coding) if coding else None
    if reader is None:
        return content
    try:
        return reader.decode(content) + reader.flush()
    except CodingError:
        return content
