"""The list of stages is the data path: its order is part of what is promised."""

from dataclasses import replace

from addons import Parts, chain
from proxy.exchange.chain import Handler, Stage, compose
from proxy.exchange.flight import Flight
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import CallRecord, Outcome
from proxy.stores.memory import MemoryStore
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, consumed
from tests.addons.test_meter import Prices
from tests.support.exchanges import CHAT_STREAM, REGISTRY, SSE, Origin, Pieces, answer, exchange, request, settings


class Extra:
    """A stage of somebody else's."""

    name = "extra"

    async def handle(self, called: Exchange, call_next: Handler) -> Response:
        return await call_next(called)


def parts(rows: list[CallRecord], *extra: Stage) -> Parts:
    return Parts(
        registry=REGISTRY,
        pricing=Prices(),
        settled=rows.append,
        store=MemoryStore(1 << 20),
        rules=Rules(),
        tasks=TaskSet(),
        fingerprint_key=b"k" * 32,
        extra=extra,
    )


def test_the_stages_stand_in_this_order() -> None:
    names = [stage.name for stage in chain(settings(), parts([], Extra()))]
    assert names == [
        "meter", "identify", "extra", "compress", "fingerprint", "cache", "batch", "collapse", "observe", "prefixes",
        "ask_usage", "retry", "compress_request",
    ]  # fmt: skip
    assert len(set(names)) == len(names)


class Alone:
    """Peers that make no call."""

    async def join(self, flight: Flight) -> Response | None:
        return None

    def landed(self, flight: Flight) -> None:
        return None


def test_with_other_workers_the_cache_is_asked_again_before_a_call_goes_upstream() -> None:
    names = [stage.name for stage in chain(settings(), replace(parts([]), peers=Alone()))]
    at = names.index("collapse")
    assert names[at : at + 3] == ["collapse", "cache_again", "observe"]
    assert len(set(names)) == len(names)


async def test_a_call_through_all_of_them_is_paid_once_and_then_replayed() -> None:
    rows: list[CallRecord] = []
    origin = Origin(*[answer(Pieces(FIRST, SECOND, USAGE, DONE), headers=SSE) for _ in range(3)])
    failed: list[str] = []
    handler = compose(chain(settings(), parts(rows)), origin, lambda stage, called, failure: failed.append(stage))
    bodies = []
    for _ in range(2):
        called = exchange(request(CHAT_STREAM))
        bodies.append(await consumed(await handler(called)))
        called.finish(101.0)
    assert bodies == [FIRST + SECOND + DONE] * 2
    assert len(origin.asked) == 1
    assert [row.outcome for row in rows] == [Outcome.MISS, Outcome.HIT]
    assert [(row.cost_nanousd, row.saved_nanousd) for row in rows] == [(11_000, 0), (0, 11_000)]
    assert not failed
