"""Mode `redirect`: the kernel leads connections to port 443 to the sidecar, which tells where they were going.

An init container writes the rules, before anything else runs; it needs NET_ADMIN, so the namespace must allow
privileged pods. The rules are one transaction and may be written again. Without the sidecar connections fail: nothing
goes past it unseen. QUIC is refused, so that clients fall back to TCP.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from proxy.injector import names, pod
from proxy.injector.document import Draft, Object


@dataclass(frozen=True, slots=True)
class RedirectMode:
    """See the module."""

    image: str
    image_pull_policy: str | None
    port: int
    ipv6: bool
    exclude_cidrs: tuple[str, ...]

    @property
    def listen(self) -> list[str]:
        """Loopback: the kernel leads the pod's own connections there."""
        more = ["--listen", f"[::1]:{self.port}"] if self.ipv6 else []
        return ["--listen", f"127.0.0.1:{self.port}", *more, "--mode", "transparent"]

    @property
    def proxy_url(self) -> None:
        """Clients need not know."""
        return

    def refusals(self, document: Object) -> Iterator[str]:
        """The port may be taken, or a container could be taken for the sidecar."""
        if self.port in pod.tcp_ports(document):
            yield f"a container listens on port {self.port}, where redirected connections come (ports.redirect)"
        for each in pod.containers(document):
            if pod.runs_as(document, each) == names.USER:
                yield (
                    f"container {each.name} runs as user {names.USER}, whose connections are not redirected: "
                    "they are the sidecar's; run it as another user"
                )

    def before(self) -> list[Object]:
        """The init container. It is root, but may do nothing besides changing the pod's network."""
        container: Object = {
            "name": names.REDIRECT,
            "image": self.image,
            "command": ["nft", rules(self.port, self.exclude_cidrs)],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "securityContext": {
                "runAsUser": 0,
                "runAsGroup": 0,
                "runAsNonRoot": False,
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        if self.image_pull_policy is not None:
            container["imagePullPolicy"] = self.image_pull_policy
        return [container]

    def change(self, draft: Draft) -> list[str]:
        """Nothing: the kernel does it."""
        return []


def rules(port: int, exclude_cidrs: tuple[str, ...]) -> str:
    """One transaction of nft: what stands there of an earlier run goes in the same moment."""
    networks = [ip_network(each) for each in exclude_cidrs]
    # Networks in networks would be a mistake in a set of nft.
    four = collapse_addresses(each for each in networks if isinstance(each, IPv4Network))
    six = collapse_addresses(each for each in networks if isinstance(each, IPv6Network))
    passes = [f"meta skuid {names.USER} return", 'oifname "lo" return']
    for family, found in (("ip", [str(each) for each in four]), ("ip6", [str(each) for each in six])):
        if found:
            passes.append(f"{family} daddr {{ {', '.join(found)} }} return")
    redirect = ["type nat hook output priority -100", *passes, f"tcp dport 443 redirect to :{port}"]
    refuse = ["type filter hook output priority 0", *passes, "udp dport 443 reject"]
    chains = [
        line
        for name, body in (("redirect_https", redirect), ("refuse_quic", refuse))
        for line in (f"  chain {name} {{", *(f"    {rule}" for rule in body), "  }")
    ]
    return "\n".join(["table inet skinflint", "delete table inet skinflint", "table inet skinflint {", *chains, "}"])
