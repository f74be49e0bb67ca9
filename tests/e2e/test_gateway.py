"""A gateway that many share: who is let in, where it leads, whose answers are whose, and what it says of all that."""

import asyncio
import base64
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, reply, said
from tests.e2e.gateway_calls import HOST, Tenants, ask_as, connect_to, curl, refused
from tests.support.background import Providers
from tests.support.origins import echo, origin
from tests.support.processes import clients_python, environment
from tests.support.raw_client import chat, connect, post, request
from tests.support.running import RunningProxy

pytestmark = pytest.mark.usefixtures("provider")


@pytest.fixture
def tenants(tmp_path: Path) -> Tenants:
    return Tenants(tmp_path / "credentials", "team-a", "team-b")


@pytest.fixture
def gateway(make_proxy: MakeProxy, provider: Providers, tenants: Tenants) -> RunningProxy:
    """Providers only, tokens only."""
    return make_proxy(provider, {"profile": "gateway", "access": {"credentials": str(tenants.file)}})


# -- who


async def test_without_a_token_a_tunnel_is_refused_with_a_challenge(gateway: RunningProxy) -> None:
    answer = await refused(gateway, f"{HOST}:443")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 407 ")
    assert b'proxy-authenticate: basic realm="skinflint"' in head
    assert b"proxy-status: skinflint; error=http_request_denied" in head
    assert gateway.metric("skinflint_refused_total", reason="credentials") == 1


async def test_a_wrong_token_is_refused_and_never_told(gateway: RunningProxy, tenants: Tenants) -> None:
    wrong = base64.b64encode(b"team-a:" + tenants.tokens["team-b"].encode()).decode()
    answer = await refused(gateway, f"{HOST}:443", f"Basic {wrong}")
    assert answer.startswith(b"HTTP/1.1 407 ")
    assert gateway.logged("refused")[0]["reason"] == "credentials"
    assert tenants.tokens["team-b"] not in gateway.process.output
    assert wrong not in gateway.process.output


async def test_a_tenants_calls_bear_its_name(gateway: RunningProxy, tenants: Tenants, prompt: str) -> None:
    await ask_as(gateway, prompt, tenants.field("team-a"), ("x-skinflint-label-app", "web"))
    (row,) = gateway.settled(1)
    assert orjson.loads(str(row["labels"])) == {"app": "web", "tenant": "team-a"}
    assert gateway.metric("skinflint_requests_total", tenant="team-a", outcome="miss") == 1


