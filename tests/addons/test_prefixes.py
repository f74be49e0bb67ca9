"""What the whole chain says of prompts: found while a call is under way, held against what the provider reports."""

import orjson

from addons.discount import lost_tokens
from config.schema import Settings
from proxy.exchange.prefixes import Finding
from proxy.exchange.record import CallRecord, PromptCache
from proxy.exchange.usage import Usage
from tests.invariants.test_invariants import Whole
from tests.support.exchanges import Origin, answer, exchange, request, settings, turns

RULES = "".join(f"Rule {number}: never do thing number {number * 7}. " for number in range(150))


class Discounted:
    """A thousand nano-dollars a token; cached ones a tenth, written ones a quarter more."""

    version = "flat"

    def cost(self, called: object, usage: Usage | None) -> int | None:
        if usage is None:
            return None
        plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
        return 1000 * plain + 100 * usage.cache_read_tokens + 1250 * usage.cache_write_tokens


def reply(tokens: int, cached: int = 0) -> bytes:
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": cached}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return orjson.dumps({"model": "gpt-4o-mini", "choices": [choice], "usage": usage})


def chat(system: str, said: str = "hi") -> bytes:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
    return orjson.dumps({"model": "gpt-4o-mini", "messages": messages, "temperature": 1})


async def ask(
    *bodies: bytes, cached: int = 0, status: int = 200, configured: Settings | None = None
) -> list[CallRecord]:
    origin = Origin(answer(reply(2_000, cached), status))
    whole = Whole(origin, configured=configured)
    whole.stages[0]._pricing = Discounted()  # type: ignore[attr-defined]
    for body in bodies:
        called = exchange(request(body))
        await whole.handler(called)
        await turns()
        called.finish(101.0)
    assert [asked.body for asked in origin.asked] == list(bodies)
    assert not whole.failed
    return whole.rows


async def test_a_time_in_the_system_prompt_is_a_loss_in_money() -> None:
    first, second = await ask(chat(f"It is 12:01.\n{RULES}"), chat(f"It is 12:02.\n{RULES}", "bye"))
    assert first.prompt_cache is None
    said = second.prompt_cache
    assert said is not None
    assert (said.broken_by, said.broken_at, said.saved_nanousd) == ("system", 0, 0)
    assert said.lost_tokens == 1_920
    assert said.lost_nanousd == 900 * 1_920


async def test_what_the_provider_served_is_no_loss() -> None:
    rows = await ask(chat(RULES), chat(RULES, "bye"), cached=1_920)
    assert rows[0].prompt_cache == PromptCache(900 * 1_920)
    said = rows[1].prompt_cache
    assert said is not None
    assert (said.saved_nanousd, said.lost_tokens, said.broken_by) == (900 * 1_920, 0, "")
    assert said.shared_tokens > 1_900


async def test_an_unchanged_prompt_that_is_charged_in_full_was_not_served() -> None:
    said = (await ask(chat(RULES), chat(RULES, "bye")))[1].prompt_cache
    assert said is not None
    assert (said.broken_by, said.lost_tokens) == ("unserved", 1_920)


async def test_a_failed_call_is_nothing_to_go_on_from() -> None:
    rows = await ask(chat(RULES), chat(RULES, "bye"), status=500)
    assert [row.prompt_cache for row in rows] == [None, None]


async def test_short_prompts_pass_by() -> None:
    rows = await ask(chat("be brief"), chat("be brief", "bye"))
    assert [row.prompt_cache for row in rows] == [None, None]


async def test_it_can_be_turned_off() -> None:
    off = settings(cost={"prompt_cache_max_bytes": 0})
    rows = await ask(chat(RULES), chat(RULES, "bye"), configured=off)
    assert [row.prompt_cache for row in rows] == [None, None]


def test_a_call_has_the_dearest_cause() -> None:
    usage = Usage(input_tokens=10_000)
    assert lost_tokens(Finding(10_000, shared=2_000, whole=9_000, kind="tools"), usage) == (
        9_000 // 128 * 128 - 1_920,
        "tools",
    )
    assert lost_tokens(Finding(10_000, shared=8_000, whole=8_000, is_unmarked=True), usage) == (7_936, "unmarked")
    assert lost_tokens(Finding(10_000, expired=8_000), usage) == (7_936, "expired")


def test_what_may_be_an_error_of_the_estimate_is_no_loss() -> None:
    served = Usage(input_tokens=10_000, cache_read_tokens=7_800)
    assert lost_tokens(Finding(10_000, shared=8_200, whole=8_200), served) == (0, "")
    assert lost_tokens(Finding(1_000, shared=1_000, whole=1_000), Usage(input_tokens=1_000)) == (0, "")
