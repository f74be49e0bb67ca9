"""Whole patches, to be read. `python -m tests.injector.test_golden` writes them anew."""

import json

import pytest
import yaml

from tests.injector.pods import GOLDEN, golden, injected, patched, plan

NAMES = sorted(file.stem for file in GOLDEN.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_patch_is_the_golden_one(name: str) -> None:
    case = golden(name)
    made = injected(case["pod"], plan(**case["settings"]))
    assert json.loads(json.dumps(made.operations)) == case["patch"]
    assert list(made.warnings) == case["warnings"]


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_pod_is_complete_after_one_patch(name: str) -> None:
    case = golden(name)
    made = plan(**case["settings"])
    assert injected(patched(case["pod"], made), made).operations == ()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _write() -> None:
    for name in NAMES:
        case = golden(name)
        made = injected(case["pod"], plan(**case["settings"]))
        case |= {"patch": json.loads(json.dumps(made.operations)), "warnings": list(made.warnings)}
        text = yaml.dump(case, Dumper=_Dumper, sort_keys=False, width=116, default_flow_style=None)
        (GOLDEN / f"{name}.yaml").write_text(text, "utf-8")


if __name__ == "__main__":
    _write()
