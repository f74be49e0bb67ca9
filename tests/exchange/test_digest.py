"""Keyed digests tell contents, keys and purposes apart."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange.digest import KeyedDigest


@given(contents=st.lists(st.binary(max_size=200), unique=True, max_size=20))
def test_equal_contents_and_no_others_have_one_digest(contents: list[bytes]) -> None:
    digest, again = KeyedDigest(b"k" * 32, b"purpose"), KeyedDigest(b"k" * 32, b"purpose")
    found = [digest(content) for content in contents]
    assert found == [again(content) for content in contents]
    assert len(set(found)) == len(contents)
    assert all(len(each) == 32 for each in found)


def test_another_key_or_purpose_gives_other_digests() -> None:
    made = [KeyedDigest(b"k" * 32, b"a"), KeyedDigest(b"x" * 32, b"a"), KeyedDigest(b"k" * 32, b"b")]
    assert len({digest(b"content") for digest in made}) == 3


@given(beginning=st.binary(max_size=100), rest=st.binary(max_size=100))
def test_a_content_that_is_given_in_two_parts_has_the_same_digest(beginning: bytes, rest: bytes) -> None:
    digest = KeyedDigest(b"k" * 32, b"purpose")
    after = digest.after(beginning)
    assert after(rest) == after(rest) == digest(beginning + rest)
