"""Stale answers, renewals, and what callers ask in fields of ours: through the whole proxy."""

import orjson

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, reply, said
from tests.support.background import Providers
from tests.support.running import RunningProxy


async def past_its_time(own: RunningProxy, body: bytes) -> None:
    """Ask until the stored answer is older than the second that it is good for."""
    for _ in range(2000):
        if (await ask(own, body, ("cache-control", "only-if-cached"))).status == 504:
            return
    raise AssertionError("the answer does not age")


async def test_a_stale_answer_is_given_while_it_is_renewed_and_the_renewal_is_paid_once(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider, {"cache": {"ttl_s": 1, "stale_while_revalidate_s": 600}})
    answers = [await ask(own, chat(prompt))]
    while provider.count(path=CHAT) == 1:
        assert len(answers) < 2000
        answers.append(await ask(own, chat(prompt)))
        assert said(answers[-1]) == "hit", "nobody waits for the renewal"
    (renewal,) = own.settled(1, outcome="refresh")
    assert renewal["cost_nanousd"]
    assert renewal["status"] == 200


async def test_a_stale_answer_stands_in_for_a_provider_in_trouble(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider, {"cache": {"ttl_s": 1, "stale_if_error_s": 600}})
    first = await ask(own, chat(prompt))
    await past_its_time(own, chat(prompt))
    provider.script(lambda _call: reply(b'{"error":{"message":"down"}}', 503))
    answer = await ask(own, chat(prompt))
    assert (answer.status, answer.body, said(answer)) == (200, first.body, "hit")
    assert "fwd=stale; fwd-status=503; detail=stale-if-error" in answer.header("cache-status")
    other = await ask(own, chat(f"{prompt} other"))
    assert other.status == 503, "what was never answered is an error"


async def test_fields_for_skinflint_never_reach_the_provider(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    fields = (
        ("x-skinflint-cache", "write"),
        ("x-skinflint-ttl", "60"),
        ("x-skinflint-tag", "a,b"),
        ("x-skinflint-namespace", "team"),
        ("x-skinflint-seed", "1"),
    )
    assert (await ask(proxy, chat(prompt), *fields)).status == 200
    (call,) = [call for call in provider.calls if prompt.encode() in call.body]
    assert not [name for name, _ in call.headers if name.lower().startswith(b"x-skinflint")]


async def test_a_namespace_has_answers_of_its_own(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    one, other = ("x-skinflint-namespace", "one"), ("x-skinflint-namespace", "other")
    answers = [await ask(proxy, chat(prompt), field) for field in (one, other, one, other)]
    assert [said(answer) for answer in answers] == ["miss", "miss", "hit", "hit"]
    assert proxy.admin("/v1/cache/invalidate", "POST", b'{"namespace": "on*"}')[0] == 200
    assert [said(await ask(proxy, chat(prompt), field)) for field in (one, other)] == ["miss", "hit"]


async def test_a_caller_decides_what_becomes_of_the_cache(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    wishes = ("off", "read", "write", "read", "refresh", "off")
    answers = [await ask(proxy, chat(prompt), ("x-skinflint-cache", wish)) for wish in wishes]
    assert [said(answer) for answer in answers] == ["bypass", "miss", "miss", "hit", "miss", "bypass"]
    assert provider.count(path=CHAT) == 5


async def test_a_wish_that_cannot_be_meant_is_refused_in_the_providers_own_words(
    proxy: RunningProxy, provider: Providers, prompt: str
) -> None:
    answer = await ask(proxy, chat(prompt), ("x-skinflint-cache", "maybe"))
    assert answer.status == 400
    error = orjson.loads(answer.body)["error"]
    assert error["message"] == "x-skinflint-cache must be: off, read, write, refresh"
    assert provider.count(path=CHAT) == 0


async def test_what_is_invalidated_while_it_is_under_way_does_not_come_back(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    own = make_proxy(provider)
    assert own.admin("/v1/cache/invalidate", "POST", b'{"provider": "openai"}')[0] == 200
    assert said(await ask(own, chat(prompt))) == "miss"
    assert said(await ask(own, chat(prompt))) == "hit"
    assert own.admin("/v1/cache/invalidate", "POST", b'{"older_than": "9999999999"}')[0] == 200
    assert said(await ask(own, chat(prompt))) == "miss"


async def test_an_order_that_cannot_be_meant_says_what_may_be(proxy: RunningProxy) -> None:
    for body, wanted in (
        (b"", "the body must be a JSON object"),
        (b'{"tag": "a", "model": "b"}', "of one kind"),
        (b'{"colour": "red"}', "kinds: all, fingerprint"),
        (b'{"label": "app"}', "label: must be NAME=VALUE"),
        (b'{"fingerprint": "xyz"}', "fingerprint: must be 8 to 64 hexadecimal digits"),
    ):
        status, text = proxy.admin("/v1/cache/invalidate", "POST", body)
        assert status == 400
        assert wanted in text
