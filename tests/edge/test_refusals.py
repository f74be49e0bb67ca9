"""How a refusal is answered, and what is said of a flood of them."""

from structlog.testing import capture_logs

from proxy.access.gate import Why
from proxy.edge.refusals import UNREACHABLE, Refusals, stranger
from proxy.metrics import Metrics


def test_who_may_bring_a_token_is_asked_for_one() -> None:
    answer = stranger(Why.CREDENTIALS).answer()
    assert answer.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
    assert answer.count(b"proxy-authenticate: ") == 2
    for why in (Why.SOURCE, Why.CERTIFICATE):
        assert stranger(why).answer().startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert b"proxy-authenticate" not in stranger(why).answer()


def test_an_answer_declares_its_length_and_ends_the_connection() -> None:
    head, _, body = UNREACHABLE.answer().partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    assert b"connection: close" in head
    assert b"proxy-status: skinflint; error=http_request_denied" in head


def test_of_a_flood_the_first_lines_of_each_minute_are_logged_and_all_is_counted() -> None:
    now = [0.0]
    metrics = Metrics(100)
    refusals = Refusals(metrics, lambda: now[0])
    with capture_logs() as logs:
        for _ in range(50):
            refusals.count("source", client="192.0.2.1", host="h" * 1000, port=443)
        now[0] = 61.0
        refusals.count("source", client="192.0.2.1")
    assert metrics.registry.get_sample_value("skinflint_refused_total", {"reason": "source"}) == 51
    assert len(logs) == 21
    assert logs[-1]["untold_before"] == 30
    assert len(logs[0]["host"]) == 253
