"""How much of a connection must be seen before it can be told what it is."""

import pytest

from proxy.edge.decide import is_too_short


@pytest.mark.parametrize("first_bytes", [b"\x16", b"\x16\x03", b"G", b"POST", b"OPTIONS", b"hello"])
def test_a_beginning_that_could_be_anything_waits(first_bytes: bytes) -> None:
    assert is_too_short(first_bytes)


@pytest.mark.parametrize("first_bytes", [b"\x16\x03\x01", b"\x16\x04", b"\0", b"\x80", b"OPTIONS ", b"GET / HTTP"])
def test_a_beginning_that_tells_does_not_wait(first_bytes: bytes) -> None:
    assert not is_too_short(first_bytes)


@pytest.mark.parametrize("first_bytes", [b"G", b"POST", b"HI\n"])
def test_where_all_but_tls_is_relayed_a_beginning_that_is_no_tls_is_enough(first_bytes: bytes) -> None:
    assert not is_too_short(first_bytes, is_relayed=True)


@pytest.mark.parametrize("first_bytes", [b"\x16", b"\x16\x03"])
def test_what_could_be_tls_waits_everywhere(first_bytes: bytes) -> None:
    assert is_too_short(first_bytes, is_relayed=True)
