"""The fingerprint: equal for equal calls, different for any others, and never a way back to a credential."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.fingerprint import Fingerprint
from config.caching import Cache
from proxy.exchange.model import Exchange, Request
from proxy.exchange.provider import Operation
from proxy.exchange.tenant import NOBODY, Tenant
from tests.support.exchanges import CHAT, REGISTRY, Origin, Pieces, answer, exchange, request

KEY = b"k" * 32
CHATTING = Operation("chat", answers=True, sampled=True)


async def taken(asked: Request, *, key: bytes = KEY, cache: Cache | None = None, provider: str = "openai") -> Exchange:
    """The exchange after the stage."""
    called = exchange(asked, provider=REGISTRY.by_name(provider), operation=CHATTING)
    await Fingerprint(key, cache or Cache()).handle(called, Origin(answer()))
    return called


async def of(asked: Request, **more: object) -> bytes:
    """Its fingerprint."""
    print_ = (await taken(asked, **more)).fingerprint  # type: ignore[arg-type]
    assert print_ is not None
    return print_


async def test_equal_calls_have_equal_fingerprints() -> None:
    spaced = b'{ "temperature": 0, "messages": [{"content":"hi", "role":"user"}], "model": "gpt-4o-mini" }'
    assert await of(request()) == await of(request(spaced, headers=[(b"user-agent", b"x")]))


@pytest.mark.parametrize(
    "other",
    [
        request(CHAT.replace(b"hi", b"ho")),
        request(target="/v1/responses"),
        request(target="/v1/chat/completions?a=1"),
        request(host="eu.api.openai.com"),
        request(method="PUT"),
        request(headers=[(b"openai-organization", b"o")]),
        request(key=b"sk-two"),
        request(key=b""),
        request(headers=[(b"api-key", b"x")]),
    ],
)
async def test_whatever_else_differs_makes_another_one(other: Request) -> None:
    assert await of(request()) != await of(other)


async def of_tenant(name: str, share: dict[str, list[str]] | None = None, key: bytes = b"sk-one") -> bytes:
    tenant = Tenant.named(name) if name else NOBODY
    called = exchange(request(key=key), provider=REGISTRY.by_name("openai"), operation=CHATTING, tenant=tenant)
    await Fingerprint(KEY, Cache(), share).handle(called, Origin(answer()))
    assert called.fingerprint is not None
    return called.fingerprint


async def test_tenants_have_different_ones_unless_they_share() -> None:
    assert len({await of_tenant(name) for name in ("", "a", "b")}) == 3
    assert await of_tenant("") == await of(request())
    friends = {"friends": ["a", "b"]}
    assert await of_tenant("a", friends) == await of_tenant("b", friends) != await of_tenant("c", friends)
    everybody = {"all": ["*"]}
    assert await of_tenant("a", everybody) == await of_tenant("z", everybody) != await of_tenant("", everybody)
    assert await of_tenant("a", friends) != await of_tenant("b", friends, b"sk-two")


async def test_the_port_and_the_provider_are_part_of_it() -> None:
    elsewhere = request()
    elsewhere.port = 8443
    assert len({await of(request()), await of(elsewhere), await of(request(), provider="mistral")}) == 3


async def test_another_installation_has_others() -> None:
    assert await of(request()) != await of(request(), key=b"z" * 32)
    assert (await taken(request())).credential != (await taken(request(), key=b"z" * 32)).credential


async def test_two_keys_in_unusual_places_do_not_share() -> None:
    one, other = (request(key=b"", headers=[(b"x-api-key", key)]) for key in (b"a", b"b"))
    assert await of(one) != await of(other)
    one, other = (request(key=b"", target=f"/v1/chat/completions?key={key}") for key in "ab")
    assert await of(one) != await of(other)
    one, other = (request(headers=[(b"x-api-key", key)]) for key in (b"a", b"b"))
    assert await of(one) != await of(other)


async def test_signatures_differ_and_their_caller_stays_the_same() -> None:
    def signed(signature: str, access: str = "AKIA1") -> Request:
        value = f"AWS4-HMAC-SHA256 Credential={access}/2026/us-east-1/bedrock/aws4_request, Signature={signature}"
        return request(key=b"", headers=[(b"authorization", value.encode()), (b"x-amz-date", signature.encode())])

    assert await of(signed("a"), provider="bedrock") == await of(signed("b"), provider="bedrock")
    assert await of(signed("a"), provider="bedrock") != await of(signed("a", "AKIA2"), provider="bedrock")


async def test_named_groups_share_and_nobody_else_does() -> None:
    digests = [(await taken(request(key=key))).credential[:12] for key in (b"one", b"two")]
    cache = Cache(share={"team": tuple(digests)})
    assert await of(request(key=b"one"), cache=cache) == await of(request(key=b"two"), cache=cache)
    assert await of(request(key=b"one"), cache=cache) != await of(request(key=b"three"), cache=cache)
    assert await of(request(key=b"one"), cache=cache) != await of(request(key=b"one"))


async def test_a_groups_name_is_not_a_credential() -> None:
    digest = (await taken(request(key=b"one"))).credential
    group = Cache(share={digest: (digest[:12],)})
    assert await of(request(key=b"one"), cache=group) != await of(request(key=b"one"))


@given(st.binary(min_size=8, max_size=60).filter(lambda key: key.strip() == key and b"\n" not in key))
async def test_neither_digest_contains_the_credential(key: bytes) -> None:
    called = await taken(request(key=key))
    assert called.fingerprint is not None
    assert len(called.credential) == 32
    assert len(called.fingerprint) == 32
    assert key not in called.fingerprint
    assert key not in called.credential.encode()
    assert key not in bytes.fromhex(called.credential)
    plain = hashlib.blake2b(key, digest_size=16).hexdigest()
    assert called.credential != plain  # without the installation's key nobody can try keys out


async def test_without_a_credential_there_is_no_digest_of_one() -> None:
    assert (await taken(request(key=b""))).credential == ""


async def test_what_cannot_be_answered_again_has_none() -> None:
    stage, origin = Fingerprint(KEY, Cache()), Origin(answer())
    unknown = exchange(provider=REGISTRY.by_name("openai"))
    streamed = exchange(request(Pieces(b"x")), provider=REGISTRY.by_name("openai"), operation=CHATTING)
    nobodys = exchange()
    for called in (unknown, streamed, nobodys):
        await stage.handle(called, origin)
        assert called.fingerprint is None
    assert unknown.credential
    assert not nobodys.credential
    assert len(origin.asked) == 3


async def test_odd_bytes_in_the_target_do_no_harm() -> None:
    assert await of(request(target="/v1/models/caf\xe9?q=\xff")) != await of(request(target="/v1/models/cafe?q=\xff"))


async def test_many_credentials_stay_apart_and_are_digested_alike_each_time() -> None:
    stage, origin = Fingerprint(KEY, Cache()), Origin(answer())
    digests = []
    for _ in range(2):
        for number in range(1500):
            called = exchange(request(key=b"key-%d" % number), provider=REGISTRY.by_name("openai"), operation=CHATTING)
            await stage.handle(called, origin)
            digests.append(called.credential)
    assert len(set(digests)) == 1500
    assert digests[:1500] == digests[1500:]


@pytest.mark.parametrize("collapses", [True, False])
async def test_without_a_cache_only_calls_that_collapse_have_one(collapses: bool) -> None:
    openai = REGISTRY.by_name("openai")
    called = exchange(request(), provider=openai, operation=CHATTING, collapses=collapses)
    await Fingerprint(KEY, Cache(enabled=False)).handle(called, Origin(answer()))
    assert (called.fingerprint is not None) is collapses
    assert called.credential
