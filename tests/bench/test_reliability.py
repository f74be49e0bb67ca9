"""What is made of a trouble's records, and the answers that they are held against."""

import math
from dataclasses import replace

import orjson

from bench.machine import Machine
from bench.reliability.answers import Question, question_of
from bench.reliability.records import STREAK, Latency, Log, Outcome, Record, latency, recovery, shared, split
from bench.reliability.report import page
from bench.reliability.run import Plan, Seen
from bench.reliability.trouble import Skipped, Trouble

ASKED = Question("sk-alpha", "what is it? size=4000", is_streamed=False)
CALL = Record(kind="second", began=1.0, ended=1.5, was_hit=True)
OUTCOME = Outcome(
    name="kill",
    lasted_s=4.0,
    calls=1234,
    failed=0,
    wrong=0,
    cut_off=0,
    texts=(),
    before=Latency(3, 1, 2, 3),
    during=Latency(3, 4, 5, 6),
    after=Latency(0, math.nan, math.nan, math.nan),
    longest_wait_s=0.0421,
    shared_before=1.0,
    shared_during=0.25,
    recovered_s=0.5,
    logs=(Log("replica 1", {"redis_down": 2, "redis_back": 2}), Log("replica 2")),
)
TROUBLE = Trouble("kill", "kill -9 of Redis", lambda: 0.0, "Nothing.", "By itself.")
MACHINE = Machine(
    "2026-11-01 00:00 UTC", "1.0, commit abc", "a processor", 2, "Linux", "CPython", "uvloop 1", "0.1", "none"
)
PLAN = Plan(before_s=1, trouble_s=1, after_s=1, recover_s=1, clients=2, seed=1)


def series(*hits: bool, kind: str = "second") -> list[Record]:
    return [Record(kind=kind, began=float(at), ended=at + 0.5, was_hit=hit) for at, hit in enumerate(hits)]


def test_an_answer_follows_from_the_question_as_the_provider_reads_it() -> None:
    for question in (ASKED, replace(ASKED, is_streamed=True)):
        assert question_of("sk-alpha", question.body).answer == question.answer


def test_an_answer_is_another_for_another_credential_or_prompt() -> None:
    others = [replace(ASKED, credential="sk-beta"), replace(ASKED, prompt="what else? size=4000")]
    texts = [orjson.loads(each.answer)["choices"][0]["message"]["content"] for each in (ASKED, *others)]
    assert [len(text) for text in texts] == [4000] * 3
    assert all(texts[0][at : at + 40] not in other for other in texts[1:] for at in range(0, 4000, 40))


def test_a_streamed_answer_says_the_same() -> None:
    events = replace(ASKED, is_streamed=True).pieces
    assert events[-1] == b"data: [DONE]\n\n"
    said = [orjson.loads(each.removeprefix(b"data: "))["choices"] for each in events[:-1]]
    text = "".join(choices[0]["delta"].get("content", "") for choices in said if choices)
    assert text == orjson.loads(ASKED.answer)["choices"][0]["message"]["content"]


def test_a_call_that_overlaps_a_trouble_is_counted_to_it() -> None:
    calls = [replace(CALL, began=began, ended=ended) for began, ended in ((0, 1), (1, 3), (2, 9), (5, 9))]
    before, during, after = split(calls, begun_at=2.0, back_at=4.0)
    assert (before, during, after) == (calls[:1], calls[1:3], calls[3:])


def test_a_tier_is_used_again_once_enough_second_questions_in_a_row_were_hits() -> None:
    calls = series(*[True] * STREAK, False, *[True] * STREAK)
    assert recovery(calls, 0.0) == 0.5
    assert recovery(calls, 1.0) == STREAK + 1 - 1.0 + 0.5
    assert recovery(calls, STREAK + 3.0) is None
    assert recovery(series(*[True] * STREAK, kind="hot"), 0.0) is None


def test_the_share_of_answers_is_that_of_second_questions() -> None:
    assert shared([*series(True, False), *series(True, kind="hot")]) == 0.5
    assert math.isnan(shared([]))


def test_latency_is_of_whole_calls_that_were_answered() -> None:
    calls = [replace(CALL, ended=1.0 + ms / 1000) for ms in range(1, 101)]
    calls += [replace(CALL, ended=99, is_streamed=True), replace(CALL, ended=99, failure="it broke")]
    found = latency(calls)
    assert (found.calls, round(found.p50_ms), round(found.p99_ms), round(found.max_ms)) == (100, 50, 99, 100)


def test_a_failed_call_a_wrong_answer_or_a_tier_that_never_came_back_is_not_passed() -> None:
    assert OUTCOME.passed
    assert not any(each.passed for each in (
        replace(OUTCOME, failed=1), replace(OUTCOME, wrong=1), replace(OUTCOME, recovered_s=None),
    ))  # fmt: skip


def test_the_page_says_what_was_seen_and_what_was_left_out() -> None:
    cut = Skipped("Redis is cut off", "needs root")
    text = page(MACHINE, PLAN, [Seen(TROUBLE, OUTCOME), Seen(cut, None)])
    assert (
        "| kill -9 of Redis | 1,234 | 0 | 0 | 1.0 · 4.0 · – | 2.0 · 5.0 · – | 3.0 · 6.0 · – | 42 | 100% · 25% |" in text
    )
    assert "`redis_back` × 2, `redis_down` × 2" in text
    assert "Left out: Redis is cut off: needs root." in text
    assert "commit abc" in text


def test_the_page_does_not_hide_what_was_not_passed() -> None:
    text = page(MACHINE, PLAN, [Seen(TROUBLE, replace(OUTCOME, wrong=3, recovered_s=None, texts=("hot: 5 bytes",)))])
    assert "| **3** |" in text
    assert "**never**" in text
    assert "**Not passed**: `hot: 5 bytes`" in text
