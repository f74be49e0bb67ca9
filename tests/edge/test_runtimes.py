"""What each runtime is told, and that real ones understand it."""

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

import pytest

from proxy.edge.ca import load_or_create
from proxy.edge.leaf import LeafIssuer
from proxy.edge.runtimes import Kind, describe, exceptions, java_options, variables
from proxy.edge.trust import TrustFiles, write_trust
from tests.support.connect_proxy import connect_proxy

TRUST = TrustFiles.in_directory(Path("/trust"))
PROXY = "http://127.0.0.1:8080"
HOST = "api.openai.com"


def _set(existing: Mapping[str, str] | None = None, proxy_url: str | None = PROXY, *no_proxy: str) -> dict[str, str]:
    return variables(proxy_url, TRUST, no_proxy=no_proxy, existing=existing or {})


def test_every_variable_of_the_table_is_set() -> None:
    assert list(_set()) == [variable.name for variable in describe()]


def test_proxy_variables_lead_to_the_proxy() -> None:
    chosen = _set()
    assert {chosen[name] for name in ("HTTPS_PROXY", "https_proxy", "http_proxy")} == {PROXY}
    assert not {"ALL_PROXY", "all_proxy", "HTTP_PROXY"} & chosen.keys()


def test_without_a_proxy_only_trust_is_set() -> None:
    chosen = _set(None, None)
    kinds = {variable.name: variable.kind for variable in describe()}
    assert {kinds[name] for name in chosen} == {Kind.BUNDLE, Kind.ROOT, Kind.OPTIONS}
    assert "NODE_OPTIONS" not in chosen
    assert "proxyHost" not in chosen["JAVA_TOOL_OPTIONS"]


def test_what_replaces_roots_gets_the_bundle_and_what_adds_gets_our_root() -> None:
    chosen = _set()
    for variable in describe():
        if variable.kind is Kind.BUNDLE:
            assert chosen[variable.name] == "/trust/bundle.pem"
        if variable.kind is Kind.ROOT:
            assert chosen[variable.name] == "/trust/skinflint-ca.pem"


def test_added_roots_of_the_users_own_stay_trusted() -> None:
    assert _set({"NODE_EXTRA_CA_CERTS": "/corporate.pem"})["NODE_EXTRA_CA_CERTS"] == "/trust/bundle.pem"


