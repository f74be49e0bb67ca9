"""The injector's settings file: what is wrong in it is said with its line, its key and what is allowed."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.injector import InjectorSettings, load_injector
from config.schema import Settings
from proxy.injector.known import exact_hosts, plan_for
from proxy.providers.registry import Registry


def load(tmp_path: Path, text: str) -> InjectorSettings:
    file = tmp_path / "injector.yaml"
    file.write_text(text, "utf-8")
    return load_injector(file)


def test_an_image_is_all_that_is_needed(tmp_path: Path) -> None:
    assert load(tmp_path, "image: skinflint:1") == InjectorSettings(image="skinflint:1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode: env", "image: is required"),
        ("image: a\nmode: sideways", 'injector.yaml:2: mode: got "sideways"; allowed: hosts, env, redirect'),
        ("image: a\nmodes: env", "injector.yaml:2: modes: is not a setting; did you mean mode?"),
        ("image: a\nports: {admin: 80}", "ports.admin: got the number 80; must be at least 1024"),
        ("image: a\nports: {admin: 19180}", "ports: must be three different numbers"),
        ("image: a\nhosts: ['*.a.com']", "exact host name"),
        ("image: a\nexclude_cidrs: [x]", "must be an address or a network"),
        ("image: a\nresources: {limits: {memory: lots}}", "must be an amount such as 100m"),
        ("image: a\nlabels: {Team: x}", "small letters"),
        ("image: a\nlabels: {model: x}", "cannot be a label of metrics"),
        ("image: a\nenv: {A-B: x}", "name of a variable"),
        (
            "image: a\nenv: {SKINFLINT_LEDGER__URL: 'postgresql://u:hu/s@h@db/x'}",
            "env.SKINFLINT_LEDGER__URL: has a password",
        ),
        ("image: a\nenv: {A: 'redis://r?Password=hush'}", "injector.yaml:2: env.A: has a password"),
        ("image: a\nenv: {A: x}\nsecret_env: {A: {name: n, key: k}}", "is also in env"),
        ("image: a\nsettings: {cache: {tttl_s: 1}}", "did you mean settings.cache.ttl_s?"),
        ("image: a\nsettings: {data_dir: /x}", "injector.yaml:2: settings.data_dir: is said by the injector"),
        ("image: a\nsettings: {ledger: {url: 'postgresql://u:hush@db/x'}}", "secret_env, as SKINFLINT_LEDGER__URL"),
        ("image: a\nenv: {SKINFLINT_ADMIN__ADDRESS: x}", "env.SKINFLINT_ADMIN__ADDRESS: is said by the injector"),
        ("[", "not valid YAML"),
    ],
)
def test_a_mistake_is_said_with_its_place_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_injector(tmp_path / "none.yaml")


def test_providers_that_cannot_be_are_a_mistake_in_the_settings(tmp_path: Path) -> None:
    settings = load(tmp_path, "image: a\nsettings: {disabled_providers: [nobody]}")
    with pytest.raises(SettingsError, match="disabled_providers: 'nobody' is unknown"):
        plan_for(settings, tmp_path / "injector.yaml")


def test_only_exact_names_on_port_443_go_into_hosts_files() -> None:
    hosts = ["llm.example.com", "*.example.org", "elsewhere.example.com:8443", "10.0.0.1", "single"]
    settings = Settings.model_validate({"providers": {"own": {"hosts": hosts}}})
    found = exact_hosts(Registry.from_settings(settings))
    assert "llm.example.com" in found
    assert "api.openai.com" in found
    assert not {"elsewhere.example.com", "10.0.0.1"} & {*found}
    assert not [host for host in found if "*" in host]
