"""Links to real servers, closed when the test ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proxy.fleet.link import LinkSettings, RedisLink
from tests.support.redis_servers import RedisServer, redis_server
from tests.support.waiting import until

type MakeLink = Callable[..., Awaitable[RedisLink]]


@pytest.fixture
async def make_link() -> AsyncIterator[MakeLink]:
    """`await make_link(url, is_up=False)`: has connected, unless told not to wait for that. Its deadlines are long
    enough for a busy machine."""
    links: list[RedisLink] = []

    async def make(url: str, *, is_up: bool = True, **more: object) -> RedisLink:
        settings = LinkSettings(url, **{"read_timeout_s": 0.3, "write_timeout_s": 0.6, **more})  # type: ignore[arg-type]
        link = RedisLink(settings).start()
        links.append(link)
        if is_up:
            await until(lambda: link.stats().connections >= 2, "the link is up")
        return link

    yield make
    for link in links:
        await link.close()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests of a file that leave it as it was."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One of the test's own."""
    with redis_server(tmp_path / "redis") as server:
        yield server
