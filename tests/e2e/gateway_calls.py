"""Clients of a gateway: raw ones that bring a token, and curl."""

import base64
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.access.credentials import new_token
from tests.support.processes import environment
from tests.support.raw_client import Answer, RawClient, chat, connect, post
from tests.support.running import RunningProxy

HOST = "api.openai.com"


class Tenants:
    """A file of tokens, and the tokens."""

    def __init__(self, file: Path, *names: str) -> None:
        self.file = file
        self.tokens: dict[str, str] = {}
        self.lines: dict[str, str] = {}
        for name in names:
            self.tokens[name], self.lines[name] = new_token(name)
        self.write()

    def write(self) -> None:
        """What is known now."""
        self.file.write_text("\n".join(self.lines.values()) + "\n")

    def field(self, name: str) -> str:
        """Proxy-Authorization of this tenant."""
        return "Basic " + base64.b64encode(f"{name}:{self.tokens[name]}".encode()).decode()

    def url(self, name: str, proxy: RunningProxy) -> str:
        """For HTTPS_PROXY."""
        return f"http://{name}:{self.tokens[name]}@127.0.0.1:{proxy.port()}"


async def connect_to(client: RawClient, authority: str, field: str | None = None) -> bytes:
    """Ask for a tunnel; gives the answer's head."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    lines += [f"Proxy-Authorization: {field}"] if field else []
    client.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    return await client.read_until(b"\r\n\r\n")


async def refused(proxy: RunningProxy, authority: str, field: str | None = None) -> bytes:
    """All that a client is answered whose CONNECT is refused."""
    async with await connect(proxy.port()) as client:
        head = await connect_to(client, authority, field)
        return head if head.startswith(b"HTTP/1.1 200") else head + await client.read_all()


async def ask_as(
    proxy: RunningProxy, prompt: str, field: str | None, *headers: tuple[str, str], key: str = "sk-test"
) -> Answer:
    """A chat of this tenant."""
    async with await connect(proxy.port()) as client:
        assert (await connect_to(client, f"{HOST}:443", field)).startswith(b"HTTP/1.1 200")
        await client.start_tls(proxy.trust(), HOST)
        client.send(post(chat(prompt), "/v1/chat/completions", *headers, key=key))
        return await client.answer()


def curl(
    directory: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run curl; skips where there is none."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl")
    command = [program, "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(
        command,
        env={**environment(directory), **(environ or {})},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


__all__ = ["HOST", "Tenants", "ask_as", "connect_to", "curl", "refused", "ssl"]
