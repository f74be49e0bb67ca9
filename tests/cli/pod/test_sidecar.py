"""`skinflint doctor` in a sidecar: what it sees there, and what follows."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.injector import Mode
from config.schema import Admin, Attribution, Ledger, Listener, Settings
from proxy.cli.checkup import Finding, Level
from proxy.cli.pod.sidecar import Said, Sidecar, connections_of, is_sidecar, look, said
from proxy.cli.pod.sidecar_checkup import check
from proxy.edge.ca import load_or_create
from proxy.edge.trust import TrustFiles, write_trust
from proxy.injector import names
from tests.cli.conftest import Run
from tests.cli.test_cache import Admin as AdminStub
from tests.cli.test_cache import admin
from tests.cli.test_doctor import HEALTHY

__all__ = ["admin"]

HOSTS = ("api.openai.com", "api.anthropic.com")
SEEN = replace(HEALTHY, hosts_file=dict.fromkeys(HOSTS, "127.0.0.1"), environ={})
WELL = Sidecar(
    mode="hosts",
    labels={"pod": "web-1", "namespace": "shop", "node": "n1", "team": "search"},
    shares_trust=True,
    unreadable=(),
    key_in_memory=True,
    first_port=0,
    ledger="postgresql",
    said=Said(connections={"intercepted": 7}, tiers=("memory", "redis")),
)


def found(sidecar: Sidecar, subject: str, level: Level, **seen: object) -> list[Finding]:
    findings = check(replace(SEEN, **seen), sidecar, HOSTS)  # type: ignore[arg-type]
    return [each for each in findings if (each.subject, each.level) == (subject, level)]


def test_a_healthy_sidecar_has_nothing_to_mend() -> None:
    levels = {each.level for each in check(SEEN, WELL, HOSTS)}
    assert levels == {Level.OK, Level.NOTE}


@pytest.mark.parametrize(
    ("changed", "subject", "level"),
    [
        ({"mode": None}, "mode", Level.FAIL),
        ({"first_port": 1024}, "way", Level.FAIL),
        ({"shares_trust": False}, "trust files", Level.FAIL),
        ({"unreadable": ("bundle.pem",)}, "trust files", Level.FAIL),
        ({"key_in_memory": False}, "authority", Level.WARN),
        ({"labels": {"pod": "web-1"}}, "labels", Level.WARN),
        ({"said": Said("nobody answers")}, "connections", Level.WARN),
        ({"said": Said(tiers=("memory", "redis"), tiers_down=("redis",))}, "cache", Level.WARN),
        ({"said": Said(ledger="connection refused")}, "ledger", Level.WARN),
        ({"said": Said(pinned={"api.openai.com": 2})}, "pins", Level.WARN),
        ({"said": Said(connections={"tunnelled_pinned": 3})}, "connections", Level.WARN),
    ],
)
def test_what_is_wrong_is_found(changed: Mapping[str, object], subject: str, level: Level) -> None:
    (finding,) = found(replace(WELL, **changed), subject, level)  # type: ignore[arg-type]
    assert finding.fix or subject == "connections"


@pytest.mark.parametrize(
    ("hosts_file", "level", "words"),
    [
        ({}, Level.FAIL, "leads no provider here"),
        ({"api.openai.com": "127.0.0.1"}, Level.WARN, "does not have api.anthropic.com"),
        ({"api.openai.com": "::1", "api.anthropic.com": "10.0.0.9"}, Level.WARN, "lead api.anthropic.com elsewhere"),
    ],
)
def test_the_hosts_file_is_held_against_the_known_names(hosts_file: dict[str, str], level: Level, words: str) -> None:
    (finding,) = found(WELL, "way", level, hosts_file=hosts_file)
    assert words in finding.message


def test_a_redirect_shows_by_what_came_through_it() -> None:
    redirect = replace(WELL, mode="redirect")
    assert "7 connections to providers" in found(redirect, "way", Level.OK)[0].message
    others = Said(connections={"tunnelled_not_a_provider": 3, "closed": 1})
    (finding,) = found(replace(redirect, said=others), "way", Level.NOTE)
    assert (names.REDIRECT in finding.message, bool(finding.fix)) == (True, True)


def test_in_mode_env_the_containers_variables_are_said_to_be_unseen() -> None:
    (finding,) = found(replace(WELL, mode="env"), "way", Level.NOTE)
    assert "--pod" in finding.fix


@pytest.mark.parametrize(("mode", "count"), [("hosts", 0), ("redirect", 0), ("env", 3)])
def test_who_bypasses_depends_on_the_mode(mode: Mode, count: int) -> None:
    findings = check(SEEN, replace(WELL, mode=mode), HOSTS)
    assert len([each for each in findings if each.message.startswith("bypasses")]) == count
    (requests,) = [each for each in findings if each.subject == "python: requests"]
    assert "REQUESTS_CA_BUNDLE" in requests.message


@pytest.mark.parametrize(
    ("kind", "level", "words"),
    [
        ("tunnelled_not_a_provider", Level.NOTE, "3 relayed untouched: is no provider"),
        ("tunnelled_brand_new", Level.WARN, "3 relayed untouched: brand_new"),
        ("rejected", Level.WARN, "3 ended by clients that refused our certificate"),
        ("brand_new", Level.WARN, "3 brand_new"),
    ],
)
def test_what_became_of_connections_is_said_in_words(kind: str, level: Level, words: str) -> None:
    findings = found(replace(WELL, said=Said(connections={kind: 3, "closed": 0})), "connections", level)
    assert words in [each.message for each in findings]


def test_labels_that_the_pod_does_not_have_are_noted() -> None:
    environ = {"SKINFLINT_ATTRIBUTION__LABELS__COST_CENTER": "", "SKINFLINT_ATTRIBUTION__LABELS__POD": "web-1"}
    (finding,) = found(WELL, "labels", Level.NOTE, environ=environ)
    assert finding.message.endswith(": cost_center")


def test_without_a_proxy_the_log_is_pointed_at() -> None:
    (finding,) = found(WELL, "proxy", Level.FAIL, proxy=None)
    assert finding.fix.startswith("kubectl logs")


# -- looking


def mounts(proc: Path, *lines: str, first_port: str = "0\n") -> Path:
    (proc / "self").mkdir(parents=True)
    (proc / "self/mounts").write_text("".join(f"{line}\n" for line in lines))
    (proc / "sys/net/ipv4").mkdir(parents=True)
    (proc / "sys/net/ipv4/ip_unprivileged_port_start").write_text(first_port)
    return proc


def test_files_and_mounts_are_looked_at(tmp_path: Path) -> None:
    data, public = tmp_path / "data", tmp_path / "public"
    trust = write_trust(load_or_create(data / "ca", HOSTS, datetime.now(UTC)), public, [])
    trust.bundle.chmod(0o600)
    settings = Settings(
        data_dir=data,
        trust_dir=public,
        listeners=(Listener(address="127.0.0.1:443", mode="hosts"),),
        attribution=Attribution(labels={"pod": "web-1"}),
        ledger=Ledger(url="postgresql+psycopg://user:secret@db/ledger"),
    )
    proc = mounts(tmp_path / "proc", f"/dev/sda {public} ext4 rw 0 0", f"tmpfs {data}/ca tmpfs rw 0 0", "x")
    seen = look(settings, None, trust, proc)
    assert (seen.mode, seen.labels, seen.ledger) == ("hosts", {"pod": "web-1"}, "postgresql")
    assert (seen.shares_trust, seen.key_in_memory, seen.first_port) == (True, True, 0)
    assert seen.unreadable == ("bundle.pem",)
    assert seen.said.problem
    assert "secret" not in repr(seen)


def test_what_is_not_there_is_not_guessed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, ledger=Ledger(enabled=False), listeners=(Listener(mode="reverse:http://a"),))
    seen = look(settings, None, TrustFiles.in_directory(tmp_path / "none"), tmp_path / "proc")
    assert (seen.mode, seen.shares_trust, seen.key_in_memory, seen.first_port, seen.ledger) == (
        None, False, False, None, "",
    )  # fmt: skip
    assert len(seen.unreadable) == 6


def test_what_the_injector_tells_makes_a_sidecar() -> None:
    settings = Settings(data_dir=Path(names.DATA_DIR), trust_dir=Path(names.TRUST_DIR))
    assert is_sidecar(settings)
    assert not is_sidecar(settings.model_copy(update={"trust_dir": None}))
    assert not is_sidecar(Settings(admin=Admin()))


def test_the_proxy_is_asked_what_became_of_connections() -> None:
    text = (
        '# TYPE skinflint_client_connections_total counter\nskinflint_client_connections_total{kind="a",pod="p"} 3.0\n'
        'skinflint_client_connections_total{kind="b",pod="p"} 1.0\nother 1\n'
    )
    assert connections_of(text) == {"a": 3, "b": 1}


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"pinned": 3}'])
def test_an_answer_that_is_none_is_a_problem(admin: AdminStub, body: bytes) -> None:
    admin.body = body
    assert admin.address in said(admin.address).problem


def test_nobody_answering_is_a_problem() -> None:
    assert "does not tell" in said("127.0.0.1:1").problem


# -- the command


def test_a_manifest_is_judged_from_a_file(skinflint: Run, home: Path) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app"}]}}
    (home / "pod.json").write_text(json.dumps({"kind": "List", "items": [pod, pod]}))
    result = skinflint("doctor", "--pod", "pod.json", "--format", "json")
    findings = json.loads(result.stdout)
    assert (result.exit_code, len(findings)) == (1, 2)
    assert findings[0]["subject"] == "web: injection"
    assert "if the injector has its defaults" in findings[0]["message"]


def test_the_injectors_settings_are_taken_from_a_file(skinflint: Run, home: Path) -> None:
    (home / "injector.yaml").write_text("image: skinflint:1\nmode: env\n")
    pod = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app"}]}}
    (home / "pod.json").write_text(json.dumps(pod))
    result = skinflint("doctor", "--pod", "pod.json", "--injector-config", "injector.yaml")
    assert "it would be injected in mode env" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("--pod", "none.yaml"), 1, "cannot be read"),
        (("--pod", "binary"), 1, "not UTF-8"),
        (("--pod", "service.yaml"), 1, "there is no pod in it"),
        (("--pod", "malformed.yaml"), 1, "must be"),
        (("--injector-config", "injector.yaml"), 2, "is for --pod"),
    ],
)
def test_what_cannot_be_judged_is_an_error(
    skinflint: Run, home: Path, arguments: tuple[str, ...], status: int, reason: str
) -> None:
    (home / "binary").write_bytes(b"\xff\xfe\xff")
    (home / "service.yaml").write_text("kind: Service")
    (home / "malformed.yaml").write_text("kind: Pod\nmetadata: {annotations: [1]}\n")
    result = skinflint("doctor", *arguments)
    assert (result.exit_code, reason in result.stderr) == (status, True), result.output
