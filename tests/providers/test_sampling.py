"""When a request pins its sampling."""

import pytest

from proxy.providers.sampling import has_seed, is_deterministic


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": 0},
        {"temperature": 0.0},
        {"temperature": -0.0},
        {"top_p": 0},
        {"seed": 7},
        {"seed": 0},
        {"seed": -1, "temperature": 1},
        {"temperature": 0, "n": 4},
    ],
)
def test_a_zero_or_a_seed_pins_the_answer(body: dict[str, object]) -> None:
    assert is_deterministic(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": False},
        {"temperature": "0"},
        {"temperature": None},
        {"temperature": 0.01},
        {"top_p": 1},
        {"seed": None},
        {"seed": True},
        {"seed": "7"},
        {"seed": 7.5},
        {"random_seed": 7},
        {"options": {"temperature": 0}},
    ],
)
def test_anything_else_does_not(body: dict[str, object]) -> None:
    assert not is_deterministic(body)


def test_a_dialect_names_its_own_seed() -> None:
    assert is_deterministic({"random_seed": 7}, seed_key="random_seed")
    assert not has_seed({"seed": 7}, "random_seed")
