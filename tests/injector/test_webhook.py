"""The webhook over real TLS, asked as an API server asks it."""

import asyncio
import io
import json
import ssl
from pathlib import Path

import jsonpatch
import pytest
from structlog.testing import capture_logs

from proxy.injector import webhook as served
from tests.injector.pods import pod
from tests.injector.serving import NAME, operations, review, running
from tests.support.x509 import TestCa


async def test_a_pod_is_patched_and_the_patched_one_is_not(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        first = await server.review({})
        assert first == await server.review({})
        assert first["allowed"] is True
        after = jsonpatch.apply_patch(pod(), operations(first))
        second = await server.review({"object": after})
        assert second == {"uid": "u-1", "allowed": True}


async def test_a_refusal_is_forbidden_with_its_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        response = await server.review({"object": pod(hostNetwork=True)})
        assert response["allowed"] is False
        assert response["status"]["code"] == 403
        assert response["status"]["message"].startswith("skinflint: hostNetwork")


async def test_warnings_go_to_whoever_made_the_pod(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        response = await server.review({"object": pod(annotations={"skinflint.dev/typo": "x"})})
        assert "skinflint.dev/typo" in response["warnings"][0]


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "UPDATE"},
        {"subResource": "eviction"},
        {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}},
    ],
)
async def test_what_is_no_new_pod_is_allowed_as_it_is(tmp_path: Path, request_: dict[str, object]) -> None:
    async with running(tmp_path) as server:
        assert await server.review(request_) == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "AdmissionReview of admission.k8s.io/v1"),
        (json.dumps({**review({}), "apiVersion": "admission.k8s.io/v1beta1"}).encode(), "admission.k8s.io/v1"),
        (json.dumps({**review({}), "request": None}).encode(), "request is missing"),
        (json.dumps(review({"uid": ""})).encode(), "uid is missing"),
        (json.dumps(review({"resource": "pods"})).encode(), "resource must be an object"),
        (json.dumps(review({"object": 1})).encode(), "object must be an object"),
    ],
)
async def test_a_malformed_review_is_a_bad_request_and_said(tmp_path: Path, body: bytes, said: str) -> None:
    async with running(tmp_path) as server:
        headers = {"content-type": "application/json"}
        status, text = await server.ask("POST", "/mutate", data=body, headers=headers)
        assert status == 400
        assert said in text


async def test_other_content_and_bodies_that_are_too_large_are_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        assert (await server.ask("POST", "/mutate", data=b"{}", headers={"content-type": "text/yaml"}))[0] == 415
        large = io.BytesIO(json.dumps(review({"object": pod(annotations={"a": "x" * served.MAX_BODY})})).encode())
        headers = {"content-type": "application/json"}
        assert (await server.ask("POST", "/mutate", data=large, headers=headers))[0] == 413
        assert (await server.review({}))["allowed"] is True


async def test_a_failure_of_ours_tells_nothing_of_the_pod(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path) as server:
        server.webhook.plan = None  # type: ignore[assignment] # so that everything fails
        with capture_logs() as logs:
            status, text = await server.ask("POST", "/mutate", json=review({"namespace": "secret-place"}))
        assert (status, text) == (500, "internal error\n")
        assert "secret-place" not in str(logs) + caplog.text
        assert [each["error"] for each in logs] == ["AttributeError"]


async def test_reviews_in_hand_are_bounded_and_who_sends_slowly_gives_way(tmp_path: Path) -> None:
    head = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    async with running(tmp_path) as server:
        host, _, port = server.address.partition(":")
        waiting = []
        for _ in range(served.MAX_IN_HAND + 2):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=server.trust, server_hostname=NAME)
            writer.write(head)
            waiting.append((reader, writer))
        for reader, writer in waiting[:2]:
            assert b" 503 " in await reader.readline()
            writer.close()
        assert (await server.review({}))["allowed"] is True
        for _, writer in waiting[3:]:
            writer.write(b"[1, 2, 3]")
        for reader, writer in waiting[3:]:
            assert b" 400 " in await reader.readline()
            writer.close()
        assert b" 503 " in await waiting[2][0].readline()
        waiting[2][1].close()


async def test_logs_have_the_pods_name_and_nothing_else_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = pod({"name": "app", "image": "hush-image", "env": [{"name": "HUSH", "value": "hush"}]}, hostNetwork=True)
    async with running(tmp_path) as server:
        with capture_logs() as logs:
            await server.review({"object": secret})
        assert [(each["namespace"], each["pod"], each["decision"]) for each in logs] == [("shop", "web", "refused")]
        assert "hush" not in (str(logs) + caplog.text).lower()


async def test_probes_and_metrics_are_on_the_same_port(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        assert await server.ask("GET", "/livez") == (200, "ok\n")
        assert (await server.ask("GET", "/readyz"))[0] == 200
        await server.review({})
        status, text = await server.ask("GET", "/metrics")
        assert status == 200
        assert 'skinflint_injector_reviews_total{outcome="injected"} 1.0' in text
        assert "skinflint_injector_certificate_expiry_timestamp_seconds" in text
        assert "process_resident_memory_bytes" in text
        server.webhook.announce_stop()
        assert (await server.ask("GET", "/readyz"))[0] == 503
        assert (await server.review({}))["allowed"] is True


async def test_older_tls_and_other_names_are_no_way_in(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        host, _, port = server.address.partition(":")
        old = ssl.create_default_context(cafile=str(tmp_path / "test-root.pem"))
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=old, server_hostname="x.svc")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(host, int(port), ssl=server.trust, server_hostname="other.skinflint.svc")


async def test_a_client_of_another_ca_does_not_trust_it(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with running(tmp_path) as server:
        host, _, port = server.address.partition(":")
        trust = ssl.create_default_context(cafile=str(TestCa(other).root))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(host, int(port), ssl=trust, server_hostname="x")


async def test_idle_connections_keep_nobody_out_and_those_with_a_review_stay(tmp_path: Path) -> None:
    async with running(tmp_path, most_connections=4) as server, asyncio.TaskGroup() as tasks:
        host, _, port = server.address.rpartition(":")

        async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(host, int(port), ssl=server.trust, server_hostname=NAME)

        body = json.dumps(review({})).encode()
        head = (
            f"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        slow_reader, slow_writer = await connected()
        slow_writer.write(head.encode() + body[:10])
        await slow_writer.drain()
        assert await server.ask("GET", "/livez") == (200, "ok\n")  # by then the head has been read
        opened = [await connected() for _ in range(8)]
        asked = tasks.create_task(server.review({}))
        assert (await asked)["allowed"] is True
        assert await opened[0][0].read() == b""  # the oldest idle one gave way
        slow_writer.write(body[10:])
        assert (await slow_reader.readline()).startswith(b"HTTP/1.1 200")
        for _, writer in [(slow_reader, slow_writer), *opened]:
            writer.close()
