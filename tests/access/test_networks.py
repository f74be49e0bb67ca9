"""The longest prefix wins, as it does when every network is looked at."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from proxy.access.networks import Networks, plain

ADDRESSES = st.one_of(st.ip_addresses(v=4, network="10.0.0.0/29"), st.ip_addresses(v=6, network="fd00::/125"))
NETWORKS = st.one_of(
    st.builds(
        lambda address, length: str(ip_network(f"{address}/{length}", strict=False)),
        st.ip_addresses(v=4, network="10.0.0.0/29"),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, length: str(ip_network(f"{address}/{length}", strict=False)),
        st.ip_addresses(v=6, network="fd00::/125"),
        st.integers(0, 128),
    ),
)


@given(st.lists(NETWORKS, unique=True, max_size=8), ADDRESSES)
def test_the_smallest_network_is_found(networks: list[str], address: object) -> None:
    found = Networks({text: text for text in networks}).find(str(address))
    parsed = ip_address(str(address))
    holding = [network for network in map(ip_network, networks) if parsed in network]
    wanted = max(holding, key=lambda network: network.prefixlen, default=None)
    assert found == (str(wanted) if wanted is not None else None)


def test_forms_of_addresses() -> None:
    known = Networks({"10.0.0.0/8": "a", "fe80::/10": "b"})
    assert [known.find(text) for text in ("::ffff:10.1.1.1", "fe80::1%eth0", "11.0.0.1", "nonsense", "")] == [
        "a",
        "b",
        None,
        None,
        None,
    ]
    assert plain("::ffff:10.1.1.1") == "10.1.1.1"
    assert not Networks({})
