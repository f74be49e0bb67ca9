"""The injector's rendered ConfigMap, read by its own loader: every key can be said, and the defaults agree."""

import itertools
from pathlib import Path

import pytest

from config.injector import InjectorSettings, load_injector
from proxy.injector.known import plan_for
from tests.chart.helm import Helm, Rendered, Values
from tests.chart.matrix import INJECTOR, PEM

QUICK: Values = {"webhook": {"tls": {"mode": "existing", "existing": {"secretName": "s", "caBundle": PEM}}}}


def loaded(rendered: Rendered, folder: Path) -> InjectorSettings:
    """What the injector makes of its ConfigMap."""
    file = folder / "injector.yaml"
    file.write_text(rendered.one("ConfigMap", "skinflint-injector")["data"]["injector.yaml"], "utf-8")
    settings = load_injector(file)
    plan_for(settings, file)
    return settings


# Every key of the file: how it is said, and what the injector is to make of it.
SAID: dict[str, tuple[Values, object]] = {
    "image": ({"image": "other:2"}, "other:2"),
    "image_pull_policy": ({"imagePullPolicy": "Never"}, "Never"),
    "image_pull_secrets": ({"imagePullSecrets": ["a", "b"]}, ["a", "b"]),
    "redirect_image": ({"redirectImage": "nft:1"}, "nft:1"),
    "mode": ({"mode": "redirect"}, "redirect"),
    "ipv6": ({"ipv6": False}, False),
    "hosts": ({"hosts": ["mine.openai.azure.com"]}, ["mine.openai.azure.com"]),
    "no_proxy": ({"noProxy": [".internal"]}, [".internal"]),
    "exclude_cidrs": ({"excludeCidrs": ["10.0.0.0/8", "fd00::/8"]}, ["10.0.0.0/8", "fd00::/8"]),
    "system_store": ({"systemStore": True}, True),
    "labels": ({"labels": {"team": "example.com/team"}}, {"team": "example.com/team"}),
    "settings": (
        {"settings": {"cache": {"ttl_s": 1_000_000, "sampling": "any"}, "on_disconnect": "drain"}},
        {"cache": {"ttl_s": 1_000_000, "sampling": "any"}, "on_disconnect": "drain"},
    ),
    "env": ({"env": {"SKINFLINT_LOG__LEVEL": "debug", "N": "1"}}, {"SKINFLINT_LOG__LEVEL": "debug", "N": "1"}),
    "secret_env": ({"secretEnv": {"A": {"name": "n", "key": "k"}}}, {"A": {"name": "n", "key": "k"}}),
    "secret_files": (
        {"secretFiles": {"redis": {"name": "n", "items": {"ca.crt": "k"}}, "whole": {"name": "m", "optional": True}}},
        {"redis": {"name": "n", "items": {"ca.crt": "k"}}, "whole": {"name": "m", "optional": True}},
    ),
    "resources": (
        {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "cpu": "2"}}},
        {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "1Gi", "cpu": "2"}},
    ),
    "ports": ({"ports": {"admin": 20001}}, {"admin": 20001}),
    "startup_s": ({"startupSeconds": 60}, 60),
}


def test_every_key_of_the_injectors_settings_can_be_said() -> None:
    assert SAID.keys() | {"admin_host"} == InjectorSettings.model_fields.keys()


def test_one_value_is_for_clusters_of_ipv6_alone(renderings: dict[str, Rendered], tmp_path: Path) -> None:
    rendered = renderings["IPv6 only"]
    assert loaded(rendered, tmp_path).admin_host == "[::]"
    arguments = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--listen=[::]:8443" in arguments


def test_defaults_are_the_injectors_own(helm: Helm, tmp_path: Path) -> None:
    assert loaded(helm.render(), tmp_path) == InjectorSettings(image="skinflint:0.1.0")


