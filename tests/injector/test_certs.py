"""The certificate changes while the webhook serves."""

import asyncio
import contextlib
import ssl
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.injector.certs import CertificateError, Certificates
from tests.injector.serving import NAME, Running, install, running
from tests.support.x509 import TestCa


async def serial(server: Running, *, has_name: bool = True) -> str:
    """The serial number of the certificate that a new connection gets."""
    host, _, port = server.address.partition(":")
    trust = server.trust
    if not has_name:
        trust = ssl.create_default_context(cafile=None)
        trust.load_verify_locations(cadata=server.trust.get_ca_certs(binary_form=True)[0])
        trust.check_hostname = False
    name = NAME if has_name else ""
    _, writer = await asyncio.open_connection(host, int(port), ssl=trust, server_hostname=name)
    told = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return str(told)


async def test_a_new_pair_is_served_without_a_failed_review(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        stop = asyncio.Event()
        answered = 0

        async def press() -> None:
            nonlocal answered
            while not stop.is_set():
                assert (await server.review({}))["allowed"] is True
                answered += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(press())
            seen = {await serial(server)}
            for _ in range(5):
                install(server.ca, tmp_path)
                assert server.certificates.poll() == "reloaded"
                before = answered
                seen.add(await serial(server))
                while answered < before + 4:
                    await asyncio.sleep(0)
            stop.set()
        assert len(seen) == 6
        assert server.certificates.poll() == "unchanged"


async def test_clients_without_a_name_get_the_new_pair_too(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        before = await serial(server, has_name=False)
        install(server.ca, tmp_path)
        server.certificates.poll()
        assert await serial(server, has_name=False) != before


async def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        before = await serial(server)
        (tmp_path / "data/tls.key").write_bytes((TestCa(tmp_path).server("x")).read_bytes())
        assert server.certificates.poll() == "refused"
        assert server.certificates.poll() == "unchanged"
        assert await serial(server) == before


def test_a_pair_that_has_ended_is_said_once_and_served(tmp_path: Path) -> None:
    pair = TestCa(tmp_path).server("x")
    certificates = Certificates(pair, pair, lambda: time.time_ns() + 10 * 86_400 * 10**9)
    with capture_logs() as logs:
        assert [certificates.poll(), certificates.poll()] == ["unchanged", "unchanged"]
    assert [(entry["event"], entry["reason"][:8]) for entry in logs] == [("certificate_not_in_force", "it ended")]


@pytest.mark.parametrize("content", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_pair_is_said_without_its_content(tmp_path: Path, content: bytes) -> None:
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    for file in files:
        file.write_bytes(content)
    with pytest.raises(CertificateError, match=r"tls.crt and .*tls.key are no pair"):
        Certificates(*files)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"tls.crt cannot be read: No such file"):
        Certificates(tmp_path / "tls.crt", tmp_path / "tls.key")
