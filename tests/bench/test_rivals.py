"""The choice of rivals, the files that they are started with, and what wrk says."""

from pathlib import Path

import pytest

from bench.contestants import Mitmdump
from bench.failures import BenchFailed
from bench.rivals.base import Rival
from bench.rivals.choice import NAMES, rivals
from bench.rivals.nginx import Nginx
from bench.target import Target
from bench.wrk import read

GOOD = "  1 threads and 16 connections\n  52935 requests in 3.02s, 64.21MB read\nRequests/sec:  17508.38\n"


def test_only_those_that_are_named_take_part() -> None:
    assert [rival.name for rival in rivals("forward", ["nginx", "mitmdump"])] == ["stock mitmdump", "nginx"]
    assert rivals("forward", []) == []


@pytest.mark.parametrize("work", ["hit", "forward", "stream"])
def test_every_rival_is_stock_mitmdump_or_may_be_missing(work: str) -> None:
    found = rivals(work, NAMES)  # type: ignore[arg-type]
    assert {type(rival) for rival in found if not isinstance(rival, Rival)} == {Mitmdump}
    assert len({rival.name for rival in found}) == len(found) >= len(NAMES)


def test_squid_says_why_it_has_no_hits() -> None:
    (squid,) = rivals("hit", ["squid"])
    assert isinstance(squid, Rival)
    assert squid.why_missing() == "keeps no answers to POST"


class Upstream:
    """As much of the bench's upstream as a configuration needs."""

    port = 4433

    class certificates:  # noqa: N801 - stands for an attribute
        ca, cert, key = Path("/ca"), Path("/cert"), Path("/key")


def test_nginx_is_told_to_keep_answers_by_body_and_to_verify_the_upstream(tmp_path: Path) -> None:
    launch = Nginx("hit").launch(Upstream(), tmp_path)  # type: ignore[arg-type]
    text = (tmp_path / "nginx.conf").read_text()
    assert 'proxy_cache_key "$request_uri|$http_authorization|$request_body";' in text
    assert "proxy_ssl_verify on;" in text
    assert "server 127.0.0.1:4433;" in text
    assert text.count("{") == text.count("}")
    assert launch.target.way == "TLS"


@pytest.mark.parametrize(
    ("is_proxy", "is_tls", "way"), [(True, True, "CONNECT, TLS"), (False, True, "TLS"), (False, False, "plain HTTP")]
)
def test_target_says_how_it_is_asked(is_proxy: bool, is_tls: bool, way: str) -> None:
    assert Target(("127.0.0.1", 1), is_proxy=is_proxy, ca=Path("/ca"), pid=None, is_tls=is_tls).way == way


def test_wrk_s_figures_are_read() -> None:
    one = read(GOOD, cpu_s=0.52935, took_s=3.0)
    assert (one.rate, round(one.cpu_us, 6), round(one.busy, 3)) == (17508.38, 10.0, 0.176)


@pytest.mark.parametrize("said", ["", GOOD + "  Non-2xx or 3xx responses: 3\n", GOOD + "  Socket errors: connect 1\n"])
def test_wrk_that_saw_anything_else_than_answers_is_no_measure(said: str) -> None:
    with pytest.raises(BenchFailed, match="wrk"):
        read(said, cpu_s=1.0, took_s=1.0)
