"""Fixtures of the pods' tests. A module applies its pod once; its tests tell their calls apart by their prompts."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from proxy.injector.document import Object
from tests.kubernetes.clients import Clients, build
from tests.kubernetes.internet import Internet, internet
from tests.kubernetes.kubelet import Node, RunningPod, applied
from tests.kubernetes.network import Network, network
from tests.kubernetes.pods import EXTRA_CA, images
from tests.kubernetes.volumes import Secrets
from tests.support.netns import lacking

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Applied:
    """A pod that runs, what it finds outside, and clients in its container `app`."""

    pod: RunningPod
    internet: Internet
    clients: Clients

    def asked(self, prompt: str) -> int:
        """How many calls with this prompt have come to the providers."""
        return sum(prompt.encode() in call.body for call in list(self.internet.provider.calls))

    def answers_again(self, client: str, host: str, prompt: str) -> None:
        """What this client asks twice comes from the provider once, and from the sidecar then."""
        first, second = self.clients.ask(client, host, prompt)
        assert (first.status, first.cache) == (200, "miss")
        assert (second.status, second.cache) == (200, "hit")
        assert first.said == second.said != ""
        assert self.asked(prompt) == 1


type Outside = tuple[Network, Internet]
type Apply = Callable[..., AbstractContextManager[Applied]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without namespaces no pod can be applied."""
    reason = lacking()
    for item in items:
        if reason and isinstance(item, pytest.Function) and "apply" in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application's programs, compiled."""
    folder = tmp_path_factory.mktemp("programs")
    build(folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def outside(authority: Certificates) -> Iterator[Outside]:
    """For pods that come one after another to the same place: `apply(document, outside=outside)`."""
    with network(f"k{next(_numbers)}") as between, internet(between.internet, authority) as found:
        yield between, found


@pytest.fixture(scope="module")
def apply(authority: Certificates, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Apply:
    """Applies a pod: `with apply(document) as made:`. `families="6"`: in a cluster that has IPv6 alone.

    `secrets`: those of the pod's namespace. `outside`: where it is applied; otherwise it has a place of its own.
    """

    @contextlib.contextmanager
    def made(
        document: Object, families: str = "46", secrets: Secrets | None = None, outside: Outside | None = None
    ) -> Iterator[Applied]:
        directory = tmp_path_factory.mktemp("node")
        with contextlib.ExitStack() as own:
            if outside is None:
                between = own.enter_context(network(f"k{next(_numbers)}", families))
                found = own.enter_context(internet(between.internet, authority))
            else:
                between, found = outside
            roots = {EXTRA_CA: {"ca.crt": authority.ca.read_text()}}
            node = Node(between, images(programs), directory, roots, secrets or {})
            with applied(document, node) as pod, contextlib.ExitStack() as stack:
                clients = Clients(pod, programs, directory)
                stack.callback(clients.close)
                yield Applied(pod, found, clients)

    return made
