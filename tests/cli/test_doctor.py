"""`skinflint doctor`: each check over a snapshot, and the command on this machine."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.gateway import Access
from config.schema import Admin, Listener, Settings
from proxy import runtime
from proxy.cli.checkup import Finding, Level, check, excepts
from proxy.cli.machine import (
    Authority,
    Endpoint,
    Program,
    Snapshot,
    answers,
    look,
    parse_hosts,
    parse_version,
    redirects_https,
)
from proxy.cli.sharing import Sharing, sharing_of
from proxy.edge.ca import load_or_create
from proxy.edge.runtimes import Kind, describe, variables
from proxy.edge.trust import TrustFiles, write_trust
from proxy.identity import OWN_FOLDER
from proxy.runtime import BoundListener, Runtime
from tests.cli.conftest import Run

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DATA = Path("/data")
TRUST = TrustFiles.in_directory(DATA / "ca")
PROXY_URL = "http://127.0.0.1:8080"
NAMING_ROOTS = frozenset(item.name for item in describe() if item.kind in (Kind.BUNDLE, Kind.ROOT))
GOOD_CA = Authority("", NOW - timedelta(days=9), NOW + timedelta(days=900), (), True, 140, True)


def _runtime(*listeners: BoundListener) -> Runtime:
    return Runtime(1, "0.1.0", 0.0, listeners, "127.0.0.1:9190", TRUST.ca, TRUST.bundle, TRUST.truststore, DATA)


HEALTHY = Snapshot(
    now=NOW,
    environ=variables(PROXY_URL, TRUST, no_proxy=(), existing={}),
    provider_hosts=("api.openai.com", "*.openai.azure.com"),
    modes=frozenset({"regular"}),
    data_dir=DATA,
    trust=TRUST,
    proxy=_runtime(BoundListener("regular", "127.0.0.1:8080")),
    endpoints=[Endpoint("regular", "127.0.0.1:8080", True), Endpoint("admin", "127.0.0.1:9190", True)],
    authority=GOOD_CA,
    trusting=NAMING_ROOTS,
    programs=[Program("node", (20, 20, 2)), Program("java", (17, 0, 15)), Program("curl", (8, 5))],
    hosts_file={},
    redirects=None,
    max_descriptors=65_536,
)


def _environ(**changed: str) -> Mapping[str, str]:
    return {**HEALTHY.environ, **changed}


def _found(seen: Snapshot, level: Level, subject: str) -> list[Finding]:
    return [finding for finding in check(seen) if finding.level is level and finding.subject == subject]


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    assert {finding.level for finding in check(HEALTHY)} == {Level.OK}


def test_whatever_is_wrong_has_a_remedy() -> None:
    broken = replace(HEALTHY, environ={"NO_PROXY": "*"}, proxy=None, authority=None, trusting=frozenset())
    wrong = [finding for finding in check(broken) if finding.level in (Level.WARN, Level.FAIL)]
    assert len(wrong) > 5
    assert all(finding.fix for finding in wrong)


def test_a_shared_proxy_is_asked_who_may_use_it_and_not_for_clients_here() -> None:
    careful = Sharing(("tokens", "pods"), ("providers",), is_private_reachable=False, is_encrypted=True)
    found = [each for each in check(replace(HEALTHY, environ={}, sharing=careful)) if each.subject == "gateway"]
    assert [each.message for each in found] == ["clients are known by tokens and pods", "it leads to providers"]
    assert {each.level for each in check(replace(HEALTHY, environ={}, sharing=careful))} == {Level.OK}


def test_a_careless_gateway_is_told_so() -> None:
    careless = Sharing(("tokens",), ("any",), is_private_reachable=True, is_encrypted=False)
    notes = _found(replace(HEALTHY, sharing=careless), Level.NOTE, "gateway")
    assert [each.fix.partition(":")[0] for each in notes][:2] == ["destinations.allow", "destinations.private"]
    assert len(notes) == 3
    everybody = Sharing((), ("providers",), is_private_reachable=False, is_encrypted=False)
    (note,) = _found(replace(HEALTHY, sharing=everybody), Level.NOTE, "gateway")
    assert note.message.startswith("everybody")


@pytest.mark.parametrize(
    ("address", "is_shared"), [("127.0.0.1:1", False), ("0.0.0.0:1", True), ("localhost:1", False), ("[::]:1", True)]
)
def test_a_proxy_is_shared_when_the_network_reaches_it(address: str, is_shared: bool) -> None:
    settings = Settings(listeners=(Listener(address=address),), access=Access(sources={"0.0.0.0/0": "everybody"}))
    sharing = sharing_of(settings)
    assert (sharing is not None) is is_shared
    assert sharing is None or sharing.knows == ()


def test_no_proxy_running_fails() -> None:
    (finding,) = _found(replace(HEALTHY, proxy=None), Level.FAIL, "proxy")
    assert finding.fix == "skinflint run"


def test_a_listener_that_does_not_answer_fails() -> None:
    silent = replace(HEALTHY, endpoints=[Endpoint("admin", "127.0.0.1:9190", answers=False)])
    assert "127.0.0.1:9190" in _found(silent, Level.FAIL, "listener")[0].message


def test_a_missing_proxy_variable_fails() -> None:
    environ = {name: value for name, value in HEALTHY.environ.items() if name != "HTTPS_PROXY"}
    assert _found(replace(HEALTHY, environ=environ), Level.FAIL, "way")


def test_a_variable_that_leads_elsewhere_fails_and_shows_no_password() -> None:
    seen = replace(HEALTHY, environ=_environ(HTTPS_PROXY="http://user:secret@corporate:3128"))
    (finding,) = _found(seen, Level.FAIL, "way")
    assert "corporate:3128" in finding.message
    assert "secret" not in finding.message + finding.fix


@pytest.mark.parametrize("value", ["http://localhost:8080/", "127.0.0.1:8080"])
def test_other_spellings_of_our_address_are_fine(value: str) -> None:
    assert not _found(replace(HEALTHY, environ=_environ(HTTPS_PROXY=value)), Level.FAIL, "way")


def test_an_unreadable_proxy_variable_is_said_to_be_one() -> None:
    (finding,) = _found(replace(HEALTHY, environ=_environ(HTTPS_PROXY="http://a:b:c")), Level.FAIL, "way")
    assert "cannot be read" in finding.message


@pytest.mark.parametrize(
    ("entry", "host", "covered"),
    [
        ("*", "api.openai.com", True),
        ("openai.com", "api.openai.com", True),
        (".openai.com", "api.openai.com", True),
        ("*.openai.com", "api.openai.com", True),
        ("api.openai.com", "api.openai.com", True),
        ("my.openai.azure.com", "*.openai.azure.com", True),
        ("azure.com", "*.openai.azure.com", True),
        ("penai.com", "api.openai.com", False),
        ("localhost", "api.openai.com", False),
    ],
)
def test_exceptions_are_read_as_the_widest_client_does(entry: str, host: str, covered: bool) -> None:
    assert excepts(entry, host) is covered


def test_an_exception_for_a_provider_is_a_warning_and_for_all_a_failure() -> None:
    assert _found(replace(HEALTHY, environ=_environ(NO_PROXY="openai.com")), Level.WARN, "exceptions")
    assert _found(replace(HEALTHY, environ=_environ(NO_PROXY="*")), Level.FAIL, "exceptions")


def test_a_provider_on_loopback_may_be_excepted() -> None:
    seen = replace(HEALTHY, provider_hosts=("localhost", "127.0.0.1"))
    assert not [finding for finding in check(seen) if finding.subject == "exceptions"]


@pytest.mark.parametrize(
    ("authority", "level", "subject"),
    [
        (None, Level.FAIL, "authority"),
        (Authority(problem="/x: damaged"), Level.FAIL, "authority"),
        (replace(GOOD_CA, ends=NOW + timedelta(days=9)), Level.WARN, "authority"),
        (replace(GOOD_CA, lacking=("api.new.example",)), Level.WARN, "authority"),
        (replace(GOOD_CA, begins=NOW + timedelta(days=9)), Level.FAIL, "clock"),
        (replace(GOOD_CA, is_in_bundle=False), Level.FAIL, "trust files"),
        (replace(GOOD_CA, bundle_roots=1), Level.WARN, "trust files"),
        (replace(GOOD_CA, has_truststore=False), Level.WARN, "trust files"),
    ],
)
def test_an_authority_that_cannot_do_its_work_is_found(authority: Authority | None, level: Level, subject: str) -> None:
    (finding,) = _found(replace(HEALTHY, authority=authority), level, subject)
    assert finding.fix


def test_the_command_that_mends_an_exposed_key_is_the_fix() -> None:
    seen = replace(HEALTHY, authority=Authority(problem="/k can be read by others; run: chmod 600 /k"))
    assert _found(seen, Level.FAIL, "authority")[0].fix == "chmod 600 /k"


def test_trust_variables_without_our_root_are_warned_of() -> None:
    seen = replace(HEALTHY, trusting=NAMING_ROOTS - {"REQUESTS_CA_BUNDLE"})
    (finding,) = _found(seen, Level.WARN, "trust")
    assert finding.message.endswith(": REQUESTS_CA_BUNDLE")


@pytest.mark.parametrize(
    ("program", "without", "needed"),
    [
        (Program("node", (20, 20)), "NODE_OPTIONS", "NODE_OPTIONS"),
        (Program("node", (24, 4)), "NODE_OPTIONS", "NODE_OPTIONS"),
        (Program("node", (24, 5)), "NODE_USE_ENV_PROXY", "NODE_USE_ENV_PROXY"),
        (Program("node", (22, 21)), "NODE_USE_ENV_PROXY", "NODE_USE_ENV_PROXY"),
        (Program("java", (17,)), "JAVA_TOOL_OPTIONS", "JAVA_TOOL_OPTIONS"),
        (Program("ruby", (3, 1)), "http_proxy", "http_proxy"),
        (Program("php", (8, 2)), "PHP_INI_SCAN_DIR", "PHP_INI_SCAN_DIR"),
        (Program("deno", (2, 9)), "HTTPS_PROXY", "HTTPS_PROXY"),
        (Program("bun", ()), "HTTPS_PROXY", "HTTPS_PROXY"),
        (Program("go", (1, 19)), "HTTPS_PROXY", "HTTPS_PROXY"),
    ],
)
def test_each_runtime_is_told_what_it_lacks(program: Program, without: str, needed: str) -> None:
    environ = {name: value for name, value in HEALTHY.environ.items() if name != without}
    (finding,) = _found(replace(HEALTHY, programs=[program], environ=environ), Level.WARN, "runtime")
    assert finding.message.endswith(f"needs {needed}")


def test_a_newer_node_does_not_need_the_preload() -> None:
    environ = {name: value for name, value in HEALTHY.environ.items() if name != "NODE_OPTIONS"}
    assert not _found(replace(HEALTHY, programs=[Program("node", (24, 5))], environ=environ), Level.WARN, "runtime")


def test_trust_is_enough_where_names_lead_here() -> None:
    environ = variables(None, TRUST, no_proxy=(), existing={})
    seen = replace(HEALTHY, modes=frozenset({"hosts"}), environ=environ, hosts_file={"api.openai.com": "127.0.0.1"})
    assert {finding.level for finding in check(seen)} == {Level.OK}


def test_names_that_lead_here_without_a_listener_fail() -> None:
    assert _found(replace(HEALTHY, hosts_file={"api.openai.com": "::1"}), Level.FAIL, "way")
    assert not _found(replace(HEALTHY, hosts_file={"api.openai.com": "10.0.0.9"}), Level.FAIL, "way")


@pytest.mark.parametrize(("redirects", "level"), [(True, Level.OK), (False, Level.FAIL), (None, Level.NOTE)])
def test_transparent_mode_needs_a_redirect(redirects: bool | None, level: Level) -> None:
    assert _found(replace(HEALTHY, modes=frozenset({"transparent"}), redirects=redirects), level, "way")


def test_a_redirect_without_a_transparent_listener_is_noted() -> None:
    assert _found(replace(HEALTHY, redirects=True), Level.NOTE, "way")


def test_few_descriptors_are_warned_of() -> None:
    assert _found(replace(HEALTHY, max_descriptors=1024), Level.WARN, "limits")
    assert not _found(replace(HEALTHY, max_descriptors=-1), Level.WARN, "limits")  # no limit


def test_python_clients_that_ignore_variables_are_noted() -> None:
    (finding,) = _found(replace(HEALTHY, programs=[Program("python3", (3, 13))]), Level.NOTE, "runtime")
    assert "aiohttp" in finding.message


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v20.20.2\n", (20, 20, 2)),
        ('Picked up JAVA_TOOL_OPTIONS: -Dhttps.proxyHost=127.0.0.1\nopenjdk version "17.0.15"', (17, 0, 15)),
        ("go version go1.19.8 linux/amd64", (1, 19, 8)),
        ("nothing", ()),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_a_hosts_file_is_read_as_resolvers_do() -> None:
    text = "127.0.0.1 localhost\n# 10.0.0.1 a\n127.0.0.1 A.example b # c\n::1 a.example\n\n10.0.0.2\n"
    assert parse_hosts(text) == {"localhost": "127.0.0.1", "a.example": "127.0.0.1", "b": "127.0.0.1"}


@pytest.mark.parametrize(
    ("rules", "redirects"),
    [
        ("chain out {\n tcp dport 443 redirect to :15001\n}", True),
        ("-A OUTPUT -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 15001", True),
        ("tcp dport 80 redirect to :15001", False),
        ("tcp dport 443 accept", False),
        ("", False),
    ],
)
def test_redirects_are_found_in_either_tools_words(rules: str, redirects: bool) -> None:
    assert redirects_https(rules) is redirects


def test_an_address_answers_when_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert answers(f"127.0.0.1:{port}")
        assert answers(f"0.0.0.0:{port}")
    assert not answers(f"127.0.0.1:{port}")
    assert not answers("127.0.0.1:0")


def test_looking_finds_the_proxy_its_authority_and_who_trusts_it(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = load_or_create(tmp_path / OWN_FOLDER, ["a.example"], now)
    trust = write_trust(authority, tmp_path / OWN_FOLDER, [])
    settings = Settings(
        data_dir=tmp_path, listeners=(Listener(address="127.0.0.1:0"),), admin=Admin(address="127.0.0.1:0")
    )
    environ = {"PATH": "/nonexistent", "SSL_CERT_FILE": str(trust.bundle), "DENO_CERT": "/absent"}
    seen = look(settings, ["a.example", "b.example"], environ, now)
    assert seen.proxy is None
    assert seen.authority is not None
    assert (seen.authority.lacking, seen.authority.is_in_bundle) == (("b.example",), True)
    assert seen.trusting == {"SSL_CERT_FILE"}
    assert seen.programs == []


def test_looking_changes_nothing(tmp_path: Path) -> None:
    seen = look(Settings(data_dir=tmp_path / "data"), ["a.example"], {}, datetime.now(UTC))
    assert seen.authority is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_authority_is_seen(tmp_path: Path) -> None:
    (tmp_path / OWN_FOLDER).mkdir()
    (tmp_path / OWN_FOLDER / "skinflint-ca.pem").write_text("nonsense")
    seen = look(Settings(data_dir=tmp_path), ["a.example"], {}, datetime.now(UTC))
    assert seen.authority is not None
    assert "not a certificate" in seen.authority.problem


def test_the_command_fails_without_a_proxy_and_says_so_in_json(skinflint: Run, home: Path) -> None:
    result = skinflint("doctor", "--format", "json", "--data-dir", str(home / "data"))
    findings = json.loads(result.stdout)
    assert result.exit_code == 1
    assert findings[0] == {
        "subject": "proxy",
        "level": "fail",
        "message": f"none is running with {home / 'data'}",
        "fix": "skinflint run",
    }


def test_the_table_has_a_line_for_each_remedy(skinflint: Run, home: Path) -> None:
    result = skinflint("doctor", "--data-dir", str(home / "data"))
    assert result.exit_code == 1
    assert "→ skinflint run" in result.stdout
    assert "Traceback" not in result.output


def test_the_command_finds_a_running_proxy(
    skinflint: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    folder = home / "data"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        trust = TrustFiles.in_directory(folder / OWN_FOLDER)
        running = replace(
            _runtime(BoundListener("regular", address)),
            pid=os.getpid(),
            admin=address,
            data_dir=folder,
            ca=trust.ca,
            bundle=trust.bundle,
            truststore=trust.truststore,
        )
        runtime.write(running)
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        result = skinflint("doctor", "--format", "json", "--data-dir", str(folder))
    findings = {(item["subject"], item["level"]) for item in json.loads(result.stdout)}
    assert {("proxy", "ok"), ("listener", "ok"), ("way", "ok"), ("authority", "fail")} <= findings
