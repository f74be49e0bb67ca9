"""A pod's network, and "the internet" at the other end of its cable: both families, one hop."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.netns import Namespace, namespace

POD_4, POD_6 = "192.0.2.2", "2001:db8::2"
INTERNET_4, INTERNET_6 = "192.0.2.10", "2001:db8::10"
EXCEPTED_4, EXCEPTED_6 = "198.51.100.10", "2001:db8:1::10"  # more addresses of the internet, for exceptions
METADATA = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Network:
    """Both ends. `families`: which the pod has, of "4" and "6"; without "6" it has none on loopback either."""

    pod: Namespace
    internet: Namespace
    families: str

    @property
    def pod_address(self) -> str:
        """Where the kubelet finds the pod."""
        return POD_4 if "4" in self.families else POD_6

    @property
    def nameserver(self) -> str:
        """Where the pod finds DNS."""
        return INTERNET_4 if "4" in self.families else INTERNET_6


@contextlib.contextmanager
def network(label: str, families: str = "46") -> Iterator[Network]:
    """Two namespaces that see each other, and nothing else."""
    with namespace(f"{label}-pod") as pod, namespace(f"{label}-net") as internet:
        _ip(pod, f"link add eth0 type veth peer name eth0 netns {internet.name}")
        for here, four, six in ((internet, INTERNET_4, INTERNET_6), (pod, POD_4, POD_6)):
            has = families if here is pod else "46"
            _ip(here, "link set eth0 up")
            if "4" in has:
                _ip(here, f"addr add {four}/24 dev eth0")
            if "6" in has:
                _ip(here, f"-6 addr add {six}/64 dev eth0 nodad")
        if "4" in families:
            _ip(pod, f"route add default via {INTERNET_4}")
        if "6" in families:
            _ip(pod, f"-6 route add default via {INTERNET_6}")
        else:
            pod.run("sh", "-c", "for each in all lo eth0; do echo 1 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done")
        for address in (EXCEPTED_4, METADATA):
            _ip(internet, f"addr add {address}/32 dev lo")
        _ip(internet, f"-6 addr add {EXCEPTED_6}/128 dev lo nodad")
        yield Network(pod, internet, families)


def _ip(where: Namespace, arguments: str) -> None:
    where.run("ip", *arguments.split())
