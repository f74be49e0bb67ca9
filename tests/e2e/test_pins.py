"""Clients that will not have our certificate: noticed, said once, and from then on tunnelled."""

import ssl

import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import MakeProxy
from tests.support.background import Providers
from tests.support.raw_client import request, secure
from tests.support.waiting import until
from tests.support.x509 import trusting

HOST = "api.openai.com"


async def test_a_pinning_client_is_refused_once_and_then_tunnelled(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    with pytest.raises(ssl.SSLCertVerificationError):
        await secure(proxy.port(), trusting(authority.ca))
    await until(lambda: proxy.metric("skinflint_client_connections_total", kind="rejected") == 1, "it was noticed")
    for _ in range(3):
        async with await secure(proxy.port(), trusting(authority.ca)) as client:
            client.send(request("GET", "/v1/models"))
            assert (await client.answer()).status == 200
    assert len(proxy.logged("client_rejects_our_certificate")) == 1
    assert proxy.metric("skinflint_client_connections_total", kind="tunnelled_pinned") == 3


async def test_a_pin_does_not_spread_to_other_clients(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    with pytest.raises(ssl.SSLCertVerificationError):
        await secure(proxy.port(), trusting(authority.ca))
    await until(lambda: proxy.metric("skinflint_client_connections_total", kind="rejected") == 1, "it was noticed")
    other_stack = proxy.trust()
    other_stack.maximum_version = ssl.TLSVersion.TLSv1_2
    async with await secure(proxy.port(), other_stack) as client:
        client.send(request("GET", "/v1/models"))
        assert (await client.answer()).header("x-skinflint-cache")


async def test_a_client_that_closes_silently_is_tunnelled_after_three_times(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for number in range(3):
        async with await secure(proxy.port(), context) as client:
            client.abort()
        seen = number + 1
        await until(
            lambda seen=seen: proxy.metric("skinflint_client_connections_total", kind="rejected") == seen,  # type: ignore[misc]
            "the close was noticed",
        )
    async with await secure(proxy.port(), context) as client:
        client.send(request("GET", "/v1/models"))
        answer = await client.answer()
    assert (answer.status, answer.header("x-skinflint-cache")) == (200, "")
    assert [event["reason"] for event in proxy.logged("client_rejects_our_certificate")] == ["closed_without_a_word"]


async def test_pins_are_not_learned_when_told_so(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider, {"passthrough": {"learn_pins": False}})
    for _ in range(3):
        with pytest.raises(ssl.SSLCertVerificationError):
            await secure(proxy.port(), trusting(authority.ca))