async def test_metrics_can_tell_tenants_apart(
    make_proxy: MakeProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    settings = {
        "profile": "gateway",
        "access": {"credentials": str(tenants.file)},
        "attribution": {"labels": {"pod": "gateway-1"}, "call_metric_labels": ["tenant"]},
    }
    proxy = make_proxy(provider, settings)
    for tenant in ("team-a", "team-a", "team-b"):
        await ask_as(proxy, prompt, tenants.field(tenant))
    proxy.settled(3)
    assert proxy.metric("skinflint_requests_total", tenant="team-a", pod="gateway-1") == 2
    assert proxy.metric("skinflint_cost_usd_total", tenant="team-b", pod="gateway-1") > 0


async def test_a_client_cannot_name_another_tenant(
    make_proxy: MakeProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    settings = {
        "profile": "gateway",
        "access": {"credentials": str(tenants.file)},
        "attribution": {"headers": {"x-tenant": "tenant"}},
    }
    proxy = make_proxy(provider, settings)
    for _ in range(3):  # through the chain, as a hit, and as one that repeats a hit
        await ask_as(proxy, prompt, tenants.field("team-a"), ("x-tenant", "team-b"))
    rows = proxy.settled(3)
    assert {str(row["labels"]) for row in rows} == {'{"tenant":"team-a"}'}
    assert [row["outcome"] for row in rows] == ["miss", "hit", "hit"]


async def test_answers_never_cross_tenants(
    gateway: RunningProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    told = [said(await ask_as(gateway, prompt, tenants.field(name))) for name in ("team-a", "team-a", "team-a")]
    told += [said(await ask_as(gateway, prompt, tenants.field(name))) for name in ("team-b", "team-b", "team-b")]
    assert told == ["miss", "hit", "hit"] * 2
    assert provider.count(path=CHAT, host=HOST) == 2
    names = [orjson.loads(str(row["labels"]))["tenant"] for row in gateway.settled(6)]
    assert names == ["team-a"] * 3 + ["team-b"] * 3


async def test_tenants_of_one_group_share_answers(
    make_proxy: MakeProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    access = {"credentials": str(tenants.file), "share": {"friends": ["team-a", "team-b"]}}
    proxy = make_proxy(provider, {"profile": "gateway", "access": access})
    told = [said(await ask_as(proxy, prompt, tenants.field(name))) for name in ("team-a", "team-b")]
    other = said(await ask_as(proxy, prompt, tenants.field("team-b"), key="sk-other"))
    assert (told, other) == (["miss", "hit"], "miss")


async def test_new_tokens_are_taken_while_it_runs_and_old_ones_end(
    gateway: RunningProxy, tenants: Tenants, prompt: str
) -> None:
    async with await connect(gateway.port()) as kept:
        assert (await connect_to(kept, f"{HOST}:443", tenants.field("team-a"))).startswith(b"HTTP/1.1 200")
        await kept.start_tls(gateway.trust(), HOST)
        kept.send(post(chat(prompt)))
        assert (await kept.answer()).status == 200
        more = Tenants(tenants.file, "team-c")
        gateway.logged("credentials_reloaded")
        assert (await ask_as(gateway, prompt, more.field("team-c"))).status == 200
        assert (await refused(gateway, f"{HOST}:443", tenants.field("team-a"))).startswith(b"HTTP/1.1 407")
        assert await kept.read() == b""


async def test_a_tunnel_ends_with_the_token_that_opened_it(
    make_proxy: MakeProxy, provider: Providers, tenants: Tenants
) -> None:
    async with origin(echo) as port:
        settings = {
            "profile": "gateway",
            "access": {"credentials": str(tenants.file)},
            "destinations": {"allow": [f"127.0.0.1:{port}"], "exceptions": ["127.0.0.1"]},
        }
        proxy = make_proxy(provider, settings)
        async with await connect(proxy.port()) as gone, await connect(proxy.port()) as kept:
            for client, name in ((gone, "team-a"), (kept, "team-b")):
                assert (await connect_to(client, f"127.0.0.1:{port}", tenants.field(name))).startswith(b"HTTP/1.1 200")
            del tenants.lines["team-a"]
            tenants.write()
            assert await gone.read() == b""
            kept.send(b"hello")
            assert await kept.read() == b"hello"


async def test_the_token_goes_no_further(
    make_proxy: MakeProxy, make_provider: MakeProvider, tenants: Tenants, prompt: str
) -> None:
    plain = make_provider(tls=False)
    proxy = make_proxy(plain, {"profile": "gateway", "access": {"credentials": str(tenants.file)}})
    async with await connect(proxy.port()) as client:
        for name in ("team-a", "team-a", "team-b"):
            fields = ("proxy-authorization", tenants.field(name))
            client.send(post(chat(prompt), f"http://{HOST}{CHAT}", fields))
            assert (await client.answer()).status == 200
        client.send(post(chat(prompt), f"http://{HOST}{CHAT}"))
        assert (await client.answer()).status == 407
    assert [row["outcome"] for row in proxy.settled(3)] == ["miss", "hit", "miss"]
    assert tenants.tokens["team-a"] not in str(plain.stats())
    assert tenants.tokens["team-a"] not in proxy.process.output


async def test_sources_are_tenants(make_proxy: MakeProxy, provider: Providers, prompt: str) -> None:
    proxy = make_proxy(provider, {"profile": "gateway", "access": {"sources": {"127.0.0.0/8": "here"}}})
    await ask_as(proxy, prompt, None)
    assert orjson.loads(str(proxy.settled(1)[0]["labels"])) == {"tenant": "here"}


async def test_an_unknown_source_is_refused(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"profile": "gateway", "access": {"sources": {"10.0.0.0/8": "far"}}})
    assert (await refused(proxy, f"{HOST}:443")).startswith(b"HTTP/1.1 403 ")
    assert proxy.metric("skinflint_refused_total", reason="source") == 1


async def test_an_unknown_source_of_a_listener_without_answers_is_closed(
    make_proxy: MakeProxy, provider: Providers
) -> None:
    settings = {
        "profile": "gateway",
        "listeners": [{"address": "127.0.0.1:0", "mode": f"reverse:https://{HOST}"}],
        "access": {"sources": {"10.0.0.0/8": "far"}},
    }
    proxy = make_proxy(provider, settings)
    async with await connect(proxy.port(f"reverse:https://{HOST}")) as client:
        client.send(request("GET", "/v1/models"))
        assert await client.read() == b""


# -- where


@pytest.mark.parametrize("target", ["example.test:443", f"{HOST}:22", "127.0.0.1:443", "[::1]:443", "localhost:80"])
async def test_it_leads_to_providers_only(gateway: RunningProxy, tenants: Tenants, target: str) -> None:
    answer = await refused(gateway, target, tenants.field("team-a"))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"proxy-status: skinflint; error=http_request_denied" in answer
    assert gateway.metric("skinflint_refused_total", reason="destination") == 1


async def test_a_plain_request_for_another_host_is_refused(gateway: RunningProxy, tenants: Tenants) -> None:
    async with await connect(gateway.port()) as client:
        fields = [("proxy-authorization", tenants.field("team-a"))]
        client.send(request("GET", "http://169.254.169.254/latest/meta-data/", None, fields, host="169.254.169.254"))
        answer = await client.answer()
    assert answer.status == 403
    assert "error=http_request_denied" in answer.header("proxy-status")
    assert answer.json()["error"]["code"] == "http_request_denied"


async def test_tls_inside_cannot_name_a_host_that_connect_may_not(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"destinations": {"allow": ["api.anthropic.com"]}})
    async with await connect(proxy.port()) as client:
        assert (await connect_to(client, "api.anthropic.com:443")).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionResetError):
            await client.start_tls(proxy.trust(), HOST)
    assert proxy.metric("skinflint_refused_total", reason="destination") == 1


async def test_an_allowed_host_is_tunnelled(make_proxy: MakeProxy, provider: Providers) -> None:
    async with origin(echo) as port:
        proxy = make_proxy(
            provider,
            {"profile": "gateway", "destinations": {"allow": [f"127.0.0.1:{port}"], "exceptions": ["127.0.0.1"]}},
        )
        async with await connect(proxy.port()) as client:
            assert (await connect_to(client, f"127.0.0.1:{port}")).startswith(b"HTTP/1.1 200")
            client.send(b"hello")
            assert await client.read() == b"hello"


async def test_an_allowed_name_that_leads_to_this_machine_is_refused(make_proxy: MakeProxy) -> None:
    async with origin(echo) as port:
        proxy = make_proxy(None, {"profile": "gateway", "destinations": {"allow": [f"localhost:{port}"]}})
        answer = await refused(proxy, f"localhost:{port}")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"proxy-status: skinflint; error=destination_ip_prohibited" in answer
    assert b"must not be reached through this proxy" in answer
    assert proxy.metric("skinflint_refused_total", reason="address") == 1


async def test_rules_for_destinations_are_taken_while_it_runs(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"destinations": {"allow": ["providers"]}})
    assert (await refused(proxy, "example.test:443")).startswith(b"HTTP/1.1 403 ")
    settings = orjson.loads(proxy.config.read_bytes())
    settings["destinations"] = {"allow": ["api.anthropic.com"]}
    proxy.config.write_bytes(orjson.dumps(settings))
    proxy.logged("settings_applied")
    assert (await refused(proxy, f"{HOST}:443")).startswith(b"HTTP/1.1 403 ")


