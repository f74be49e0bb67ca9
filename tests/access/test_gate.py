"""Who a client is: which rule speaks first, and who is refused."""

import pytest

from config.gateway import Access, Destinations
from proxy.access.credentials import Credentials, new_token
from proxy.access.gate import OPEN, Client, Gate, Why
from proxy.access.networks import plain
from proxy.access.reach import Reach
from proxy.exchange.tenant import NOBODY, Tenant

TOKEN, LINE = new_token("by-token")
KNOWN = Credentials.parse(LINE)
BEARER = f"Bearer {TOKEN}".encode()


class PodsOf:
    """Who has which address."""

    def __init__(self, **tenants: str) -> None:
        self._tenants = {address.replace("_", "."): name for address, name in tenants.items()}
        self.waited: list[str] = []

    def tenant(self, address: str) -> Tenant | None:
        name = self._tenants.get(address)
        return Tenant.named(name, {"pod": "web-1"}) if name else None

    async def wait_for(self, address: str) -> None:
        self.waited.append(address)


def gate(*, tokens: bool = False, pods: PodsOf | None = None, **settings: object) -> Gate:
    made = Access.model_validate({**settings, "credentials": "x" if tokens else None})
    if pods is not None:
        made = made.model_copy(update={"kubernetes": made.kubernetes.model_copy(update={"enabled": True})})
    return Gate(made, (lambda: KNOWN) if tokens else None, pods)


def name_of(who: Tenant | Why) -> str:
    assert isinstance(who, Tenant)
    assert who.labels["tenant"] == who.name
    return who.name


def test_without_rules_everybody_is_nobody() -> None:
    assert OPEN.is_open
    assert OPEN.admit(Client("192.0.2.1")) is NOBODY
    assert OPEN.admit(Client("192.0.2.1"), b"Basic whatever") is NOBODY


def test_the_longest_prefix_wins() -> None:
    rules = gate(sources={"10.0.0.0/8": "wide", "10.1.0.0/16": "near", "10.1.2.3": "one"})
    assert [name_of(rules.admit(Client(each))) for each in ("10.9.9.9", "10.1.9.9", "10.1.2.3")] == [
        "wide",
        "near",
        "one",
    ]


def test_a_mapped_address_is_its_ipv4_address() -> None:
    rules = gate(sources={"10.0.0.0/8": "wide"})
    assert name_of(rules.admit(Client("::ffff:10.1.1.1"))) == "wide"
    assert plain("fe80::1%eth0") == "fe80::1"


def test_an_unknown_address_is_refused_or_of_the_default_tenant() -> None:
    assert gate(sources={"10.0.0.0/8": "wide"}).admit(Client("192.0.2.1")) is Why.SOURCE
    assert gate(tokens=True).admit(Client("192.0.2.1")) is Why.CREDENTIALS
    assert name_of(gate(sources={"10.0.0.0/8": "w"}, default_tenant="rest").admit(Client("192.0.2.1"))) == "rest"
    assert name_of(gate(default_tenant="rest").admit(Client("192.0.2.1"))) == "rest"


def test_a_token_goes_before_the_address_and_a_wrong_one_is_refused_in_any_case() -> None:
    rules = gate(tokens=True, sources={"10.0.0.0/8": "wide"}, default_tenant="rest")
    assert name_of(rules.admit(Client("10.0.0.1"), BEARER)) == "by-token"
    assert name_of(rules.admit(Client("10.0.0.1"))) == "wide"
    assert rules.admit(Client("10.0.0.1"), b"Bearer skf_wrong") is Why.CREDENTIALS


def test_a_pod_is_known_by_its_address() -> None:
    rules = gate(pods=PodsOf(**{"10_0_0_1": "search"}))
    who = rules.admit(Client("10.0.0.1"))
    assert name_of(who) == "search"
    assert isinstance(who, Tenant)
    assert who.labels["pod"] == "web-1"
    assert rules.admit(Client("10.0.0.2")) is Why.SOURCE


def test_a_token_of_a_known_pod_keeps_the_pods_labels_but_its_own_tenant() -> None:
    who = gate(tokens=True, pods=PodsOf(**{"10_0_0_1": "search"})).admit(Client("10.0.0.1"), BEARER)
    assert isinstance(who, Tenant)
    assert who.labels == {"pod": "web-1", "tenant": "by-token"}
    assert who.proof == TOKEN[4:16]


async def test_only_an_address_that_nothing_else_knows_is_waited_for() -> None:
    pods = PodsOf()
    rules = gate(pods=pods, sources={"10.0.0.0/8": "wide"})
    await rules.wait_for(Client("10.0.0.1"))
    await rules.wait_for(Client("::ffff:192.0.2.1"))
    await gate(tokens=True, pods=pods).wait_for(Client("192.0.2.9"))
    assert pods.waited == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("allow", "host", "port", "is_allowed"),
    [
        (("any",), "x.example", 25, True),
        (("providers",), "provider.example", 443, True),
        (("providers",), "x.example", 443, False),
        (("x.example",), "x.example", 443, True),
        (("x.example",), "x.example", 80, True),
        (("x.example",), "x.example", 8443, False),
        (("x.example:8443",), "x.example", 8443, True),
        (("*.x.example",), "a.b.x.example", 443, True),
        (("*.x.example",), "x.example", 443, False),
        (("providers", "x.example"), "x.example", 443, True),
        ((), "provider.example", 443, False),
    ],
)
def test_what_may_be_asked_for(allow: tuple[str, ...], host: str, port: int, is_allowed: bool) -> None:
    reach = Reach(Destinations(allow=allow), lambda name, _: name == "provider.example")
    assert reach.may_reach(host, port) is is_allowed
