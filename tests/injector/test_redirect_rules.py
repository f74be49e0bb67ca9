"""The rules of the redirect mode, in a network namespace: loaded, loaded again, and what they lead where."""

import sys
from collections.abc import Iterator

import pytest

from proxy.injector.modes.redirect import rules
from tests.support.netns import Namespace, lacking, namespace

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "can be made")

# Who connects elsewhere on 443, and whether that comes to the listener on loopback: prints yes or no.
ARRIVES = """
import os, socket, sys
address, uid = sys.argv[1], int(sys.argv[2])
loopback = "::1" if ":" in address else "127.0.0.1"
listener = socket.create_server((loopback, 19181), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
os.setuid(uid)
client = socket.socket(listener.family)
client.settimeout(0.5)
try:
    client.connect((address, 443))
    print("yes" if listener.accept() else "no")
except OSError:
    print("no")
"""


@pytest.fixture
def net() -> Iterator[Namespace]:
    """A pod's network with routes that lead nowhere."""
    with namespace("rules") as pod:
        pod.run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        pod.run("ip", "addr", "add", "192.0.2.1/24", "dev", "d0")
        pod.run("ip", "addr", "add", "2001:db8::1/64", "dev", "d0", "nodad")
        pod.run("ip", "link", "set", "d0", "up")
        pod.run("ip", "link", "set", "d1", "up")
        pod.run("nft", rules(19181, ("192.0.2.128/25", "2001:db8::8000/113")))
        yield pod


@pytest.mark.parametrize(
    ("address", "uid", "expected"),
    [
        ("192.0.2.9", 0, "yes"),
        ("2001:db8::9", 0, "yes"),
        ("192.0.2.9", 1337, "no"),
        ("192.0.2.200", 0, "no"),
        ("2001:db8::8001", 0, "no"),
    ],
)
def test_connections_come_here_except_the_sidecars_and_those_to_excluded_networks(
    net: Namespace, address: str, uid: int, expected: str
) -> None:
    assert net.run(sys.executable, "-c", ARRIVES, address, str(uid)).strip() == expected


def test_rules_may_be_written_again_and_stand_once(net: Namespace) -> None:
    first = net.run("nft", "list", "ruleset")
    net.run("nft", rules(19181, ("192.0.2.128/25", "2001:db8::8000/113")))
    assert net.run("nft", "list", "ruleset") == first
    assert first.count("redirect to :19181") == 1
    assert first.count("udp dport 443 reject") == 1
