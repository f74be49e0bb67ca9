"""defaults.yaml says what the schema says, and explains it."""

import re
from importlib.resources import files
from pathlib import Path

from config.caching import OperationPolicy
from config.load import SettingsLoader
from config.places import known_keys
from config.schema import Settings
from config.yaml_file import read_value

TEXT = files("config").joinpath("defaults.yaml").read_text("utf-8")


def test_values_equal_the_schemas_defaults() -> None:
    problems: list[object] = []
    given = read_value(TEXT, "defaults.yaml", (), problems)  # type: ignore[arg-type]
    assert not problems
    told = Settings().model_dump(mode="json")
    policies = told["cache"]["operations"]
    for name, policy in policies.items():  # the keys that an operation leaves open stand in one place, under `routes`
        policies[name] = {key: value for key, value in policy.items() if value is not None}
    assert given == told


def test_it_names_every_key_of_a_policy() -> None:
    assert [key for key in OperationPolicy.model_fields if key not in TEXT.partition("# A policy's keys:")[2]] == []


def test_it_names_every_key() -> None:
    assert [key for key in known_keys() if f"{key.rpartition('.')[2]}:" not in TEXT] == []


def test_every_setting_has_its_reason() -> None:
    lines = [line for line in TEXT.splitlines() if re.match(r"\s*(- )?[\w-]+:", line)]
    assert [line for line in lines if "  # " not in line] == []


def test_it_can_be_used_as_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "skinflint.yaml"
    file.write_text(TEXT, "utf-8")
    settings = SettingsLoader(file, {}, {"HOME": "/home/x"}, "production").load()
    assert settings == Settings(data_dir=Path("/home/x/.local/share/skinflint"))
