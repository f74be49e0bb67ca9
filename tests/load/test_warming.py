"""What is read of a file of requests, and what a budget lets begin."""

from pathlib import Path

import orjson
import pytest

from proxy.load.warming import ASSUMED_USD, Budget, Way, authorization, read_request


def line(**fields: object) -> bytes:
    return orjson.dumps({"url": "https://a.test/v1/x", **fields})


def test_a_line_is_a_request() -> None:
    made = read_request(line(method="post", headers={"x-a": "1"}, body={"b": 2}), None, {"X-A": "0", "x-c": "3"})
    assert (made.origin.authority, made.origin.path, made.method) == ("a.test:443", "/v1/x", "POST")
    assert made.headers == {"x-a": "1", "x-c": "3", "Content-Type": "application/json"}
    assert made.body == b'{"b":2}'


@pytest.mark.parametrize("base", ["https://a.test", "https://a.test/v1", "https://a.test/v1/"])
def test_a_line_of_a_batch_file_needs_a_base(base: str) -> None:
    batch = orjson.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}})
    assert read_request(batch, base, {}).origin.path == "/v1/chat/completions"
    with pytest.raises(ValueError, match="--base-url"):
        read_request(batch, None, {})


@pytest.mark.parametrize(
    "wrong",
    [b"x", b"[]", b"{}", line(url="ftp://a"), line(headers=["a"]), line(headers={"a": "b\r\nc"}), line(method="A B")],
)
def test_a_line_that_is_no_request_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        read_request(wrong, None, {})


def test_credentials_are_not_shown() -> None:
    assert "sk-secret" not in repr(read_request(line(headers={"authorization": "sk-secret"}), None, {}))


def test_a_budget_reckons_with_what_is_under_way() -> None:
    budget = Budget(3.5 * ASSUMED_USD)
    assert [budget.begin() for _ in range(4)] == [True, True, True, False]
    budget.settle(0.0)
    assert budget.begin()
    budget.settle(2 * ASSUMED_USD)  # the dearest so far: the two under way are reckoned with it
    assert not budget.begin()
    budget.settle(None)
    budget.settle(0.0)
    assert (budget.unknown, budget.is_idle, budget.begin()) == (1, True, False)


def test_without_a_budget_there_is_no_end() -> None:
    budget = Budget(None)
    assert all(budget.begin() for _ in range(100))


def test_a_token_alone_is_a_bearers_and_with_a_tenant_it_is_basic() -> None:
    assert authorization("abc") == "Bearer abc"
    assert authorization("team-a:abc") == "Basic dGVhbS1hOmFiYw=="
    assert "abc" not in repr(Way(("127.0.0.1", 1), Path("ca.pem"), authorization("abc")))