async def test_rules_for_clients_are_taken_while_it_runs(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    plain = make_provider(tls=False)
    proxy = make_proxy(plain, {"destinations": {"allow": ["providers"]}})
    async with await connect(proxy.port()) as client:
        client.send(post(chat(prompt), f"http://{HOST}{CHAT}"))
        assert (await client.answer()).status == 200
        settings = orjson.loads(proxy.config.read_bytes())
        settings["access"] = {"sources": {"10.0.0.0/8": "far"}}
        proxy.config.write_bytes(orjson.dumps(settings))
        proxy.logged("settings_applied")
        client.send(post(chat(prompt), f"http://{HOST}{CHAT}"))
        assert (await client.answer()).status == 403
    assert (await refused(proxy, f"{HOST}:443")).startswith(b"HTTP/1.1 403 ")


async def test_each_request_of_a_connection_that_began_without_rules_says_whose_it_is(
    make_proxy: MakeProxy, make_provider: MakeProvider, tenants: Tenants, prompt: str
) -> None:
    plain = make_provider(tls=False)
    proxy = make_proxy(plain, {"destinations": {"allow": ["providers"]}})
    call = post(chat(prompt), f"http://{HOST}{CHAT}", ("proxy-authorization", tenants.field("team-a")))
    async with await connect(proxy.port()) as client:
        client.send(post(chat("before"), f"http://{HOST}{CHAT}"))
        assert (await client.answer()).status == 200
        settings = orjson.loads(proxy.config.read_bytes())
        settings["access"] = {"credentials": str(tenants.file)}
        proxy.config.write_bytes(orjson.dumps(settings))
        proxy.logged("settings_applied")
        for _ in range(4):
            client.send(call)
            assert (await client.answer()).status == 200
        rows = proxy.settled(5)[1:]
        assert [orjson.loads(str(row["labels"])).get("tenant") for row in rows] == ["team-a"] * 4
        del tenants.lines["team-a"]
        tenants.write()
        proxy.logged("credentials_reloaded")
        client.send(call)
        assert (await client.answer()).status == 407


async def test_redirects_are_the_clients_to_follow(
    gateway: RunningProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    provider.script(lambda _: reply(b"", 302, b"text/plain", (b"location", b"http://169.254.169.254/")))
    answer = await ask_as(gateway, prompt, tenants.field("team-a"))
    assert (answer.status, answer.header("location")) == (302, "http://169.254.169.254/")
    provider.script(None)


async def test_a_flood_of_refusals_is_counted_but_not_logged_line_by_line(gateway: RunningProxy) -> None:
    for _ in range(30):
        await refused(gateway, f"{HOST}:443")
    assert gateway.metric("skinflint_refused_total", reason="credentials") == 30
    assert len(gateway.events("refused")) == 20


# -- clients, unchanged


async def test_curl_with_a_proxy_user(gateway: RunningProxy, tenants: Tenants, tmp_path: Path) -> None:
    ca = ("--cacert", str(gateway.runtime.ca))
    url = ("--header", "authorization: Bearer sk", f"https://{HOST}/v1/models")
    user = f"team-a:{tenants.tokens['team-a']}"
    report = ("-w", "%{http_connect} %{http_code}", "--output", "answer")
    done = curl(tmp_path, "--proxy", gateway.url, "--proxy-user", user, *ca, *report, *url)
    assert (done.returncode, done.stdout) == (0, "200 200")
    without = curl(tmp_path, "--proxy", gateway.url, *ca, *report, *url)
    assert without.stdout == "407 000"


async def test_openais_sdk_with_a_token_in_https_proxy(gateway: RunningProxy, tenants: Tenants, tmp_path: Path) -> None:
    python = clients_python()
    if python is None:
        pytest.skip("the SDKs are not installed: make clients")
    script = (
        "import openai\n"
        "made = openai.OpenAI(max_retries=0)\n"
        "ask = dict(model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'sdk'}], temperature=0)\n"
        "print(made.chat.completions.create(**ask).choices[0].finish_reason)\n"
        "print(sum(1 for _ in made.chat.completions.create(**ask, stream=True)) > 1)\n"
    )
    environ = {
        **environment(tmp_path),
        "HTTPS_PROXY": tenants.url("team-b", gateway),
        "SSL_CERT_FILE": str(gateway.runtime.ca),
        "OPENAI_API_KEY": "sk-test",
    }
    environ.pop("PYTHONPATH")
    done = subprocess.run([python, "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["stop", "True"], done.stderr
    names = {orjson.loads(str(row["labels"]))["tenant"] for row in gateway.settled(2)}
    assert names == {"team-b"}


# -- several processes


async def test_workers_know_the_same_tenants(
    make_process: MakeProxy, provider: Providers, tenants: Tenants, prompt: str
) -> None:
    proxy = make_process(provider, {"profile": "gateway", "workers": 2, "access": {"credentials": str(tenants.file)}})
    told = [said(await ask_as(proxy, prompt, tenants.field(name))) for name in ["team-a"] * 6 + ["team-b"] * 6]
    assert [told[0], told[6]] == ["miss", "miss"]
    assert {*told[1:6], *told[7:]} == {"hit"}
    assert (await refused(proxy, f"{HOST}:443")).startswith(b"HTTP/1.1 407 ")
    more = Tenants(tenants.file, "team-c")

    for _ in range(8):
        async with asyncio.timeout(20):
            while (await refused(proxy, f"{HOST}:443", more.field("team-c"))).startswith(b"HTTP/1.1 407 "):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_tenant_is_not_led_to_the_gateways_own_loopback_though_anything_is_allowed(
    make_proxy: MakeProxy, provider: Providers, tenants: Tenants, prompt: str, host: str
) -> None:
    settings = {
        "listeners": [{"address": "0.0.0.0:0", "mode": "regular"}],
        "access": {"credentials": str(tenants.file)},
    }
    proxy = make_proxy(provider, settings)
    admin = proxy.runtime.admin.rpartition(":")[2]
    answer = await refused(proxy, f"{host}:{admin}", tenants.field("team-a"))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"destination_ip_prohibited" in answer
    assert said(await ask_as(proxy, prompt, tenants.field("team-a"))) == "miss"
