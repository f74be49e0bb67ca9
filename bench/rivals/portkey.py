"""Portkey's gateway, as its open-source package is: a port of its own, which clients speak plain HTTP to.

Rules: headers of each call say which provider is meant and where it is. This build has no cache (its answers say
`x-portkey-cache-status: DISABLED` even where a call's configuration asks for one), so that it forwards hits too.
Its package.json holds @hono/node-server down: with newer ones it cannot stream (Portkey-AI/gateway, issue 1389).
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.contestants import Upstream, free_ports, listens
from bench.rivals.base import ROOT, Launch, Rival, Work
from bench.target import Target

_PACKAGE: Final = ROOT / "bench" / "rivals" / "node_modules" / "@portkey-ai" / "gateway"


class Portkey(Rival):
    """See the module."""

    caches = False

    def __init__(self, work: Work) -> None:
        super().__init__("Portkey, no cache" if work == "hit" else "Portkey", work)

    def why_missing(self) -> str | None:
        if shutil.which("node") is None:
            return "Node.js is not installed"
        return None if _PACKAGE.exists() else "not installed (`make rivals`)"

    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        (port,) = free_ports(1)
        command = (shutil.which("node") or "node", str(_PACKAGE / "build" / "start-server.js"))
        headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: https://127.0.0.1:{upstream.port}/v1\r\n"
        return Launch(
            (*command, f"--port={port}", "--headless"),
            Target(
                ("127.0.0.1", port),
                is_proxy=False,
                ca=upstream.certificates.ca,
                pid=None,
                is_tls=False,
                headers=headers.encode(),
            ),
            lambda: listens(port),
            {"NODE_ENV": "production", "NODE_EXTRA_CA_CERTS": str(upstream.certificates.ca)},
        )


def version() -> str | None:
    """`Portkey gateway 1.15.2 on Node.js 20.1.0`, or None without it."""
    if not _PACKAGE.exists() or (node := shutil.which("node")) is None:
        return None
    own = json.loads((_PACKAGE / "package.json").read_text())["version"]
    said = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
    return f"Portkey gateway {own} on Node.js {said.strip().removeprefix('v')}"
