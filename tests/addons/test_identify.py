"""Which provider, operation, model and policy a call is for."""

import pytest

from addons.identify import Identify, is_ambiguous
from config.schema import Settings
from proxy.exchange.model import Exchange, Request
from proxy.exchange.provider import UNKNOWN
from tests.support.exchanges import CHAT, REGISTRY, Origin, Pieces, answer, exchange, request, settings

SAMPLED = CHAT.replace(b',"temperature":0', b"")


async def identified(asked: Request, configured: Settings | None = None) -> Exchange:
    called, origin = exchange(asked), Origin(answer())
    stage = Identify(REGISTRY, configured or Settings())
    await stage.handle(called, origin)
    assert len(origin.asked) == 1
    return called


async def test_a_known_call_is_described() -> None:
    called = await identified(request())
    assert called.provider is not None
    assert (called.provider.name, called.operation.name, called.facts.model) == ("openai", "chat", "gpt-4o-mini")
    assert called.json is not None
    assert called.answers_again
    assert called.collapses
    assert called.ttl_s == Settings().cache.ttl_s


async def test_an_unknown_host_is_left_alone() -> None:
    called = await identified(request(host="example.com"))
    assert called.provider is None
    assert called.operation is UNKNOWN
    assert not called.answers_again
    assert called.json is None


@pytest.mark.parametrize("target", ["/v9/unheard-of", "/", "/v1/chat/completions/extra", "/v1/files"])
async def test_unknown_paths_and_state_are_never_answered_again(target: str) -> None:
    called = await identified(request(target=target))
    assert not called.answers_again
    assert not called.would_answer_again


@pytest.mark.parametrize(
    ("path", "ambiguous"),
    [
        ("/v1/chat/completions", False),
        ("/v1/models/gpt-4.1", False),
        ("/v1/models/..gpt", False),
        ("/v1/models/a;b", False),
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse", False),
        ("/v1/models/../files", True),
        ("/v1/models/./x", True),
        ("/v1/models/..", True),
        ("/v1//chat", True),
        ("/v1/models/%2e%2E/files", True),
        ("/v1/models/..%2ffiles", True),
        ("/v1/models/.%2e%5cfiles", True),
        ("/v1/models/..\\files", True),
        ("/v1/models/..;x/files", True),
        ("/v1/models%2F%2Fx", True),
        ("/v1/models/100%25", False),
    ],
)
def test_paths_that_an_origin_may_read_otherwise(path: str, ambiguous: bool) -> None:
    assert is_ambiguous(path) is ambiguous


async def test_an_ambiguous_path_is_nobodys_twin() -> None:
    called = await identified(request(b"", method="GET", target="/v1/models/%2e%2e/files"))
    assert called.provider is not None
    assert called.operation is UNKNOWN
    assert not called.answers_again


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"', b"\xff", Pieces(b"{}")])
async def test_a_body_that_is_no_json_object_is_never_answered_again(body: bytes | Pieces) -> None:
    called = await identified(request(body))
    assert called.operation.name == "chat"
    assert called.json is None
    assert not called.answers_again


async def test_a_list_of_models_needs_no_body() -> None:
    called = await identified(request(b"", method="GET", target="/v1/models"))
    assert called.answers_again
    assert called.ttl_s == 300


async def test_sampling_keeps_a_call_out_unless_it_is_allowed() -> None:
    called = await identified(request(SAMPLED))
    assert (called.answers_again, called.would_answer_again, called.collapses) == (False, True, False)
    called = await identified(request(SAMPLED), settings(cache={"sampling": "any"}))
    assert (called.answers_again, called.would_answer_again, called.collapses) == (True, False, True)


async def test_state_at_the_provider_keeps_a_call_out() -> None:
    called = await identified(request(CHAT.replace(b"{", b'{"store":true,', 1)))
    assert not called.answers_again
    assert not called.would_answer_again


async def test_tools_may_be_kept_out() -> None:
    with_tools = request(CHAT.replace(b"{", b'{"tools":[{"type":"function","function":{"name":"f"}}],', 1))
    assert (await identified(with_tools)).answers_again
    assert not (await identified(with_tools, settings(cache={"tools": False}))).answers_again
    assert (await identified(request(), settings(cache={"tools": False}))).answers_again


async def test_an_operations_policy_goes_before_the_general_one() -> None:
    operations = {"chat": {"ttl_s": 7, "collapse": False, "sampling": "any"}}
    called = await identified(request(SAMPLED), settings(cache={"operations": operations}))
    assert called.answers_again
    assert not called.collapses
    assert called.ttl_s == 7
    called = await identified(request(), settings(cache={"operations": {"chat": {"cache": False}}}))
    assert not called.answers_again


MATCHING = [
    {"provider": "openai"},
    {"operation": "chat"},
    {"model": "gpt-4o*"},
    {"host": "*.openai.com"},
    {"label": {"app": "billing"}},
    {"provider": "openai", "operation": "chat", "model": "gpt-*", "host": "api.*", "label": {"app": "billing"}},
    {},
]
OTHERS = [
    {"provider": "anthropic"},
    {"operation": "embeddings"},
    {"model": "gpt-5*"},
    {"host": "*.anthropic.com"},
    {"label": {"app": "search"}},
    {"label": {"team": "billing"}},
]


@pytest.mark.parametrize("route", MATCHING)
async def test_a_route_that_matches_goes_before_all(route: dict[str, object]) -> None:
    configured = settings(
        attribution={"labels": {"app": "billing"}},
        cache={"operations": {"chat": {"ttl_s": 7}}},
        routes=[{**route, "policy": {"ttl_s": 3}}, {"policy": {"ttl_s": 4}}],
    )
    assert (await identified(request(), configured)).ttl_s == 3


@pytest.mark.parametrize("route", OTHERS)
async def test_a_route_that_does_not_match_is_passed_over(route: dict[str, object]) -> None:
    configured = settings(attribution={"labels": {"app": "billing"}}, routes=[{**route, "policy": {"ttl_s": 3}}])
    assert (await identified(request(), configured)).ttl_s == 3600


async def test_labels_come_from_the_settings_and_from_fields_that_go_no_further() -> None:
    configured = settings(attribution={"labels": {"app": "a", "team": "t"}, "headers": {"X-App": "app"}})
    called = await identified(request(headers=[(b"x-app", b"b" * 200), (b"x-other", b"1")]), configured)
    assert called.labels == {"app": "b" * 128, "team": "t"}
    names = [name for name, _ in called.request.headers]
    assert b"x-app" not in names
    assert b"x-other" in names


async def test_without_such_fields_the_request_stays_the_same() -> None:
    asked = request(headers=[(b"x-other", b"1")])
    fields = list(asked.headers)
    assert (await identified(asked)).request.headers == fields
