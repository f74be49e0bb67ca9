"""Which addresses are public: held against the registries' facts, and against every way to write IPv4 inside IPv6."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.addresses import Kind, forms, kind_of, literal

PUBLIC, PRIVATE, SPECIAL = Kind.PUBLIC, Kind.PRIVATE, Kind.SPECIAL

TABLE = {
    "8.8.8.8": PUBLIC,
    "1.1.1.1": PUBLIC,
    "2606:4700::1": PUBLIC,
    "::ffff:8.8.8.8": PUBLIC,
    "64:ff9b::808:808": PUBLIC,
    "10.0.0.1": PRIVATE,
    "172.31.255.255": PRIVATE,
    "192.168.1.1": PRIVATE,
    "100.64.0.1": PRIVATE,
    "fd12:3456::1": PRIVATE,
    "::ffff:10.0.0.1": PRIVATE,
    "64:ff9b::a00:1": PRIVATE,
    "2002:a00:1::": PRIVATE,
    "127.0.0.1": SPECIAL,
    "127.255.0.9": SPECIAL,
    "0.0.0.0": SPECIAL,
    "169.254.169.254": SPECIAL,
    "169.254.170.2": SPECIAL,
    "100.100.100.200": SPECIAL,
    "168.63.129.16": SPECIAL,
    "192.0.0.192": SPECIAL,
    "198.18.0.1": SPECIAL,
    "192.0.2.1": SPECIAL,
    "224.0.0.1": SPECIAL,
    "239.255.255.250": SPECIAL,
    "240.0.0.1": SPECIAL,
    "255.255.255.255": SPECIAL,
    "::": SPECIAL,
    "::1": SPECIAL,
    "::127.0.0.1": SPECIAL,
    "::ffff:127.0.0.1": SPECIAL,
    "::ffff:169.254.169.254": SPECIAL,
    "::ffff:0:10.0.0.1": SPECIAL,
    "64:ff9b::a9fe:a9fe": SPECIAL,
    "64:ff9b:1::808:808": SPECIAL,
    "2002:a9fe:a9fe::1": SPECIAL,
    "2002:7f00:1::1": SPECIAL,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": SPECIAL,
    "2001:db8::1": SPECIAL,
    "2606:4700::5efe:a00:1": SPECIAL,
    "fd00:ec2::254": SPECIAL,
    "fd20:ce::254": SPECIAL,
    "fe80::1": SPECIAL,
    "fec0::1": SPECIAL,
    "ff02::1": SPECIAL,
    "4000::1": SPECIAL,
}


@pytest.mark.parametrize(("text", "kind"), TABLE.items(), ids=TABLE)
def test_known_addresses(text: str, kind: Kind) -> None:
    assert kind_of(ip_address(text)) is kind


@given(st.ip_addresses(v=4))
def test_what_is_public_is_global_and_no_multicast(address: IPv4Address) -> None:
    if kind_of(address) is PUBLIC:
        assert address.is_global
        assert not (address.is_multicast)
        assert not (address.is_loopback)
        assert not (address.is_link_local)
        assert not (address.is_reserved)


@given(st.ip_addresses(v=6))
def test_what_is_public_in_ipv6_is_global_too(address: IPv6Address) -> None:
    if kind_of(address) is PUBLIC and len(forms(address)) == 1:
        assert address.is_global
        assert not (address.is_multicast)
        assert not (address.is_loopback)
        assert not (address.is_link_local)
        assert not (address.is_site_local)


@given(st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"]), st.data())
def test_no_form_of_a_private_address_is_public(network: str, data: st.DataObject) -> None:
    inner = data.draw(st.ip_addresses(network=network))
    assert isinstance(inner, IPv4Address)
    number = int(inner)
    outer = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
        IPv6Address(number),
        IPv6Address((0x2600 << 112) | (0x5EFE << 32) | number),
    ]
    assert kind_of(inner) is not PUBLIC
    assert [str(each) for each in outer if kind_of(each) is PUBLIC] == []


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_what_it_stands_for(address: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{address}")
    assert kind_of(mapped) is kind_of(address)
    assert forms(mapped) == (mapped, address)


@pytest.mark.parametrize(
    ("host", "address"),
    {
        "127.1": "127.0.0.1",
        "2130706433": "127.0.0.1",
        "0x7f.0.0.1": "127.0.0.1",
        "0177.0.0.1": "127.0.0.1",
        "169.254.43518": "169.254.169.254",
        "::1": "::1",
        "fe80::1%eth0": "fe80::1",
        "10.0.0.1": "10.0.0.1",
    }.items(),
)
def test_spellings_of_addresses(host: str, address: str) -> None:
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["api.openai.com", "1password.com", "face.example", "dead.beef", "", "1.2.3.4.5"])
def test_names_are_no_addresses(host: str) -> None:
    assert literal(host) is None


def test_all_of_the_shared_network_is_private_but_alibabas_metadata() -> None:
    network = IPv4Network("100.64.0.0/10")
    assert kind_of(network[1]) is PRIVATE
    assert kind_of(network.broadcast_address) is PRIVATE
