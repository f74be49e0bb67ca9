"""Which origin a request is for, and that it cannot become another one on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.destination import Destination, MisdirectedError, request_for, split_authority
from proxy.exchange.headers import HeaderList
from proxy.wire.events import RequestHead

OPENAI = Destination("https", "api.openai.com", 443)
REVERSE = Destination("https", "api.openai.com", 443, fixed=True)


def head(
    target: str = "/v1/models", authority: str = "api.openai.com", headers: HeaderList | None = None
) -> RequestHead:
    return RequestHead(
        0, b"GET", target.encode("latin-1"), authority.encode(), headers or [], "1.1", None, has_body=False
    )


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("api.openai.com", ("api.openai.com", 443)),
        ("API.OpenAI.com:8443", ("api.openai.com", 8443)),
        ("api.openai.com.", ("api.openai.com", 443)),
        ("host:", ("host", 443)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]", ("::1", 443)),
        ("[2001:DB8::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_an_authority_is_host_and_port(authority: str, expected: tuple[str, int]) -> None:
    assert split_authority(authority, 443) == expected


@pytest.mark.parametrize(
    "authority",
    ["", ":", ":443", ".", "host:0", "host:65536", "host:x", "host:-1", "::1", "::1:443", "a:b:c", "[::1", "::1]",
     "[::1]x", "[]:1", "user@host", "host/path", "host?x", "host#x", "ho st", "host\\x", "host:٣", "[host]:1"],
)  # fmt: skip
def test_anything_else_is_no_authority(authority: str) -> None:
    with pytest.raises(ValueError, match="not a host and port"):
        split_authority(authority, 443)


def test_an_origin_form_request_goes_to_the_connections_destination() -> None:
    fields = [(b"host", b"x"), (b"content-length", b"1"), (b"expect", b"100-continue"), (b"te", b"x"), (b"x-a", b"1")]
    request = request_for(head("/v1/x?y=1", headers=fields), OPENAI, b"body")
    assert (request.method, request.scheme, request.host, request.port) == ("GET", "https", "api.openai.com", 443)
    assert (request.target, request.path, request.query) == ("/v1/x?y=1", "/v1/x", "y=1")
    assert (request.headers, request.body, request.http_version) == ([(b"x-a", b"1")], b"body", "1.1")


@pytest.mark.parametrize(
    "authority", ["", "api.openai.com", "API.openai.com:443", "api.openai.com.", "api.openai.com:8443"]
)
def test_the_host_field_may_name_it(authority: str) -> None:
    assert request_for(head(authority=authority), OPENAI, b"").host == "api.openai.com"


@pytest.mark.parametrize(
    "authority", ["api.anthropic.com", "api.openai.com.evil.com", "evil.com:443", "[::1]", "openai.com"]
)
def test_another_hosts_request_is_misdirected(authority: str) -> None:
    with pytest.raises(MisdirectedError) as raised:
        request_for(head(authority=authority), OPENAI, b"")
    assert raised.value.status == 421
    assert authority not in str(raised.value)


def test_behind_a_reverse_listener_the_host_field_does_not_matter() -> None:
    assert request_for(head(authority="localhost:8080"), REVERSE, b"").host == "api.openai.com"
    assert request_for(head("http://localhost:8080/v1/x?y"), REVERSE, b"").target == "/v1/x?y"


def test_a_host_field_that_is_none_is_refused() -> None:
    with pytest.raises(MisdirectedError) as raised:
        request_for(head(authority="a:b:c"), REVERSE, b"")
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://localhost:11434/api/chat", ("http", "localhost", 11434, "/api/chat")),
        ("http://localhost/api/chat?x=1", ("http", "localhost", 80, "/api/chat?x=1")),
        ("https://api.openai.com/v1/x", ("https", "api.openai.com", 443, "/v1/x")),
        ("HTTP://LocalHost/x", ("http", "localhost", 80, "/x")),
        ("http://[::1]:11434/", ("http", "::1", 11434, "/")),
        ("http://localhost", ("http", "localhost", 80, "/")),
        ("http://localhost?x=/y", ("http", "localhost", 80, "/?x=/y")),
        ("http://localhost//x", ("http", "localhost", 80, "//x")),
        ("http://localhost/a?b=http://c/", ("http", "localhost", 80, "/a?b=http://c/")),
    ],
)
def test_an_absolute_target_says_where_to(target: str, expected: tuple[str, str, int, str]) -> None:
    request = request_for(head(target, "elsewhere"), None, b"")
    assert (request.scheme, request.host, request.port, request.target) == expected


@pytest.mark.parametrize(
    "target",
    ["/v1/models", "*", "ftp://host/x", "http://", "http://:80/", "http://user@host/", "http://a:b:c/", "host:443", ""],
)
def test_without_a_destination_anything_else_is_refused(target: str) -> None:
    with pytest.raises(MisdirectedError) as raised:
        request_for(head(target), None, b"")
    assert raised.value.status == 400


def test_an_absolute_target_must_name_the_connections_origin() -> None:
    assert request_for(head("https://api.openai.com/v1/x"), OPENAI, b"").target == "/v1/x"
    assert request_for(head("HTTPS://API.OPENAI.COM/v1/x"), OPENAI, b"").target == "/v1/x"
    with pytest.raises(MisdirectedError) as raised:
        request_for(head("https://evil.com/v1/x"), OPENAI, b"")
    assert raised.value.status == 421


@pytest.mark.parametrize(
    "target",
    ["@evil.com/", ".evil.com/", ":8443/x", "*", "ftp://api.openai.com/", "a.evil.com://api.openai.com/", "x", ""],
)
def test_a_target_cannot_become_part_of_the_origins_name(target: str) -> None:
    for destination in (OPENAI, REVERSE):
        with pytest.raises(MisdirectedError) as raised:
            request_for(head(target), destination, b"")
        assert raised.value.status == 400


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_whatever_the_target_the_url_names_the_destination(target: str) -> None:
    try:
        request = request_for(head(target), OPENAI, b"")
    except MisdirectedError:
        return
    assert request.target.startswith("/")
    assert f"{request.scheme}://{request.authority}{request.target}".startswith("https://api.openai.com/")
