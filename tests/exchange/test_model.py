"""The few rules that the types themselves have."""

import pytest

from proxy.exchange.headers import end_to_end, first, joined, text, without
from proxy.exchange.model import Exchange, Request, UpstreamCall
from tests.support.exchanges import exchange


@pytest.mark.parametrize(
    ("scheme", "host", "port", "authority"),
    [
        ("https", "api.openai.com", 443, "api.openai.com"),
        ("https", "api.openai.com", 80, "api.openai.com:80"),
        ("http", "localhost", 80, "localhost"),
        ("http", "localhost", 443, "localhost:443"),
        ("https", "::1", 443, "[::1]"),
        ("https", "::1", 8443, "[::1]:8443"),
    ],
)
def test_the_authority_names_the_port_unless_it_is_the_default(
    scheme: str, host: str, port: int, authority: str
) -> None:
    assert Request("GET", scheme, host, port, "/", [], b"").authority == authority


@pytest.mark.parametrize(
    ("target", "path", "query"), [("/a", "/a", ""), ("/a?b=c", "/a", "b=c"), ("/a?", "/a", ""), ("/a?b?c", "/a", "b?c")]
)
def test_path_and_query_are_parts_of_the_target(target: str, path: str, query: str) -> None:
    request = Request("GET", "https", "h", 443, target, [], b"")
    assert (request.path, request.query) == (path, query)


def test_who_waits_for_a_call_hears_its_end_once() -> None:
    call, heard = UpstreamCall(started_at=1.0), []
    call.when_ended(lambda: heard.append("early"))
    call.end(2.0)
    call.end(3.0)
    call.when_ended(lambda: heard.append("late"))
    assert heard == ["early", "late"]
    assert call.ended_at == 2.0


def test_an_exchange_finishes_once() -> None:
    seen: list[Exchange] = []
    finished = exchange(on_finished=[seen.append])
    finished.finish(5.0)
    finished.finish(6.0)
    assert seen == [finished]
    assert finished.finished_at == 5.0


def test_fields_keep_their_order_and_repetitions() -> None:
    headers = [(b"a", b"1"), (b"b", b" 2 "), (b"a", b"3")]
    assert first(headers, b"a") == b"1"
    assert first(headers, b"c") is None
    assert text(headers, b"b") == "2"
    assert text(headers, b"c") == ""
    assert joined(headers, b"a") == b"1, 3"
    assert joined(headers, b"c") == b""
    assert without(headers, (b"b",)) == [(b"a", b"1"), (b"a", b"3")]


def test_what_is_meant_for_one_connection_stays_on_it() -> None:
    kept = [(b"accept", b"*/*"), (b"x-a", b"1")]
    assert end_to_end([*kept, (b"te", b"trailers"), (b"keep-alive", b"5")]) == kept
    assert end_to_end([*kept, (b"connection", b"close, X-B"), (b"x-b", b"2")]) == kept
