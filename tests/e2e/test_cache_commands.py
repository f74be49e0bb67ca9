"""The cache commands against a running proxy: what is kept is listed, carried, checked, warmed and forgotten."""

import json
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, said
from tests.e2e.gateway_calls import Tenants
from tests.support.background import Providers
from tests.support.running import RunningProxy


@pytest.fixture
def own(make_proxy: MakeProxy, provider: Providers) -> RunningProxy:
    return make_proxy(provider)


def cache(proxy: RunningProxy, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments, "--data-dir", str(proxy.data_dir)], prog_name="skinflint")


def told(proxy: RunningProxy, *arguments: str) -> object:
    result = cache(proxy, *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_what_is_kept_is_listed_and_shown(own: RunningProxy) -> None:
    await ask(own, chat("first"))
    await ask(own, chat("second"))
    lines = told(own, "ls")
    assert isinstance(lines, list)
    assert len(lines) == 2
    shown = told(own, "show", lines[0]["fingerprint"][:12])
    assert isinstance(shown, dict)
    assert shown["fingerprint"] == lines[0]["fingerprint"]
    assert shown["provider"] == "openai"
    body = cache(own, "show", lines[0]["fingerprint"], "--body")
    assert b"chat.completion" in body.stdout_bytes
    assert cache(own, "ls").stdout.splitlines()[0].startswith("FINGERPRINT\tTIERS")
    assert cache(own, "verify").exit_code == 0


async def test_the_most_frequent_calls_are_told(own: RunningProxy) -> None:
    for _ in range(3):
        await ask(own, chat("often"))
    await ask(own, chat("once"))
    own.settled(4)
    first, second = told(own, "top", "--since", "1h")  # type: ignore[misc]
    assert (first["calls"], first["hits"], second["calls"]) == (3, 2, 1)
    assert "memory" in first["tiers"] or "shared" in first["tiers"]
    assert told(own, "warm", "--from-ledger") == {"promoted": 0, "already": 2, "gone": 0}


@pytest.mark.parametrize("name", ["export.jsonl", "export.jsonl.zst"])
async def test_an_export_fills_the_cache_again(
    own: RunningProxy, provider: Providers, tmp_path: Path, name: str
) -> None:
    await ask(own, chat("kept"))
    file = tmp_path / name
    assert cache(own, "export", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    counts = told(own, "import", str(file))
    assert isinstance(counts, dict)
    assert counts["known"] == 1
    assert cache(own, "invalidate", "--all").exit_code == 0
    counts = told(own, "warm", "--from", str(file))
    assert isinstance(counts, dict)
    assert counts["invalidated"] == 1


async def test_requests_of_a_file_are_asked_once(own: RunningProxy, provider: Providers, tmp_path: Path) -> None:
    file = tmp_path / "asks.jsonl"
    url = f"https://api.openai.com{CHAT}"
    lines = [
        orjson.dumps(
            {
                "method": "POST",
                "url": url,
                "headers": {"Authorization": "Bearer sk-x"},
                "body": orjson.loads(chat(text)),
            }
        )
        for text in ("one", "two", "three")
    ]
    file.write_bytes(b"\n".join(lines))
    refused = cache(own, "warm", str(file))
    assert (refused.exit_code, "3 calls to api.openai.com" in refused.stderr) == (2, True)
    assert provider.count(path=CHAT) == 0
    summary = told(own, "warm", str(file), "--yes")
    assert isinstance(summary, dict)
    assert (summary["misses"], summary["hits"], summary["failed"]) == (3, 0, 0)
    again = told(own, "warm", str(file), "--yes", "--concurrency", "2")
    assert isinstance(again, dict)
    assert (again["misses"], again["hits"], again["spent_usd"]) == (0, 3, 0)
    assert provider.count(path=CHAT) == 3
    assert told(own, "warm", str(file), "--yes", "--budget-usd", "0.005") == {
        "hits": 0, "misses": 0, "failed": 0, "not_sent": 3, "spent_usd": 0, "cost_unknown": 0,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["{token}", "team-a:{token}\n"])
async def test_a_proxy_that_demands_a_token_is_warmed_with_one(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, form: str
) -> None:
    tenants = Tenants(tmp_path / "credentials", "team-a")
    proxy = make_proxy(provider, {"access": {"credentials": str(tenants.file)}})
    key = {"Authorization": "Bearer sk-x"}
    lines = [
        {"url": f"https://api.openai.com{CHAT}", "headers": key, "body": orjson.loads(chat(text))}
        for text in ("one", "two")
    ]
    asks, token = tmp_path / "asks.jsonl", tmp_path / "token"
    asks.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(orjson.dumps({"url": "http://api.openai.com/v1/models", "method": "GET"}))
    for file in (asks, plain):
        refused = cache(proxy, "warm", str(file), "--yes", "--concurrency", "1")
        assert (refused.exit_code, "the proxy demands a token: --token-file" in refused.stderr) == (1, True)
    token.write_text("not-a-token")
    wrong = cache(proxy, "warm", str(asks), "--yes", "--token-file", str(token))
    assert (wrong.exit_code, "the proxy refuses this token" in wrong.stderr) == (1, True)
    assert provider.count(path=CHAT) == 0
    token.write_text(form.format(token=tenants.tokens["team-a"]))
    summary = told(proxy, "warm", str(asks), "--yes", "--token-file", str(token))
    assert isinstance(summary, dict)
    assert (summary["misses"], summary["failed"]) == (2, 0)


@pytest.mark.parametrize("text", ["", "two words", "two\nlines", "kl\u00e4ng"])
async def test_a_file_without_a_token_is_refused_and_not_shown(own: RunningProxy, tmp_path: Path, text: str) -> None:
    asks, token = tmp_path / "asks.jsonl", tmp_path / "token"
    asks.write_bytes(orjson.dumps({"url": f"https://api.openai.com{CHAT}", "body": {}}))
    token.write_text(text)
    result = cache(own, "warm", str(asks), "--yes", "--token-file", str(token))
    assert (result.exit_code, "must be one line, TOKEN or TENANT:TOKEN" in result.stderr) == (2, True)
    assert not text or text not in result.output


async def test_an_invalidated_answer_is_asked_for_anew(own: RunningProxy, provider: Providers) -> None:
    await ask(own, chat("old"))
    assert cache(own, "invalidate", "--provider", "openai").exit_code == 0
    assert said(await ask(own, chat("old"))) == "miss"


async def test_what_all_workers_share_is_listed_and_carried(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path
) -> None:
    proxy = make_proxy(provider, {"workers": 2})
    await ask(proxy, chat("by one of them"))
    lines = told(proxy, "ls", "--tier", "shared")
    assert isinstance(lines, list)
    assert len(lines) == 1
    assert cache(proxy, "export", str(tmp_path / "all.jsonl")).exit_code == 0
    counts = told(proxy, "import", str(tmp_path / "all.jsonl"))
    assert isinstance(counts, dict)
    assert counts["known"] == 1
