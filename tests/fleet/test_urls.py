"""Every form of `cache.redis.url`, and what is said of what is none."""

import pytest

from proxy.fleet.urls import Address, Kind, RedisPlace, RedisUrlError, parse


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://cache", RedisPlace(Kind.STANDALONE, (Address("cache", 6379),))),
        ("redis://cache:7000/3", RedisPlace(Kind.STANDALONE, (Address("cache", 7000),), database=3)),
        ("redis://cache/?db=4", RedisPlace(Kind.STANDALONE, (Address("cache", 6379),), database=4)),
        ("REDISS://cache", RedisPlace(Kind.STANDALONE, (Address("cache", 6379),), is_tls=True)),
        ("redis://[::1]:7000", RedisPlace(Kind.STANDALONE, (Address("::1", 7000),))),
        ("redis://[fe80::1]", RedisPlace(Kind.STANDALONE, (Address("fe80::1", 6379),))),
        (
            "redis://us%65r:p%40ss%3A%2F@cache",
            RedisPlace(Kind.STANDALONE, (Address("cache", 6379),), username="user", password="p@ss:/"),
        ),
        ("redis://:secret@cache", RedisPlace(Kind.STANDALONE, (Address("cache", 6379),), password="secret")),
        ("unix:///run/redis.sock", RedisPlace(Kind.STANDALONE, (Address("", 0, "/run/redis.sock"),))),
        (
            "unix://u:p@/run/a%20b.sock?db=2",
            RedisPlace(Kind.STANDALONE, (Address("", 0, "/run/a b.sock"),), username="u", password="p", database=2),
        ),
        (
            "sentinel://a,b:1,[::1]:2/answers/5",
            RedisPlace(
                Kind.SENTINEL,
                (Address("a", 26379), Address("b", 1), Address("::1", 2)),
                database=5,
                service="answers",
            ),
        ),
        ("redis+sentinel://a/s", RedisPlace(Kind.SENTINEL, (Address("a", 26379),), service="s")),
        ("rediss+sentinel://a/s", RedisPlace(Kind.SENTINEL, (Address("a", 26379),), is_tls=True, service="s")),
        ("cluster://a:1, b:2", RedisPlace(Kind.CLUSTER, (Address("a", 1), Address("b", 2)))),
        ("redis+cluster://a", RedisPlace(Kind.CLUSTER, (Address("a", 6379),))),
        ("rediss+cluster://u:p@a/0", RedisPlace(Kind.CLUSTER, (Address("a", 6379),), True, "u", "p")),
    ],
)
def test_every_form_is_understood(url: str, place: RedisPlace) -> None:
    assert parse(url) == place


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("cache:6379", "no known form"),
        ("http://cache", "no known form"),
        ("redis://", "no host"),
        ("redis://:hidden@", "no host"),
        ("redis://a b", "no host"),
        ("redis://a,b", "several hosts"),
        ("redis://::1", "without brackets"),
        ("redis://[::1", "bracket"),
        ("redis://[]:1", "bracket"),
        ("redis://[::1]x", "bracket"),
        ("redis://a:hidden", "not a number"),
        ("redis://a:99999", "out of range"),
        ("redis://a:0", "out of range"),
        ("redis://u:hid/den@a", "not a number"),
        ("redis://a/x", "not a number"),
        ("redis://a/1/2", "too long"),
        ("redis://a/?timeout=1", "parameter"),
        ("redis://a/1?timeout=1", "parameter"),
        ("unix://host/path", "three slashes"),
        ("unix://", "three slashes"),
        ("sentinel://a", "service"),
        ("sentinel://a/s/1/2", "too long"),
        ("cluster://a/1", "names a database"),
        ("cluster://a,,b", "no host"),
        ("cluster://" + ",".join("a" for _ in range(65)), "more than 64"),
    ],
)
def test_what_is_no_place_is_refused_without_showing_it(url: str, problem: str) -> None:
    with pytest.raises(RedisUrlError) as refused:
        parse(url)
    text = str(refused.value)
    assert problem in text
    assert "cache.redis.url" in text
    assert "rediss+sentinel" in text
    assert "hidden" not in text


def test_a_password_is_not_shown() -> None:
    assert "hidden" not in repr(parse("redis://u:hidden@a"))


@pytest.mark.parametrize("text", ["cache:1", "[::1]:2", "/run/redis.sock"])
def test_an_address_is_shown_as_it_is_written(text: str) -> None:
    form = "unix://" if text.startswith("/") else "redis://"
    assert str(parse(form + text).addresses[0]) == text
