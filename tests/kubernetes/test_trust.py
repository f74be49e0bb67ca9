"""What the application's containers trust, and that no key of the sidecar's is theirs.

The pod is redirected, has the systems' own stores overlaid, and reaches servers of the tests' on other ports, which
show certificates that the sidecar's intermediate key has signed: as whoever has stolen it would.
"""

import asyncio
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from proxy.demo.certificates import Certificates
from proxy.edge.ca import KEY_FILE, CertificateAuthority, load
from proxy.edge.trust import TRUSTSTORE_PASSWORD, TrustFiles, certificates, trusted_sources
from proxy.injector.names import CA_VOLUME, DATA_VOLUME, TRUST_DIR, TRUST_VOLUME, USER
from tests.kubernetes.clients import JUDGES, TRUSTED
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BELOW, BOTH, FOREIGN, WEBSITE
from tests.kubernetes.network import INTERNET_4
from tests.kubernetes.pods import APP, GROUP, SIDECAR, admitted, application
from tests.support.leaves import context_for
from tests.support.origins import origin

# What a leaf is for, where it is shown, and whether it may be believed.
CASES = (
    ("a provider", [BOTH], BOTH, True),
    ("a name below a provider's", [BELOW], BELOW, True),
    ("another host", [FOREIGN], FOREIGN, False),
    ("a provider and another host", [BOTH, FOREIGN], BOTH, False),
    ("an address", [INTERNET_4], INTERNET_4, False),
)
WHY = re.compile(r"subtree violation|constraint|not authorized to sign|not permitted", re.IGNORECASE)


@pytest.fixture(scope="module")
def made(apply: Apply) -> Iterator[Applied]:
    with apply(admitted(application("redirect", annotations={"skinflint.dev/system-store": "true"}))) as running:
        yield running


@pytest.fixture(scope="module")
def stolen(made: Applied) -> CertificateAuthority:
    """The sidecar's authority, as whoever can read its volume has it."""
    return load(made.pod.volume(CA_VOLUME))


@pytest.fixture(scope="module")
def urls(made: Applied, stolen: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A server for each case."""
    folder = tmp_path_factory.mktemp("leaves")
    with ExitStack() as stack:
        found = []
        for _, names, host, _ in CASES:
            context = context_for(stolen, folder, *names)
            port = stack.enter_context(made.internet.thread.within(origin(_greet, context, INTERNET_4)))
            found.append(f"https://{host}:{port}/")
        yield found


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    await writer.drain()


@pytest.mark.parametrize("client", JUDGES)
def test_a_stolen_key_is_worth_no_more_than_the_providers_names(made: Applied, urls: list[str], client: str) -> None:
    judgements = made.clients.judge(client, urls)
    for (case, _, _, is_right), judgement in zip(CASES, judgements, strict=True):
        assert (judgement == TRUSTED) == is_right, f"{case}: {judgement}"
        assert is_right or WHY.search(judgement), f"{case}: {judgement}"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of public roots that break the rules
def test_the_bundle_keeps_the_public_roots(made: Applied, authority: Certificates) -> None:
    trust = TrustFiles.in_directory(made.pod.volume(TRUST_VOLUME))
    bundle = set(certificates(trust.bundle.read_bytes()))
    (system,) = trusted_sources({}, trust.bundle)
    public = set(certificates(system.read_bytes()))
    own = set(certificates(authority.ca.read_bytes())) | set(certificates(trust.ca.read_bytes()))
    assert len(public) > 50
    assert bundle == public | own
    store = pkcs12.load_pkcs12(trust.truststore.read_bytes(), TRUSTSTORE_PASSWORD.encode())
    assert len(store.additional_certs) == len(bundle)


def test_the_root_is_made_for_this_pod_and_its_key_is_nowhere(made: Applied, stolen: CertificateAuthority) -> None:
    assert stolen.intermediate.issuer == stolen.root.subject
    assert stolen.root.public_key() != stolen.key.public_key()
    assert [file.name for file in made.pod.volume(CA_VOLUME).iterdir() if b"PRIVATE" in file.read_bytes()] == [KEY_FILE]


def test_the_key_is_the_sidecars_alone_and_in_memory(made: Applied) -> None:
    volume = made.pod.volume(CA_VOLUME)
    status = (volume / KEY_FILE).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (USER, GROUP, 0o600)
    assert volume.is_relative_to("/dev/shm")
    mounted = {name: _mounts(made, name) for name in (APP, SIDECAR)}
    for secret in (CA_VOLUME, DATA_VOLUME):
        inside = made.pod.volume(secret).name
        assert any(inside in line for line in mounted[SIDECAR])
        assert not any(inside in line for line in mounted[APP])


def test_no_file_of_the_application_holds_the_key(made: Applied) -> None:
    key = (made.pod.volume(CA_VOLUME) / KEY_FILE).read_bytes().splitlines()[1]
    kept = made.pod.volume(DATA_VOLUME)
    secrets = [key, *((kept / name).read_bytes() for name in ("fingerprint.key", "admin.token"))]
    root = Path(f"/proc/{made.pod.process(APP).popen.pid}/root")
    files = [
        file
        for folder in ("dev/shm", "etc", "run", "tmp", "var")
        for file in (root / folder).rglob("*")
        if file.is_file()
    ]
    assert root / f"{TRUST_DIR[1:]}/bundle.pem" in files
    assert [file for file in files if any(secret in file.read_bytes() for secret in secrets)] == []


def test_the_application_cannot_change_what_it_trusts(made: Applied) -> None:
    for path in (f"{TRUST_DIR}/bundle.pem", "/etc/ssl/certs/ca-certificates.crt"):
        done = made.pod.exec(APP, "sh", "-c", f"echo >> {path}")
        assert done.returncode != 0
        assert re.search("read-only|denied", done.stderr, re.IGNORECASE)


@pytest.mark.parametrize("host", [BOTH, WEBSITE])
def test_the_overlaid_store_serves_a_client_without_any_variable(made: Applied, host: str) -> None:
    done = made.pod.exec(APP, "curl", "-sS", "-m", "20", "-o", "/dev/null", f"https://{host}/v1/models", environ={})
    assert done.returncode == 0, done.stderr


def test_the_sidecars_own_file_system_is_read_only_but_for_its_volumes(made: Applied) -> None:
    volumes = ["/var/lib/skinflint/x", "/etc/skinflint/trust/x"]
    script = 'for each in "$@"; do touch $each && echo $each && rm $each; done'
    done = made.pod.exec(SIDECAR, "sh", "-c", script, "sh", "/x", "/tmp/x", "/etc/x", *volumes)
    assert done.stdout.split() == volumes


def _mounts(made: Applied, container: str) -> list[str]:
    return Path(f"/proc/{made.pod.process(container).popen.pid}/mountinfo").read_text().splitlines()
