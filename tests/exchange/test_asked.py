"""What callers ask of Skinflint itself: read exactly, or refused by name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.asked import FIELDS, NOTHING, Asked, Mode, asked
from proxy.exchange.errors import Refusal
from proxy.exchange.headers import HeaderList


def test_nothing_is_asked_by_default() -> None:
    assert asked([]) == NOTHING == Asked()


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([(b"x-skinflint-cache", b"off")], Asked(mode=Mode.OFF)),
        ([(b"x-skinflint-cache", b" Read ")], Asked(mode=Mode.READ)),
        ([(b"x-skinflint-cache", b"write")], Asked(mode=Mode.WRITE)),
        ([(b"x-skinflint-cache", b"refresh")], Asked(mode=Mode.REFRESH)),
        ([(b"x-skinflint-ttl", b"600")], Asked(ttl_s=600.0)),
        ([(b"x-skinflint-tag", b"a, b,a"), (b"x-skinflint-tag", b"c")], Asked(tags=("a", "b", "c"))),
        ([(b"x-skinflint-namespace", b"team/a:1")], Asked(namespace="team/a:1")),
        ([(b"x-skinflint-seed", b"any text 17")], Asked(seed="any text 17")),
    ],
    ids=lambda value: value[0][0].decode() if isinstance(value, list) else "",
)
def test_each_field_is_read(fields: HeaderList, wanted: Asked) -> None:
    assert asked(fields) == wanted
    assert {name for name, _ in fields} <= FIELDS


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("cache", b"no", "off, read, write, refresh"),
        ("cache", b"default", "off, read, write, refresh"),
        ("ttl", b"0", "whole seconds from 1 to 31536000"),
        ("ttl", b"-1", "whole seconds"),
        ("ttl", b"1.5", "whole seconds"),
        ("ttl", b"99999999", "whole seconds"),
        ("ttl", "²".encode("latin-1"), "whole seconds"),
        ("tag", b"a,,b", "comma-separated words"),
        ("tag", b",".join(b"%d" % number for number in range(17)), "at most 16 words"),
        ("namespace", b"a b", "one word"),
        ("namespace", b"", "one word"),
        ("namespace", b"n" * 65, "one word"),
        ("seed", b"", "1 to 64 characters"),
        ("seed", b"s" * 65, "1 to 64 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_may_be(name: str, value: bytes, allowed: str) -> None:
    with pytest.raises(Refusal, match=f"x-skinflint-{name} must be: .*{allowed}") as refused:
        asked([(b"x-skinflint-" + name.encode(), value)])
    assert refused.value.status == 400
    assert value.decode("latin-1").strip() not in refused.value.message or len(value) < 3


@given(st.lists(st.tuples(st.sampled_from(sorted(FIELDS)), st.binary(max_size=80)), max_size=6))
def test_anything_else_is_never_an_error_of_another_kind(fields: HeaderList) -> None:
    with contextlib.suppress(Refusal):
        asked(fields)
