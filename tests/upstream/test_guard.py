"""What may be dialled: by rules alone, and by a dialer and a pool whose names lead somewhere they should not."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from config.gateway import Destinations
from config.schema import Upstream
from proxy.demo.certificates import Certificates
from proxy.demo.simulator import Simulator
from proxy.exchange.errors import UpstreamError
from proxy.upstream.dial import Dialer
from proxy.upstream.guard import Guard
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from tests.support.exchanges import request
from tests.support.origins import echo, origin
from tests.upstream.conftest import provider_certificates

__all__ = ["provider_certificates"]


def guard(*exceptions: str, trusted: tuple[tuple[str, int], ...] = ()) -> Guard:
    return Guard(Destinations(private=False, exceptions=exceptions), trusted=trusted)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert guard().permits("a.example", 443, address)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_others_are_not(address: str) -> None:
    assert not guard().permits("a.example", 443, address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("::ffff:127.0.0.1", False),
    ],
)
def test_a_shared_proxy_keeps_its_own_machine_to_itself_where_private_networks_may_be_reached(
    address: str, expected: bool
) -> None:
    assert Guard(Destinations(), is_shared=True).permits("a.example", 443, address) is expected


def test_beside_one_application_nothing_is_judged() -> None:
    assert Guard(Destinations()).permits("a.example", 443, "127.0.0.1")


def test_a_listed_network_is_permitted_in_each_of_its_forms() -> None:
    rules = guard("10.1.0.0/16")
    assert rules.permits("a.example", 443, "10.1.2.3")
    assert rules.permits("a.example", 443, "::ffff:10.1.2.3")
    assert not rules.permits("a.example", 443, "10.2.0.1")


def test_a_listed_host_may_have_private_addresses_but_no_special_ones() -> None:
    rules = guard("models.internal", "*.svc.cluster.local:8000")
    assert rules.permits("models.internal", 443, "10.0.0.1")
    assert rules.permits("vllm.ai.svc.cluster.local", 8000, "10.96.0.7")
    assert not rules.permits("vllm.ai.svc.cluster.local", 443, "10.96.0.7")
    assert not rules.permits("models.internal", 443, "127.0.0.1")
    assert not rules.permits("models.internal", 443, "169.254.169.254")


def test_a_listeners_own_origin_is_not_judged() -> None:
    rules = guard(trusted=(("127.0.0.1", 8000),))
    assert rules.permits("127.0.0.1", 8000, "127.0.0.1")
    assert not rules.permits("127.0.0.1", 8001, "127.0.0.1")


def test_of_several_addresses_the_permitted_ones_are_left() -> None:
    assert guard().chosen("a.example", 443, ["10.0.0.1", "8.8.8.8", "::1"]) == ["8.8.8.8"]


@pytest.mark.parametrize("host", ["169%2e254.169.254.evil.example", "127.0.0.1%20", "a,b", "127.1", "2130706433"])
def test_hosts_that_others_would_read_in_another_way_are_refused(host: str) -> None:
    with pytest.raises(UpstreamError, match="must not be reached") as raised:
        guard().check_host(host, 443)
    assert (raised.value.code, raised.value.status, raised.value.sent) == ("destination_ip_prohibited", 403, False)


def dialer(rules: Guard, **more: object) -> Dialer:
    settings = Upstream.model_validate(more)
    return Dialer(settings, Resolver(settings.resolve, ignore_hosts_file=False, guard=rules), rules)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[int]:
    async with origin(echo) as port:
        yield port


async def test_a_name_that_leads_to_loopback_is_not_dialled() -> None:
    refused: list[tuple[str, int]] = []
    rules = Guard(Destinations(private=False), on_refused=lambda host, port: refused.append((host, port)))
    async with listening() as port:
        with pytest.raises(UpstreamError) as raised:
            await dialer(rules).open("localhost", port)
        assert raised.value.code == "destination_ip_prohibited"
        assert refused == [("localhost", port)]


async def test_what_the_operator_resolves_by_hand_is_dialled() -> None:
    async with listening() as port:
        _, writer = await dialer(guard(), resolve={"a.example": f"127.0.0.1:{port}"}).open("a.example", 443)
        writer.close()


async def test_an_exception_is_dialled() -> None:
    async with listening() as port:
        _, writer = await dialer(guard("127.0.0.0/8")).open("localhost", port)
        writer.close()


async def test_an_address_is_not_sent_to_a_corporate_proxy_either() -> None:
    async with listening() as port:
        with pytest.raises(UpstreamError) as raised:
            await dialer(guard(), proxy=f"http://127.0.0.1:{port}").open("169.254.169.254", 80)
        assert raised.value.code == "destination_ip_prohibited"


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_pool_does_not_dial_it_either(scheme: str, provider_certificates: Certificates) -> None:
    async with Simulator(provider_certificates) as simulator:
        settings = Upstream(extra_ca=(provider_certificates.ca,))
        pool = Pool(settings, Resolver({}, ignore_hosts_file=False, guard=guard()), guard())
        pool.start()
        asked = request()
        asked.scheme, asked.host, asked.port = scheme, "localhost", simulator.port
        with pytest.raises(UpstreamError) as raised:
            await pool.send(asked, buffered=True)
        assert raised.value.code == "destination_ip_prohibited"
        await pool.close()


async def test_an_http1_lane_goes_to_the_address_that_was_judged() -> None:
    async with listening() as port:
        found = await dialer(guard("127.0.0.0/8")).address("localhost", port)
    assert found == ("127.0.0.1", port)


async def test_without_a_guard_an_http1_lane_looks_names_up_itself() -> None:
    assert await dialer(Guard(Destinations())).address("localhost", 443) is None


async def test_addresses_that_do_not_answer_are_no_prohibited_ones() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamError) as raised:
            await dialer(guard("127.0.0.1")).open("127.0.0.1", closed.getsockname()[1])
    assert raised.value.code == "connection_refused"
    await asyncio.sleep(0)
