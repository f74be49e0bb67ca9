"""One key for a whole fleet, or the one that a file gives."""

import base64
import stat
from pathlib import Path

import pytest

from config.errors import SettingsError
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.key import agreed_key, keep_key, kept_key, key_of_file
from tests.fleet.conftest import MakeLink
from tests.support.redis_servers import RedisServer, needs_redis

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))


@pytest.mark.parametrize(
    "content", [ONE, ONE.hex().encode(), base64.b64encode(ONE) + b"\n", b"  " + ONE.hex().upper().encode() + b"\r\n"]
)
def test_a_file_may_hold_it_plain_or_as_text(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert key_of_file(file) == ONE


@pytest.mark.parametrize("content", [b"", ONE[:31], ONE + b"x", b"x" * 44, ONE.hex()[:62].encode()])
def test_anything_else_is_refused_by_name_and_never_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"cache\.key_file") as refused:
        key_of_file(file)
    assert str(file) in str(refused.value)
    assert len(content) < 8 or content.decode("latin-1") not in str(refused.value)


def test_a_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        key_of_file(tmp_path / "none")


def test_what_a_replica_knows_of_it_is_for_its_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "fleet.key"
    assert kept_key(file) is None
    for key in (ONE, OTHER):
        keep_key(file, key)
        assert kept_key(file) == key
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"short")
    assert kept_key(file) is None
    assert [each.name for each in tmp_path.iterdir()] == ["fleet.key"]


@needs_redis()
async def test_the_first_replicas_key_is_everybodys(server: RedisServer, make_link: MakeLink) -> None:
    links = [await make_link(server.url) for _ in range(2)]
    assert await agreed_key(links[0], "a", ONE) == ONE
    assert await agreed_key(links[1], "a", OTHER) == ONE
    assert await agreed_key(links[1], "b", OTHER) == OTHER, "another prefix is another fleet"


@needs_redis()
async def test_a_redis_that_forgot_it_is_told_again(server: RedisServer, make_link: MakeLink) -> None:
    link = await make_link(server.url)
    await agreed_key(link, "a", ONE)
    server.says("FLUSHALL")
    assert await agreed_key(link, "a", ONE) == ONE
    assert server.says("GET", "a:key") == ONE


@needs_redis()
async def test_what_is_no_key_is_not_taken(server: RedisServer, make_link: MakeLink) -> None:
    server.says("SET", "a:key", b"short")
    with pytest.raises(RedisUnavailableError, match="no_fleet_key"):
        await agreed_key(await make_link(server.url), "a", ONE)
