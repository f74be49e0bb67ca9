"""Sidecars whose stores want private TLS: all files that this takes come from Secrets, and the sidecar alone has them.

The pods come one after another to the same place, with nothing of their own left of the one before: what the second
knows, it has from Redis. The first has a group for its volumes, the second has none.
"""

import base64
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.edge.ca import files_of, make
from tests.kubernetes.clients import Answer
from tests.kubernetes.conftest import Applied, Apply, Outside
from tests.kubernetes.internet import BOTH
from tests.kubernetes.network import INTERNET_4
from tests.kubernetes.pods import APP, GROUP, SIDECAR, USER, admitted, application
from tests.support.netns import Namespace
from tests.support.processes import running, wait_until
from tests.support.redis_servers import needs_redis
from tests.support.x509 import TestCa

pytestmark = needs_redis()

QUESTION = "Do two pods share this?"
PASSWORD = "a password in a file"
SETTINGS = {
    "ca_dir": "/etc/skinflint/authority",
    "cache": {
        "sampling": "any",
        "key_file": "/etc/skinflint/keys/fingerprints",
        "encryption": {"key_file": "/etc/skinflint/keys/answers"},
        "redis": {
            # Several workers of a busy machine share two processors: here an answer counts, and not how fast it comes.
            "read_timeout_s": 2,
            "password_file": "/etc/skinflint/redis/password",
            "ca": "/etc/skinflint/redis/ca.crt",
            "certificate": "/etc/skinflint/redis/tls.crt",
            "key": "/etc/skinflint/redis/tls.key",
        },
    },
    "ledger": {"flush_s": 0.05},
}
FILES = {
    "authority": {"name": "authority"},
    "keys": {"name": "keys"},
    "redis": {"name": "redis", "items": {each: each for each in ("password", "ca.crt", "tls.crt", "tls.key")}},
}
CONTEXTS = ({"runAsUser": USER, "runAsGroup": USER, "fsGroup": GROUP}, {"runAsUser": USER, "runAsGroup": USER})


@pytest.fixture(scope="module")
def secrets(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """What the pods' namespace has, with the Redis that it is for."""
    folder = tmp_path_factory.mktemp("redis")
    ca = TestCa(folder)
    client = ca.server("sidecar").read_text()
    fingerprints, answers = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    made = files_of(make(folder / "authority", [BOTH], datetime.now(UTC)))
    with _redis(outside[0].internet, folder, ca):
        yield {
            "authority": {name: content.decode() for name, content in made.items()},
            "keys": {"fingerprints": fingerprints, "answers": f"first {answers}\n"},
            "redis": {
                "url": f"rediss://{INTERNET_4}:6379",
                "password": PASSWORD,
                "ca.crt": ca.root.read_text(),
                "tls.crt": client,
                "tls.key": client,
            },
        }


@contextlib.contextmanager
def _redis(where: Namespace, folder: Path, ca: TestCa) -> Iterator[None]:
    """TLS only, for clients with a certificate and the password."""
    pem = ca.server(INTERNET_4)
    lines = ["port 0", "tls-port 6379", f"bind {INTERNET_4}", "tls-auth-clients yes", f'requirepass "{PASSWORD}"']
    lines += [f"tls-cert-file {pem}", f"tls-key-file {pem}", f"tls-ca-cert-file {ca.root}", 'save ""']
    (folder / "redis.conf").write_text("\n".join(lines) + "\n")
    with running(where.command("redis-server", str(folder / "redis.conf")), folder / "server") as process:
        wait_until(lambda: "Ready to accept" in process.output, "Redis accepts connections", process=process)
        yield


@dataclass(frozen=True, slots=True)
class Second:
    """The second pod, while it runs, and what clients in the first were answered."""

    made: Applied
    before: list[Answer]


@pytest.fixture(scope="module")
def second(apply: Apply, secrets: Mapping[str, Mapping[str, str]], outside: Outside) -> Iterator[Second]:
    """One pod after another."""
    url = {"SKINFLINT_CACHE__REDIS__URL": {"name": "redis", "key": "url"}}
    first, later = (
        admitted(application("hosts", securityContext=each), settings=SETTINGS, secret_env=url, secret_files=FILES)
        for each in CONTEXTS
    )
    with apply(first, secrets=secrets, outside=outside) as made:
        before = made.clients.ask("curl", BOTH, QUESTION)
    with apply(later, secrets=secrets, outside=outside) as made:
        yield Second(made, before)


def test_two_pods_share_an_answer_over_private_tls(second: Second) -> None:
    found = [*second.before, *second.made.clients.ask("curl", BOTH, QUESTION)]
    assert [each.cache for each in found] == ["miss", "hit", "hit", "hit"]
    assert len({each.said for each in found}) == 1
    assert second.made.asked(QUESTION) == 1


def test_the_sidecar_alone_has_the_files_and_cannot_write_them(second: Second) -> None:
    pod = second.made.pod
    assert pod.exec(APP, "ls", "/etc/skinflint").stdout.split() == ["trust"]
    assert pod.exec(SIDECAR, "ls", "/etc/skinflint").stdout.split() == [*sorted([*FILES, "extra-ca"]), "trust"]
    assert pod.exec(SIDECAR, "touch", "/etc/skinflint/redis/password").returncode == 1


def test_it_presents_certificates_of_the_authority_that_a_secret_brings(
    second: Second, secrets: Mapping[str, Mapping[str, str]]
) -> None:
    root = second.made.pod.exec(APP, "cat", "/etc/skinflint/trust/skinflint-ca.pem").stdout
    assert root == secrets["authority"]["skinflint-ca.pem"]
    assert second.made.pod.exec(SIDECAR, "ls", "/var/lib/skinflint/ca").stdout == ""
