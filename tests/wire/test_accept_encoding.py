"""What an Accept-Encoding field allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.accept_encoding import acceptable, negotiate

OFFERED = ["zstd", "br", "gzip", "identity"]


@pytest.mark.parametrize(
    ("field", "best"),
    [
        (None, "identity"),
        (b"", "identity"),
        (b"gzip", "gzip"),
        (b"gzip, br", "br"),
        (b"gzip;q=1.0, br;q=0.5", "gzip"),
        (b"GZIP;Q=0.9 , br ; q=0.8", "gzip"),
        (b"*", "zstd"),
        (b"*;q=0.1, gzip", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"x-gzip", "gzip"),
        (b"compress", "identity"),
        (b"gzip;q=0", "identity"),
        (b"identity, gzip;q=0.5", "identity"),
        (b"identity;q=0", None),
        (b"*;q=0", None),
        (b"*;q=0, identity", "identity"),
        (b"identity;q=0, br", "br"),
        (b"gzip;q=2", "identity"),
        (b"gzip;q=0.1234", "identity"),
        (b"gzip;q=, br;level=1, ;;", "identity"),
        (b"br;q=0.001", "br"),
    ],
)
def test_best_coding(field: bytes | None, best: str | None) -> None:
    assert negotiate(field, OFFERED) == best


def test_nothing_offered_is_nothing() -> None:
    assert negotiate(b"gzip", []) is None


@pytest.mark.parametrize(
    ("field", "coding", "expected"),
    [
        (b"gzip", "gzip", True),
        (b"gzip", "X-GZIP", True),
        (b"gzip", "br", False),
        (b"gzip", "identity", True),
        (b"gzip, br", "gzip, br", True),
        (b"gzip", "gzip, br", False),
        (None, "identity", True),
        (None, "gzip", False),
        (b"*", "odd", True),
        (b"*, br;q=0", "br", False),
    ],
)
def test_acceptable(field: bytes | None, coding: str, expected: bool) -> None:
    assert acceptable(field, coding) is expected


@given(st.binary(max_size=60))
def test_random_bytes_never_raise(field: bytes) -> None:
    best = negotiate(field, OFFERED)
    assert best is None or acceptable(field, best)