def test_exceptions_keep_the_users_and_add_loopback_and_metadata() -> None:
    existing = {"NO_PROXY": "a.example, b.example", "no_proxy": "b.example", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    found = exceptions(["c.example"], existing)
    assert found[:3] == ["a.example", "b.example", "c.example"]
    assert {"localhost", "127.0.0.1", "::1", "169.254.169.254", "10.96.0.1"} < set(found)
    assert _set(existing)["NO_PROXY"] == _set(existing)["no_proxy"]


def test_setting_twice_is_setting_once() -> None:
    existing = {"NODE_OPTIONS": "--max-old-space-size=4096", "JAVA_TOOL_OPTIONS": "-Xmx1g", "PHP_INI_SCAN_DIR": ":/own"}
    once = _set(existing)
    assert _set({**existing, **once}) == once


def test_a_second_proxy_replaces_the_first() -> None:
    again = variables("http://127.0.0.1:9999", TRUST, no_proxy=(), existing=_set({"JAVA_TOOL_OPTIONS": "-Xmx1g"}))
    assert again["JAVA_TOOL_OPTIONS"].startswith("-Xmx1g ")
    assert again["JAVA_TOOL_OPTIONS"].count("proxyPort") == 1
    assert "-Dhttps.proxyPort=9999" in again["JAVA_TOOL_OPTIONS"]


def test_java_gets_proxy_truststore_and_exceptions() -> None:
    options = java_options("-Xmx1g", PROXY, TRUST, ["localhost", "::1", ".svc"]).split()
    assert options[0] == "-Xmx1g"
    assert "-Djavax.net.ssl.trustStore=/trust/truststore.p12" in options
    assert "-Dhttps.proxyHost=127.0.0.1" in options
    assert "-Dhttp.nonProxyHosts=localhost|[::1]|*.svc" in options


def test_a_java_truststore_of_the_users_own_is_left_alone() -> None:
    before = "-Djavax.net.ssl.trustStore=/own.jks"
    assert java_options(before, PROXY, TRUST, []) == before


def test_a_java_proxy_of_the_users_own_is_left_alone() -> None:
    options = java_options("-Dhttps.proxyHost=corporate", PROXY, TRUST, [])
    assert options.count("proxyHost") == 1
    assert "trustStore=" in options


def test_paths_with_spaces_are_quoted() -> None:
    trust = TrustFiles.in_directory(Path("/my trust"))
    assert '"-Djavax.net.ssl.trustStore=/my trust/truststore.p12"' in java_options("", PROXY, trust, [])
    chosen = variables(PROXY, trust, no_proxy=(), existing={"NODE_OPTIONS": "--a"})
    assert chosen["NODE_OPTIONS"] == '--a --require="/my trust/node_preload.cjs"'
    assert variables(PROXY, trust, no_proxy=(), existing=chosen)["NODE_OPTIONS"] == chosen["NODE_OPTIONS"]


def test_php_keeps_the_folders_it_has() -> None:
    assert _set()["PHP_INI_SCAN_DIR"] == ":/trust/php"
    assert _set({"PHP_INI_SCAN_DIR": "/a"})["PHP_INI_SCAN_DIR"] == "/a:/trust/php"


# ── real runtimes ───────────────────────────────────────────────────────────────────────────────────────────────────


class World:
    """A CA and its files, in a folder whose name has a space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime.now(UTC)
        self.authority = load_or_create(folder / "ca", [HOST], self.now)
        self.trust = write_trust(self.authority, folder / "trust files", [])
        self.context = LeafIssuer(self.authority, clock=self.now.timestamp).context(HOST)

    def environment(self, proxy_url: str | None, **existing: str) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **existing}
        return {**base, **variables(proxy_url, self.trust, no_proxy=(), existing=base)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _run(environ: Mapping[str, str], program: str, *arguments: str) -> str:
    path = which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([path, *arguments], env=environ, capture_output=True, timeout=60, check=False, text=True)
    return done.stdout.strip() or done.stderr


def _node(environ: Mapping[str, str], code: str) -> str:
    return _run(environ, "node", "--input-type=module", "-e", code)


FETCH = f"const r = await fetch('https://{HOST}/v1'); console.log(r.status, await r.text());"
NODE_CLIENTS = {
    "fetch": FETCH,
    "https": (
        "import https from 'node:https';"
        f"https.get('https://{HOST}/v1', (r) => {{"
        " r.setEncoding('utf8'); r.on('data', (d) => console.log(r.statusCode, d)); });"
    ),
    "https keep-alive": (
        "import https from 'node:https'; const agent = new https.Agent({ keepAlive: true });"
        f"https.get('https://{HOST}/v1', {{ agent, timeout: 5000 }}, (r) => {{"
        " r.setEncoding('utf8'); r.on('data', (d) => console.log(r.statusCode, d)); });"
    ),
    "tls by name": (
        "import { connect } from 'node:tls';"
        f"const s = connect(443, '{HOST}', {{ servername: '{HOST}' }}, () => s.write('GET /v1 HTTP/1.1\\r\\n\\r\\n'));"
        "s.on('data', (d) => { console.log(200, String(d).slice(-2)); s.end(); });"
    ),
}


@pytest.mark.parametrize("client", NODE_CLIENTS)
def test_node_goes_through_the_proxy_and_ends(world: World, client: str) -> None:
    with connect_proxy(world.context) as proxy:
        assert _node(world.environment(proxy.url), NODE_CLIENTS[client]) == "200 ok"
        assert [head.partition("\r\n")[0] for head in proxy.heads] == [f"CONNECT {HOST}:443 HTTP/1.1"]
        assert proxy.requests == ["GET /v1 HTTP/1.1"]


def test_node_sends_the_proxys_credentials(world: World) -> None:
    with connect_proxy(world.context) as proxy:
        url = proxy.url.replace("//", "//user:pass%20word@")
        assert _node(world.environment(url), FETCH) == "200 ok"
        assert "proxy-authorization: basic dxnlcjpwyxnzihdvcmq=" in proxy.heads[0].lower()


def test_node_says_when_the_proxy_refuses(world: World) -> None:
    code = f"await fetch('https://{HOST}/').catch((e) => console.log(String(e.cause.message).includes('407')));"
    with connect_proxy(world.context, b"407 Proxy Authentication Required") as proxy:
        assert _node(world.environment(proxy.url), code) == "true"


@pytest.mark.parametrize("entry", [HOST, "openai.com", ".openai.com", f"{HOST}:443", "*"])
def test_node_obeys_exceptions(world: World, entry: str) -> None:
    code = (
        "import https from 'node:https'; const lookup = (host, options, done) => done(new Error('direct'));"
        f"https.get({{ host: '{HOST}', lookup }}).on('error', (e) => console.log(e.message));"
    )
    with connect_proxy(world.context) as proxy:
        assert _node(world.environment(proxy.url, NO_PROXY=entry), code) == "direct"
        assert proxy.heads == []


def test_node_leaves_other_tls_connections_alone(world: World) -> None:
    code = (
        "import tls from 'node:tls'; const lookup = (host, options, done) => done(new Error('direct'));"
        "tls.connect({ host: 'redis.example', port: 6380, lookup }).on('error', (e) => console.log(e.message));"
    )
    with connect_proxy(world.context) as proxy:
        assert _node(world.environment(proxy.url), code) == "direct"
        assert proxy.heads == []


def test_node_without_a_proxy_is_as_it_was(world: World) -> None:
    assert _node(world.environment(None), "console.log(process.execArgv.length >= 0)") == "true"


JAVA = """
import java.net.*; import java.net.http.*;
public class Fetch {
  public static void main(String[] a) throws Exception {
    URI uri = URI.create("https://api.openai.com/v1");
    System.out.println(HttpClient.newHttpClient()
        .send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).body());
    System.out.println(new String(uri.toURL().openStream().readAllBytes()));
  }
}
"""


def test_both_java_clients_go_through_the_proxy(world: World) -> None:
    source = world.folder / "Fetch.java"
    source.write_text(JAVA)
    with connect_proxy(world.context) as proxy:
        environ = world.environment(proxy.url, JAVA_TOOL_OPTIONS="-Xmx128m")
        assert _run(environ, "java", str(source)).split() == ["ok", "ok"]
        assert [head.partition("\r\n")[0] for head in proxy.heads] == [f"CONNECT {HOST}:443 HTTP/1.1"] * 2


def test_curl_and_python_go_through_the_proxy(world: World) -> None:
    python = f"import urllib.request as r; print(r.urlopen('https://{HOST}/v1').read().decode())"
    with connect_proxy(world.context) as proxy:
        environ = world.environment(proxy.url)
        assert _run(environ, "curl", "-sS", f"https://{HOST}/v1") == "ok"
        assert _run(environ, "python3", "-c", python) == "ok"
        assert len(proxy.heads) == 2
