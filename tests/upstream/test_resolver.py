"""Where an origin's address comes from."""

import pytest

from proxy.exchange.errors import UpstreamError
from proxy.upstream.resolver import Resolver


class Dns:
    """Answers as it was told, and counts the questions."""

    def __init__(self, answer: list[str] | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def lookup_ip(self, host: str) -> list[str]:
        self.asked.append(host)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def asking(dns: Dns) -> Resolver:
    """One that asks this DNS."""
    resolver = Resolver({}, ignore_hosts_file=True)
    resolver._dns = dns  # type: ignore[assignment]
    return resolver


async def test_fixed_addresses_go_before_everything() -> None:
    resolver = Resolver({"API.openai.com": "10.0.0.1:8443", "v6.test": "[::1]:1"}, ignore_hosts_file=False)
    assert await resolver.address("api.openai.com", 443) == ("10.0.0.1", 8443)
    assert await resolver.address("v6.test", 443) == ("::1", 1)
    assert resolver.known_addresses("api.openai.com", 443) == [("10.0.0.1", 8443)]


async def test_in_all_other_cases_the_systems_lookup_is_left_alone() -> None:
    assert await Resolver({}, ignore_hosts_file=False).address("api.openai.com", 443) is None


async def test_an_address_needs_no_lookup() -> None:
    dns = Dns([])
    for host in ("10.0.0.1", "::1", "2001:db8::1"):
        assert await asking(dns).address(host, 443) is None
        assert asking(dns).known_addresses(host, 443) == [(host, 443)]
    assert not dns.asked


async def test_dns_is_asked_where_the_hosts_file_leads_to_us_and_its_answer_kept() -> None:
    dns = Dns(["10.0.0.7", "10.0.0.8"])
    resolver = asking(dns)
    for _ in range(3):
        assert await resolver.address("api.openai.com", 443) == ("10.0.0.7", 443)
    assert dns.asked == ["api.openai.com"]
    assert resolver.known_addresses("api.openai.com", 443) == [("10.0.0.7", 443), ("10.0.0.8", 443)]


async def test_an_address_that_no_route_leads_to_is_the_last_resort() -> None:
    """As in a pod that has one family only. Nobody may send to the broadcast address unasked, so it has no route."""
    resolver = asking(Dns(["255.255.255.255", "127.0.0.1"]))
    assert await resolver.address("api.openai.com", 443) == ("127.0.0.1", 443)


@pytest.mark.parametrize("answer", [OSError(), ValueError(), []])
async def test_no_answer_is_a_failure_that_sent_nothing(answer: list[str] | Exception) -> None:
    with pytest.raises(UpstreamError) as raised:
        await asking(Dns(answer)).address("api.openai.com", 443)
    assert (raised.value.code, raised.value.sent) == ("dns_error", False)
    assert "openai" not in raised.value.message


async def test_the_memory_of_names_is_bounded() -> None:
    resolver = asking(Dns(["10.0.0.7"]))
    for number in range(1500):
        await resolver.address(f"h{number}.test", 443)
    kept = sum(bool(resolver.known_addresses(f"h{number}.test", 443)) for number in range(1500))
    assert 0 < kept <= 1024


async def test_what_the_system_leads_to_is_looked_up_for_counting_only() -> None:
    resolver = Resolver({"fixed.test": "10.0.0.1:1"}, ignore_hosts_file=False)
    await resolver.look_up("localhost", 443)
    await resolver.look_up("fixed.test", 443)
    await resolver.look_up("127.0.0.1", 443)
    await resolver.look_up("no-such-name.invalid", 443)
    assert ("127.0.0.1", 443) in resolver.known_addresses("localhost", 443)
    assert resolver.known_addresses("no-such-name.invalid", 443) == []
