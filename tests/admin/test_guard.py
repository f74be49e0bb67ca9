"""Who may ask the admin listener for what."""

import pytest

from proxy.admin.guard import is_expected
from tests.admin.test_server import AUTHORIZATION, Ask, Operators, address, ask, operators, say
from tests.contract.test_stores import entry, key

__all__ = ["address", "ask", "operators"]

CHANGES = ["/v1/cache/clear", "/v1/cache/invalidate", "/v1/cache/promote", "/v1/cache/import", "/v1/cache/verify"]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", AUTHORIZATION.replace("Bearer", "Basic")])
async def test_changes_need_the_token(ask: Ask, operators: Operators, path: str, authorization: str) -> None:
    await operators.store.put(key(), entry())
    status, _, text = await ask(path, "POST", Authorization=authorization)
    assert (status, "admin.token" in text) == (401, True)
    assert operators.store.stats().entries == 1


@pytest.mark.parametrize("path", ["/v1/%63ache/clear", "//v1/cache/clear", "/x/../v1/cache/clear", "/V1/cache/clear"])
async def test_no_other_spelling_is_a_way_around(operators: Operators, address: str, path: str) -> None:
    await operators.store.put(key(), entry())
    request = f"POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    answer = await say(address, request.encode())
    await operators.server.stop()
    assert answer.split()[1] in (b"401", b"404")
    assert operators.store.stats().entries == 1


async def test_a_field_that_is_no_text_is_no_token(operators: Operators, address: str) -> None:
    head = f"POST /v1/cache/clear HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n"
    answer = await say(address, head.encode() + b"authorization: Bearer \xff\xfe\r\n\r\n")
    await operators.server.stop()
    assert answer.split()[1] == b"401"


async def test_with_the_token_they_are_made(ask: Ask) -> None:
    assert (await ask("/v1/cache/clear", "POST", Authorization=AUTHORIZATION))[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/stats", "/"])
async def test_probes_metrics_and_statistics_need_none(ask: Ask, path: str) -> None:
    assert (await ask(path, Accept="text/plain"))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://[", "https://"])
async def test_pages_of_other_origins_are_turned_away(ask: Ask, origin: str) -> None:
    for path, method in (("/v1/stats", "GET"), ("/v1/cache/clear", "POST"), ("/v1/cache/clear", "OPTIONS")):
        status, _, text = await ask(path, method, Origin=origin, Authorization=AUTHORIZATION)
        assert (status, "origins" in text) == (403, True)


async def test_its_own_pages_are_not(ask: Ask, address: str) -> None:
    assert (await ask("/v1/stats", Origin=f"http://{address}"))[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/v1/stats", "/v1/cache/entries"])
async def test_a_name_that_merely_leads_here_is_turned_away(ask: Ask, path: str) -> None:
    status, _, text = await ask(path, Host="rebound.example:9190", Authorization=AUTHORIZATION)
    assert (status, "rebound.example" in text) == (403, True)


@pytest.mark.parametrize(
    ("host", "on_loopback", "elsewhere"),
    [
        ("127.0.0.1:9190", True, True),
        ("[::1]:9190", True, True),
        ("10.1.2.3", True, True),
        ("LOCALHOST:9190", True, True),
        ("a.localhost", True, True),
        ("", True, True),
        ("skinflint-gateway.llm.svc:9190", False, True),
        ("localhost.example", False, True),
        ("127.0.0.1.example", False, True),
        ("[", False, True),
    ],
)
def test_names_are_for_listeners_beyond_loopback(host: str, on_loopback: bool, elsewhere: bool) -> None:
    assert (is_expected(host, is_local=True), is_expected(host, is_local=False)) == (on_loopback, elsewhere)
