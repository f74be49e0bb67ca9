"""cache invalidate against an admin listener."""

import json
import time

import pytest

from tests.cli.conftest import Run
from tests.cli.test_cache import Admin, admin

__all__ = ["admin"]

DONE = json.dumps({"stamp": 7, "unreached": []}).encode()


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("--tag", "nightly"), {"tag": "nightly"}),
        (("--model", "gpt-4*"), {"model": "gpt-4*"}),
        (("--provider", "openai"), {"provider": "openai"}),
        (("--label", "app=a"), {"label": "app=a"}),
        (("--namespace", "team-*"), {"namespace": "team-*"}),
        (("--fingerprint", "ABCDEF01"), {"fingerprint": "abcdef01"}),
        (("--all",), {"all": ""}),
    ],
)
def test_one_option_says_what_to_forget(
    skinflint: Run, admin: Admin, options: tuple[str, ...], body: dict[str, str]
) -> None:
    admin.body = DONE
    assert skinflint("cache", "invalidate", *options, "--admin", admin.address).exit_code == 0
    assert admin.asked == ["POST /v1/cache/invalidate"]
    assert json.loads(admin.bodies[0]) == body


def test_an_age_becomes_a_moment(skinflint: Run, admin: Admin) -> None:
    admin.body = DONE
    before = time.time()
    assert skinflint("cache", "invalidate", "--older-than", "24h", "--admin", admin.address).exit_code == 0
    moment = float(json.loads(admin.bodies[0])["older_than"])
    assert before - 86_400.1 <= moment <= time.time() - 86_399.9


@pytest.mark.parametrize("options", [(), ("--all", "--tag", "a"), ("--tag", "a", "--model", "b")])
def test_anything_but_one_option_is_a_mistake(skinflint: Run, admin: Admin, options: tuple[str, ...]) -> None:
    result = skinflint("cache", "invalidate", *options, "--admin", admin.address)
    assert (result.exit_code, "exactly one of --tag" in result.stderr, admin.asked) == (2, True, [])


def test_an_age_that_is_none_is_a_mistake(skinflint: Run, admin: Admin) -> None:
    result = skinflint("cache", "invalidate", "--older-than", "yesterday", "--admin", admin.address)
    assert (result.exit_code, "24h" in result.stderr, admin.asked) == (2, True, [])


def test_what_was_not_told_is_named(skinflint: Run, admin: Admin) -> None:
    admin.status, admin.body = 503, json.dumps({"stamp": 7, "unreached": ["redis"]}).encode()
    result = skinflint("cache", "invalidate", "--all", "--admin", admin.address)
    assert (result.exit_code, "not told yet: redis" in result.stderr) == (1, True)


def test_the_reason_of_a_refusal_is_said(skinflint: Run, admin: Admin) -> None:
    admin.status, admin.body = 400, json.dumps({"error": "label: must be NAME=VALUE"}).encode()
    result = skinflint("cache", "invalidate", "--label", "app", "--admin", admin.address)
    assert (result.exit_code, "must be NAME=VALUE" in result.stderr) == (2, True)
