"""LiteLLM's proxy: a port of its own, which clients speak plain HTTP to, with its in-memory cache on for hits.

Rules: one worker, its master key is the key that the clients send, its log at ERROR. It writes every answer anew, so
that answers are compared in what they say. Its price list comes from its package, so that nothing is fetched.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from bench.contestants import Upstream, free_ports
from bench.rivals.base import ROOT, Launch, Rival, Work
from bench.target import Target
from bench.work import KEY, MODEL

_ENVIRONMENT: Final = ROOT / ".venv-rivals"
_PROGRAM: Final = _ENVIRONMENT / "bin" / "litellm"


class LiteLlm(Rival):
    """See the module."""

    def __init__(self, work: Work) -> None:
        super().__init__("LiteLLM", work)

    def why_missing(self) -> str | None:
        return None if _PROGRAM.exists() else "not installed (`make rivals`)"

    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        (port,) = free_ports(1)
        settings: dict[str, object] = {"cache": True, "cache_params": {"type": "local"}} if self.work == "hit" else {}
        model = {"model": f"openai/{MODEL}", "api_base": f"https://127.0.0.1:{upstream.port}/v1", "api_key": KEY}
        path = directory / "litellm.yaml"  # JSON is YAML
        path.write_text(
            json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}], "litellm_settings": settings})
        )
        command = (str(_PROGRAM), "--config", str(path), "--host", "127.0.0.1", "--port", str(port))
        return Launch(
            (*command, "--num_workers", "1", "--telemetry", "False"),
            Target(
                ("127.0.0.1", port),
                is_proxy=False,
                ca=upstream.certificates.ca,
                pid=None,
                is_tls=False,
                is_faithful=False,
            ),
            lambda: _is_alive(port),
            {
                "SSL_CERT_FILE": str(upstream.certificates.ca),
                "LITELLM_MASTER_KEY": KEY,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MODE": "PRODUCTION",
            },
        )


def _is_alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def version() -> str | None:
    """`LiteLLM 1.106.2`, or None without LiteLLM."""
    found = sorted(_ENVIRONMENT.glob("lib/python*/site-packages/litellm-*.dist-info"))
    return f"LiteLLM {found[0].name.removeprefix('litellm-').removesuffix('.dist-info')}" if found else None
