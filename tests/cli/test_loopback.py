"""Listeners on a loopback that this machine lacks."""

import pytest

from proxy.cli.loopback import usable

BOTH = ["127.0.0.1:443", "[::1]:443"]


@pytest.mark.parametrize("listen", [["127.0.0.1:443"], BOTH, ["[::1]:443"], ["127.0.0.1:443", "[::1]:444"], []])
def test_where_there_is_ipv6_all_stay(listen: list[str]) -> None:
    assert usable(listen, lambda: True) == listen


@pytest.mark.parametrize("listen", [["127.0.0.1:443"], ["[::1]:443"], ["127.0.0.1:443", "[::1]:444"], ["0.0.0.0:1"]])
def test_an_address_that_has_no_twin_is_never_left_out(listen: list[str]) -> None:
    assert usable(listen, lambda: False) == listen


def test_of_twins_the_one_that_is_lacking_is_left_out() -> None:
    assert usable([*BOTH, "[::1]:8080"], lambda: False) == ["127.0.0.1:443", "[::1]:8080"]
