"""The pure parts of the section about tiers: samples, where a call was answered from, its tables and targets."""

import orjson
import pytest

from bench.closed_loop import Measured
from bench.sections.tier_calls import CHAIN, MEMORY, Calls, Misses, hit_tables, hit_words, miss_table
from bench.sections.tier_stores import filter_remark, flat_check, growth, lookup_plot, lookup_table, size_tables
from bench.tiers.fills import absent, sampled
from bench.tiers.lookups import Costs
from bench.tiers.redis_server import core
from bench.tiers.samples import KINDS, entry
from bench.tiers.sizes import DICTIONARY, PLAIN, ZSTD, Sizes, Taken
from bench.tiers.told import Told, answered_from

FLAT = {1_000: [100.0, 100.0], 1_000_000: [120.0, 140.0]}


def rounds(*rates: int) -> list[Measured]:
    return [Measured(rate, 1.0, 1000 / rate, 2.0, 1e6 / rate, 0.2, 1.0) for rate in rates]


def told(hits: int, memory: int, disk: int) -> Told:
    tiers = {"memory": {"hits": float(memory)}, "disk": {"hits": float(disk)}}
    return Told({"hit": float(hits), "hit_ratio": None}, tiers)


@pytest.mark.parametrize("kind", KINDS)
def test_sample_is_the_same_each_time_and_differs_by_number(kind: str) -> None:
    assert entry(kind, 1) == entry(kind, 1)
    assert entry(kind, 1).body != entry(kind, 2).body


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sample_has_the_bytes_of_the_plain_one(kind: str) -> None:
    plain, packed = entry(kind, 3, packed=False), entry(kind, 3)
    assert packed.packed
    assert packed.original() == plain.body


def test_embedding_has_the_same_vector_length_in_both_forms() -> None:
    numbers = orjson.loads(entry("embedding, numbers", 0).original())["data"][0]["embedding"]
    text = orjson.loads(entry("embedding, base64", 0).original())["data"][0]["embedding"]
    assert len(numbers) * 4 == len(text) * 3 // 4 == 6144


def test_streamed_sample_ends_as_a_stream_does() -> None:
    events = entry("chat, streamed", 0).original().split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert orjson.loads(events[-3].removeprefix(b"data: "))["usage"]["completion_tokens"] == len(events) - 4


def test_keys_that_are_looked_up_are_as_many_as_asked_and_none_is_both() -> None:
    present, missing = sampled(1_000), absent(1_000)
    assert len(set(present)) == len(set(missing)) == 1_000
    assert not set(present) & set(missing)


@pytest.mark.parametrize(
    ("after", "source"),
    [(told(1, 0, 1), "disk"), (told(1, 0, 0), "memory"), (told(0, 0, 0), "upstream")],
)
def test_tier_that_answered_is_the_one_that_counted_a_hit(after: Told, source: str) -> None:
    assert answered_from(told(0, 0, 0), after) == source


@pytest.mark.parametrize(("cores", "place"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_redis_has_never_the_core_of_the_proxy(cores: int, place: int) -> None:
    assert core(cores)[0] == place


def test_growth_is_the_largest_over_the_cheapest() -> None:
    assert growth(FLAT).show(2) == "1.30 (1.20–1.40)"


@pytest.mark.parametrize(("call_us", "is_met"), [(0.1, True), (0.09, False)])
def test_flatness_is_judged_by_what_a_call_takes(call_us: float, is_met: bool) -> None:
    assert flat_check("a hit", FLAT, call_us).is_met is is_met


def test_tables_of_hits_relate_each_tier_to_memory_both_ways() -> None:
    many = {MEMORY: rounds(1000, 1000), CHAIN: rounds(500, 500), "disk": rounds(100, 100)}
    calls = Calls({1024: many}, many, dict.fromkeys(many, (9, 10)), {"Redis": "not measured: gone"})
    large, single = hit_tables(calls)
    assert large.rows[2][2:4] == ("0.10 (0.10–0.10)", "0.20 (0.20–0.20)")
    assert single.rows[2][2] == "10.00 (10.00–10.00)"
    assert large.rows[3][:2] == ("Redis", "not measured: gone")
    assert {len(row) for table in (large, single) for row in table.rows} == {6, 5}


@pytest.mark.parametrize(("good", "words"), [(10, "all"), (8, "all but 2 of 10")])
def test_calls_that_were_no_hits_are_told(good: int, words: str) -> None:
    assert hit_words(good, 10) == words


def test_misses_are_compared_with_memory_alone() -> None:
    many = {MEMORY: rounds(1000, 1000), "memory, disk": rounds(500, 500)}
    table = miss_table(Misses(many, many, {}))
    assert [row[2] for row in table.rows] == ["–", "1,000 (1,000–1,000)"]
    assert {len(row) for row in table.rows} == {len(table.heads)}


def test_sizes_are_entries_of_a_gib_and_relate_to_the_plain_form() -> None:
    taken = [
        Taken("disk", "chat", form, each) for form, each in ((PLAIN, 4096.0), (ZSTD, 2048.0), (DICTIONARY, 1024.0))
    ]
    memory, redis, disk = size_tables(Sizes((*taken, Taken("memory", "chat", PLAIN, 1024.0)), {"chat": 1000.0}))
    assert disk.rows == (("chat", "1,000", "262,144", "524,288 (× 2.00)", "1,048,576 (× 4.00)"),)
    assert memory.heads[2:] == (PLAIN,)
    assert redis.rows[0][0] == "not measured: redis-server is not installed"
    assert len(redis.rows[0]) == len(redis.heads)


def test_look_ups_have_a_row_a_kind_and_one_that_says_what_is_missing() -> None:
    found = {"memory": Costs(FLAT, FLAT), "disk": Costs(FLAT, FLAT, {1_000: 0.001})}
    table = lookup_table(found)
    assert table.rows[0] == ("memory, hit", "0.10 (0.10–0.10)", "0.13 (0.12–0.14)", "1.30 (1.20–1.40)")
    assert table.rows[-1][:2] == ("Redis", "not measured: redis-server is not installed")
    assert {len(row) for row in table.rows} == {len(table.heads)}
    assert "0.10% with 1,000 entries" in filter_remark(found["disk"])
    assert "memory, 1,000: 0.1" in lookup_plot(found).svg
