"""The gateway's rendered ConfigMap, read by the proxy's own loader with the rendered variables and files.

Pods are made anew for a setting that cannot change while the proxy runs, and only for such a one.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from config.load import SettingsLoader
from config.reload import changed_fixed_keys
from config.schema import Settings
from tests.chart.gateway_pod import SECRETS, environment, lay_out, pod_of
from tests.chart.helm import CHART, Helm, Rendered
from tests.chart.matrix import GATEWAY, gateway


def loaded(rendered: Rendered, folder: Path) -> Settings:
    """What the proxy makes of it all."""
    return SettingsLoader(lay_out(rendered, folder), {}, environment(rendered), "production").load()


@pytest.mark.parametrize("name", sorted(name for name in GATEWAY if name not in ("long names", "both")))
def test_each_case_of_the_matrix_is_understood(renderings: dict[str, Rendered], tmp_path: Path, name: str) -> None:
    rendered = renderings[name]
    settings = loaded(rendered, tmp_path)
    container = pod_of(rendered)["containers"][0]
    ports = {int(listener.address.rpartition(":")[2]) for listener in settings.listeners}
    ports.add(int(settings.admin.address.rpartition(":")[2]))
    assert ports == {port["containerPort"] for port in container["ports"]}
    assert settings.profile == "gateway"
    assert settings.destinations.allow == ("providers",)
    assert settings.destinations.private is False
    assert settings.attribution.call_metric_labels == ("tenant",), "dashboards show tenants by it"
    grace = pod_of(rendered)["terminationGracePeriodSeconds"]
    assert grace >= settings.drain.linger_s + settings.drain.timeout_s + 5


def test_files_and_variables_become_settings(renderings: dict[str, Rendered], tmp_path: Path) -> None:
    stores = loaded(renderings["stores"], tmp_path)
    assert stores.cache.redis.url == SECRETS["SKINFLINT_CACHE__REDIS__URL"]
    assert stores.ledger.url == SECRETS["SKINFLINT_LEDGER__URL"]
    redis = stores.cache.redis
    assert redis.password_file is not None
    assert redis.ca is not None
    assert redis.certificate is not None
    assert redis.key is not None
    tls = loaded(renderings["client certificates"], tmp_path).listeners[1].tls
    assert tls is not None
    assert tls.client_ca is not None
    assert loaded(renderings["credentials"], tmp_path).access.credentials is not None
    by_node = loaded(renderings["known by pod, on each node"], tmp_path).access.kubernetes
    assert (by_node.enabled, by_node.node) == (True, "http://filled.in")
    assert loaded(renderings["known by pod"], tmp_path).access.kubernetes.node is None


def test_one_value_is_for_clusters_of_ipv6_alone(renderings: dict[str, Rendered], tmp_path: Path) -> None:
    settings = loaded(renderings["gateway of IPv6"], tmp_path)
    addresses = [settings.admin.address, *(listener.address for listener in settings.listeners)]
    assert addresses == ["[::]:9190", "[::]:3128"]


def test_files_of_postgresql_are_where_libpq_is_told(renderings: dict[str, Rendered]) -> None:
    rendered = renderings["stores"]
    told = {name: value for name, value in environment(rendered).items() if name.startswith("PGSSL")}
    folder = "/etc/skinflint/postgresql"
    files = {"PGSSLROOTCERT": f"{folder}/ca.crt", "PGSSLCERT": f"{folder}/tls.crt", "PGSSLKEY": f"{folder}/tls.key"}
    assert told == files
    volume = next(each for each in pod_of(rendered)["volumes"] if each["name"] == "postgresql")
    assert {item["path"] for item in volume["secret"]["items"]} == {"ca.crt", "tls.crt", "tls.key"}
    assert "PGPASSWORD" in environment(rendered)


def test_settings_of_ones_own_are_kept_beside_the_charts(helm: Helm, tmp_path: Path) -> None:
    values = gateway(
        credentials={"secretName": "c"},
        settings={
            "access": {"sources": {"10.0.0.0/8": "inside"}},
            "destinations": {"allow": ["providers", "llm.example.com"]},
            "drain": {"idle_s": 2},
            "cache": {"ttl_s": 1_000_000, "memory": {"max_bytes": 268_435_456}},
        },
    )
    settings = loaded(helm.render(values), tmp_path)
    assert settings.access.sources == {"10.0.0.0/8": "inside"}
    assert settings.access.credentials is not None
    assert settings.destinations.allow == ("providers", "llm.example.com")
    assert settings.drain.timeout_s == 120
    assert settings.cache.memory.max_bytes == 268_435_456


def mark(rendered: Rendered) -> str:
    """What makes new pods when it changes."""
    found: str = rendered.one("Deployment")["spec"]["template"]["metadata"]["annotations"][
        "skinflint.dev/fixed-settings"
    ]
    return found


@pytest.mark.parametrize(
    "values",
    [
        {"workers": 2},
        {"tls": {"enabled": True, "secretName": "t"}},
        {"settings": {"cache": {"disk": {"max_bytes": 0}}}},
        {"settings": {"cache": {"redis": {"prefix": "other"}}}},
        {"settings": {"ledger": {"url": "sqlite:///other"}}},
        {"settings": {"cache": {"ttl_s": 5}}},
        {"settings": {"cache": {"memory": {"max_bytes": 1_000_000}}}},
        {"settings": {"destinations": {"allow": ["any"]}, "access": {"sources": {"10.0.0.0/8": "a"}}}},
        {"settings": {"routes": [{"model": "gpt*", "policy": {"ttl_s": 5}}]}},
        {"drain": {"timeoutSeconds": 60}},
        {"credentials": {"secretName": "c"}},
    ],
)
def test_pods_are_made_anew_for_what_cannot_change_while_running(
    helm: Helm, tmp_path: Path, values: Mapping[str, object]
) -> None:
    before, after = helm.render(gateway()), helm.render(gateway(**values))
    if changed_fixed_keys(loaded(before, tmp_path), loaded(after, tmp_path)):
        assert mark(before) != mark(after)
    elif values.keys() == {"settings"} and "memory" not in str(values):
        assert before.one("Deployment") == after.one("Deployment"), "it is taken live"


def test_the_marked_settings_are_those_that_the_proxy_names() -> None:
    """Whoever fixes another setting must tell the chart, or running pods would refuse what an upgrade brings."""
    source = inspect.getsource(changed_fixed_keys)
    fixed = {*re.findall(r'"([a-z_.]+)"[]:]', source)}
    template = (CHART / "templates" / "gateway" / "_settings.tpl").read_text("utf-8")
    listed = {*re.findall(r'"([a-z_.]+)"', template[template.index("gatewayFixedSettings") :])}
    assert {"listeners", "cache.memory.max_bytes"} <= fixed <= listed


def test_replicas_are_replaced_one_by_one_and_never_fewer(renderings: dict[str, Rendered]) -> None:
    for name in ("gateway", "daemon set"):
        (workload,) = [each for each in renderings[name].objects if each["kind"] in ("Deployment", "DaemonSet")]
        strategy = workload["spec"]["strategy" if workload["kind"] == "Deployment" else "updateStrategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    claimed = renderings["one replica, own claim"].one("Deployment")["spec"]
    assert claimed["strategy"] == {"type": "Recreate"}


def test_the_configmap_is_yaml_that_a_person_can_read(renderings: dict[str, Rendered]) -> None:
    text = renderings["gateway"].one("ConfigMap")["data"]["skinflint.yaml"]
    assert yaml.safe_load(text)["ca_dir"] == "/etc/skinflint/ca"
    assert "{" not in text
