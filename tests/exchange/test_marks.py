"""Cookies in the canonical form: the marks of delivery networks and balancers say who calls, all else may matter."""

import pytest

from proxy.exchange.canonical import canonical_headers


@pytest.mark.parametrize(
    "cookie",
    [
        b"__cf_bm=abc",
        b"__cf_bm=abc; _cfuvid=def",
        b" _cfuvid=x ;__cf_bm=y=z",
        b"AWSALB=1; AWSALBCORS=2; AWSALBTG=3",
        b"GCLB=CN1",
        b"",
    ],
)
def test_marks_do_not_count(cookie: bytes) -> None:
    assert list(canonical_headers([(b"cookie", cookie)])) == []


def test_other_cookies_count_and_marks_between_them_do_not() -> None:
    assert list(canonical_headers([(b"cookie", b"session=1; __cf_bm=abc; user=2")])) == [b"cookie:session=1; user=2"]
    assert list(canonical_headers([(b"cookie", b"session=1;user=2")])) == [b"cookie:session=1; user=2"]
    assert list(canonical_headers([(b"cookie", b"my__cf_bm=abc")])) == [b"cookie:my__cf_bm=abc"]