@pytest.mark.parametrize("key", sorted(SAID))
def test_a_value_becomes_the_setting(helm: Helm, tmp_path: Path, key: str) -> None:
    values, expected = SAID[key]
    settings = loaded(helm.render({"injector": QUICK, "sidecar": values}), tmp_path)
    assert settings == InjectorSettings.model_validate({"image": "skinflint:0.1.0", key: expected})


@pytest.mark.parametrize("name", sorted(INJECTOR))
def test_each_case_of_the_matrix_is_understood(renderings: dict[str, Rendered], tmp_path: Path, name: str) -> None:
    assert loaded(renderings[name], tmp_path).image == "skinflint:0.1.0"


def test_every_combination_is_understood(helm: Helm, tmp_path: Path) -> None:
    keys = ("mode", "ipv6", "systemStore", "hosts")
    choices = (("hosts", "env", "redirect"), (True, False), (True, False), ([], ["a.example.com"]))
    for chosen in itertools.product(*choices):
        values = dict(zip(keys, chosen, strict=True))
        settings = loaded(helm.render({"injector": QUICK, "sidecar": values}), tmp_path)
        assert (settings.mode, settings.ipv6, settings.system_store) == chosen[:3]


def test_stores_that_are_referred_to_reach_sidecars_as_variables_from_secrets(helm: Helm, tmp_path: Path) -> None:
    stores = {
        "redis": {"sidecars": {"secretName": "redis", "urlKey": "where", "optional": True}},
        "postgresql": {"sidecars": {"secretName": "pg"}},
    }
    values = {"injector": QUICK, "sidecar": {"secretEnv": {"MINE": {"name": "n", "key": "k"}}}, **stores}
    told = {name: secret.model_dump() for name, secret in loaded(helm.render(values), tmp_path).secret_env.items()}
    assert told == {
        "MINE": {"name": "n", "key": "k", "optional": False},
        "SKINFLINT_CACHE__REDIS__URL": {"name": "redis", "key": "where", "optional": True},
        "SKINFLINT_LEDGER__URL": {"name": "pg", "key": "url", "optional": False},
    }


def test_files_of_stores_reach_sidecars_where_their_settings_look_for_them(
    renderings: dict[str, Rendered], tmp_path: Path
) -> None:
    settings = loaded(renderings["stores of sidecars"], tmp_path)
    files = {"password": "password", "ca.crt": "ca", "tls.crt": "crt", "tls.key": "key"}
    assert {name: each.model_dump() for name, each in settings.secret_files.items()} == {
        "redis": {"name": "redis", "items": files, "optional": False},
        "postgresql": {"name": "pg", "items": {"ca.crt": "ca"}, "optional": True},
    }
    redis = settings.settings.cache.redis
    named = [redis.password_file, redis.ca, redis.certificate, redis.key]
    assert named == [Path("/etc/skinflint/redis", name) for name in files]
    assert settings.env == {"PGSSLROOTCERT": "/etc/skinflint/postgresql/ca.crt"}


def test_a_password_for_postgresql_is_a_variable_as_libpq_refuses_files_of_a_group(helm: Helm, tmp_path: Path) -> None:
    keys = {"secretName": "pg", "passwordKey": "pw", "certificateKey": "crt", "privateKeyKey": "key"}
    settings = loaded(helm.render({"injector": QUICK, "postgresql": {"sidecars": keys}}), tmp_path)
    assert settings.secret_env["PGPASSWORD"].key == "pw"
    assert settings.secret_files["postgresql"].items == {"tls.crt": "crt", "tls.key": "key"}
    assert settings.env["PGSSLKEY"] == "/etc/skinflint/postgresql/tls.key"


def test_settings_change_no_pod_of_the_injector_since_it_takes_them_live(helm: Helm) -> None:
    before = helm.render({"injector": QUICK})
    after = helm.render({"injector": QUICK, "sidecar": {"mode": "env"}})
    assert before.one("Deployment") == after.one("Deployment")
    assert before.one("ConfigMap") != after.one("ConfigMap")
