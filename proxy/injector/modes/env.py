"""Mode `env`: the sidecar is an HTTP proxy on the pod's loopback, and variables tell clients of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.injector.document import Draft, Object
from proxy.injector.pod import tcp_ports


@dataclass(frozen=True, slots=True)
class EnvMode:
    """See the module."""

    port: int

    @property
    def listen(self) -> list[str]:
        """A proxy on loopback: never one for the whole network."""
        return ["--listen", f"127.0.0.1:{self.port}", "--mode", "regular"]

    @property
    def proxy_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def refusals(self, pod: Object) -> Iterator[str]:
        """The port may be taken."""
        if self.port in tcp_ports(pod):
            yield f"a container listens on port {self.port}, which is the proxy's (ports.proxy)"

    def before(self) -> list[Object]:
        """Nothing."""
        return []

    def change(self, draft: Draft) -> list[str]:
        """Nothing but the variables, which all modes have."""
        return []
