"""Fixtures that end-to-end tests share: simulated providers, and a real `skinflint run` in front of them.

`provider` and `proxy` are shared by the whole session: tests tell their calls apart by prompts of their own (`prompt`),
and the provider starts over for each. Where settings or the number of connections matter, `make_proxy` and
`make_provider` give a test its own. When the session ends, no process and no network namespace may be left.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates, make_certificates
from proxy.demo.dialects import HOSTS
from proxy.demo.faults import Options
from tests.support.background import Providers, providers
from tests.support.netns import left_behind
from tests.support.redis_servers import RedisServer, redis_server
from tests.support.running import RunningProxy, merged, running_proxy
from tests.support.x509 import TestCa
from tests.support.zygote import Zygote

type MakeProxy = Callable[..., RunningProxy]
type MakeProvider = Callable[..., Providers]

OPENAI = "api.openai.com"


def pytest_configure(config: pytest.Config) -> None:
    """Names the markers."""
    config.addinivalue_line("markers", "slow: takes more than ten seconds; deselect with -m 'not slow'")


def children() -> list[str]:
    """The command lines of this process's children that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "multiprocessing.resource_tracker" not in line:  # Python's own, which ends with this process
                    found.append(line)
    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Whatever tests start, they stop."""
    before = {*children()}
    yield
    left = [each for each in children() if each not in before]
    assert left == []
    assert left_behind() == []


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The providers' throw-away CA, and their certificate."""
    return make_certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def certified(tmp_path: Path) -> TestCa:
    """An authority for origins of the test's own."""
    return TestCa(tmp_path)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with redis_server(tmp_path / "redis") as server:
        yield server


def towards(provider: Providers, certificates: Certificates, *hosts: str) -> dict[str, object]:
    """Settings that lead these hosts (all providers, when none is named) to a simulator."""
    resolve = dict(provider.addresses(*(hosts or HOSTS)))
    return {"upstream": {"resolve": resolve, "extra_ca": [str(certificates.ca)]}}


@pytest.fixture(scope="session")
def shared_provider(authority: Certificates) -> Iterator[Providers]:
    """The session's simulator: use `provider`."""
    with providers(authority) as running:
        yield running


@pytest.fixture
def provider(shared_provider: Providers) -> Iterator[Providers]:
    """The session's simulator, as it was at its start."""
    shared_provider.start_over()
    yield shared_provider
    shared_provider.start_over()


@pytest.fixture(scope="session")
def shared_proxy(
    shared_provider: Providers, authority: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    """The session's proxy: use `proxy`."""
    with running_proxy(tmp_path_factory.mktemp("proxy"), towards(shared_provider, authority)) as running:
        yield running


@pytest.fixture
def proxy(shared_proxy: RunningProxy) -> RunningProxy:
    """The session's proxy, with the settings' defaults."""
    assert shared_proxy.process.is_running(), shared_proxy.process.output
    return shared_proxy


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """What no other test asks."""
    return f"asked by {request.node.nodeid}"


@pytest.fixture
def make_provider(authority: Certificates) -> Iterator[MakeProvider]:
    """Makes simulators: `make_provider(Options(...))`; `tls=False` for plain HTTP. All are stopped."""
    with contextlib.ExitStack() as stack:

        def make(options: Options | None = None, *, tls: bool = True) -> Providers:
            return stack.enter_context(providers(authority if tls else None, options))

        yield make


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """What proxies are forked from."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def make_proxy(authority: Certificates, tmp_path: Path, zygote: Zygote) -> Iterator[MakeProxy]:
    """Makes proxies in front of a simulator: `make_proxy(provider, {settings})`. All are stopped."""
    with proxies(authority, tmp_path, zygote) as make:
        yield make


@pytest.fixture
def make_process(authority: Certificates, tmp_path: Path) -> Iterator[MakeProxy]:
    """The same, as processes from scratch: for what happens when they start and end."""
    with proxies(authority, tmp_path, None) as make:
        yield make


@contextlib.contextmanager
def proxies(authority: Certificates, tmp_path: Path, zygote: Zygote | None) -> Iterator[MakeProxy]:
    """What makes proxies, until the block is left."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def make(
            provider: Providers | None, settings: Mapping[str, object] | None = None, directory: Path | None = None
        ) -> RunningProxy:
            base = towards(provider, authority) if provider is not None else {}
            where = directory or tmp_path / f"proxy-{next(numbers)}"
            return stack.enter_context(running_proxy(where, merged(base, settings or {}), zygote=zygote))

        yield make
