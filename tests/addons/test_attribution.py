"""Labels: where they come from, and what they become when a field changes."""

import pytest

from addons.attribution import Attribution
from proxy.exchange.headers import HeaderList
from tests.support.exchanges import settings


def made(*, headers: dict[str, str], labels: dict[str, str] | None = None, **more: object) -> Attribution:
    return Attribution(settings(attribution={"headers": headers, "labels": labels or {}}, **more))


def test_a_field_wins_over_what_is_fixed_and_a_later_one_over_an_earlier() -> None:
    attribution = made(headers={"X-App": "app", "x-second": "app"}, labels={"app": "a", "team": "t"})
    assert attribution.labels([]) == {"app": "a", "team": "t"}
    assert attribution.labels([(b"x-app", b"b")]) == {"app": "b", "team": "t"}
    assert attribution.labels([(b"x-second", b"c"), (b"x-app", b"\xe9" * 200)]) == {"app": "é" * 128, "team": "t"}


@pytest.mark.parametrize("field", ["Host", "Content-Length", "Expect", "Connection", "TE", "Transfer-Encoding"])
def test_what_is_about_the_message_is_no_label(field: str) -> None:
    assert made(headers={field: "x"}).fields == frozenset()


def test_labels_decide_when_a_route_looks_at_them() -> None:
    assert not made(headers={}, routes=[{"model": "m"}]).decides
    assert made(headers={}, routes=[{"model": "m"}, {"label": {"app": "a"}}]).decides


@pytest.mark.parametrize(
    "before", [[(b"x-app", b"a"), (b"x-team", b"t")], [(b"x-team", b"t"), (b"x-app", b"a"), (b"accept", b"*")]]
)
def test_a_change_gives_what_the_whole_request_would(before: HeaderList) -> None:
    attribution = made(headers={"x-app": "app", "x-team": "team"}, labels={"fixed": "f"})
    changes = [(b"x-app", b"b"), (b"accept", b"text")]
    after = [(name, dict(changes).get(name, value)) for name, value in before]
    labels = attribution.labels(before)
    assert attribution.changed(labels, changes) == attribution.labels(after)
    assert labels == attribution.labels(before)


def test_a_field_that_never_came_through_stays_out() -> None:
    attribution = made(headers={"x-app": "app"})
    assert attribution.changed({}, [(b"x-app", b"b")]) == {}


@pytest.mark.parametrize(
    ("headers", "labels"), [({"x-app": "app"}, {"app": "a"}), ({"x-app": "app", "x-team": "app"}, {})]
)
def test_a_label_with_two_sources_needs_the_whole_request(headers: dict[str, str], labels: dict[str, str]) -> None:
    assert made(headers=headers, labels=labels).changed({"app": "a"}, [(b"x-app", b"b")]) is None
