"""Wrong values: the schema knows every key and no other, and what contradicts itself is refused with its name."""

from collections.abc import Iterator

import pytest

from tests.chart.helm import CHART, Helm, RefusedError, Values
from tests.chart.matrix import ALL, PEM, gateway, injector, webhook
from tests.support.processes import ROOT


def properties(schema: dict, whole: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every key that a schema knows, with what it says about it."""
    if "$ref" in schema:
        schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
    for key, below in schema.get("properties", {}).items():
        here = f"{path}.{key}".lstrip(".")
        yield here, below
        yield from properties(below, whole, here)


def keys(values: dict, path: str = "") -> Iterator[str]:
    """Every key of values."""
    for key, below in values.items():
        here = f"{path}.{key}".lstrip(".")
        yield here
        if isinstance(below, dict):
            yield from keys(below, here)


# Below these the schema leaves what Kubernetes or Skinflint know better, or keys are the user's own.
FREE = (
    "podSecurityContext",
    "securityContext",
    "behavior",
    "requests",
    "limits",
    "claims",
    "issuerRef",
    "matchConditions",
)


def is_ours(path: str) -> bool:
    """Is a key one of the chart's own?"""
    return not any(part in FREE for part in path.split(".")[:-1])


def test_the_schema_and_the_values_have_the_same_keys(helm: Helm) -> None:
    schema = helm.schema()
    known = {path for path, _ in properties(schema, schema) if is_ours(path) and not path.endswith(".claims")}
    assert {path for path in keys(helm.default_values()) if is_ours(path)} == known - {"global"}


def test_unknown_keys_are_refused_everywhere(helm: Helm) -> None:
    schema = helm.schema()
    for path, below in [("", schema), *properties(schema, schema)]:
        if "properties" in below or path == "":
            values: dict = {"nonsense": 1}
            for part in reversed(path.split(".") if path else []):
                values = {part: values}
            with pytest.raises(RefusedError, match="additional properties 'nonsense' not allowed"):
                helm.render(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (injector(replica=3), "at '/injector': additional properties 'replica' not allowed"),
        (injector(replicas=0), "at '/injector/replicas': minimum: got 0, want 1"),
        (injector(replicas="2"), "at '/injector/replicas': got string, want integer"),
        (webhook(failurePolicy="fail"), "'/injector/webhook/failurePolicy': value must be one of 'Fail', 'Ignore'"),
        (webhook(timeoutSeconds=31), "at '/injector/webhook/timeoutSeconds': maximum: got 31, want 30"),
        ({"sidecar": {"mode": "sideways"}}, "value must be one of 'hosts', 'env', 'redirect'"),
        ({"sidecar": {"hosts": ["*.example.com"]}}, "at '/sidecar/hosts/0'"),
        ({"sidecar": {"ports": {"admin": 80}}}, "at '/sidecar/ports/admin': minimum: got 80, want 1,024"),
        ({"sidecar": {"resources": {"limits": {"memory": "lots"}}}}, "at '/sidecar/resources/limits/memory'"),
        ({"sidecar": {"secretEnv": {"A": {"name": "n"}}}}, "missing property 'key'"),
        ({"sidecar": {"startupSeconds": 1}}, "at '/sidecar/startupSeconds': minimum: got 1, want 5"),
        (gateway(workers="many"), "value must be 'auto'"),
        (gateway(kind="StatefulSet"), "value must be one of 'Deployment', 'DaemonSet'"),
        (gateway(podDisruptionBudget={"maxUnavailable": 0}), "at '/gateway/podDisruptionBudget/maxUnavailable'"),
        (gateway(data={"size": "big"}), "at '/gateway/data/size'"),
        ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(helm: Helm, values: Values, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        helm.render(values)
    assert said in str(caught.value)


def existing(**values: object) -> Values:
    """A certificate that is there already."""
    return webhook(tls={"mode": "existing", "existing": values})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (injector(enabled=False), "injector.enabled, gateway.enabled: nothing would be installed"),
        (injector(podDisruptionBudget={"minAvailable": 2}), "must be less than injector.replicas, which is 2"),
        (existing(caBundle=PEM), "injector.webhook.tls.existing.secretName: is needed with mode existing"),
        (existing(secretName="s"), "injector.webhook.tls.existing.caBundle: is needed with mode existing"),
        (existing(secretName="s", caBundle="LS0tLS1C"), "caBundle: must be PEM"),
        (
            injector(policy={"enabled": True, "closedActions": ["Deny", "Warn"]}),
            "injector.policy.closedActions: Deny and Warn cannot be used together",
        ),
        ({"sidecar": {"settings": {"data_dir": "/x"}}}, "sidecar.settings.data_dir: is said by the chart"),
        (
            {"sidecar": {"settings": {"ledger": {"url": "postgresql://u:hush@db/x"}}}},
            "sidecar.settings.ledger.url: has a password, which a ConfigMap would show",
        ),
        (
            {
                "sidecar": {"settings": {"ledger": {"url": "sqlite:///x"}}},
                "postgresql": {"sidecars": {"secretName": "s"}},
            },
            "sidecar.settings.ledger.url: is said by the chart; postgresql.sidecars.secretName has it",
        ),
        ({"sidecar": {"ports": {"admin": 19180}}}, "sidecar.ports: must be three different numbers"),
        (
            {"sidecar": {"env": {"A": "x"}, "secretEnv": {"A": {"name": "n", "key": "k"}}}},
            "sidecar.env.A: also comes from a Secret",
        ),
        (gateway(settings={"workers": 2}), "gateway.settings.workers: is said by the chart; use gateway.workers"),
        (gateway(settings={"drain": {"timeout_s": 1}}), "gateway.settings.drain.timeout_s: is said by the chart; use"),
        (
            gateway(settings={"access": {"kubernetes": {"enabled": False}}}),
            "gateway.settings.access.kubernetes.enabled: is said by the chart",
        ),
        (
            gateway(settings={"ledger": {"url": "postgresql+asyncpg://u:hu/sh@db/x"}}),
            "gateway.settings.ledger.url: has a password",
        ),
        (
            gateway(settings={"ledger": {"url": "postgresql+asyncpg://db/x?user=u&password=hush"}}),
            "gateway.settings.ledger.url: has a password",
        ),
        (
            gateway(env={"SKINFLINT_LEDGER__URL": "postgresql+asyncpg://u:hush@db/x"}),
            "gateway.env.SKINFLINT_LEDGER__URL: has a password",
        ),
        (
            {"sidecar": {"env": {"SKINFLINT_CACHE__REDIS__URL": "redis://:hush@r"}}},
            "sidecar.env.SKINFLINT_CACHE__REDIS__URL: has a password",
        ),
        (
            gateway(settings={"cache": {"redis": {"url": "rediss://:hush@r"}}}),
            "gateway.settings.cache.redis.url: has a password",
        ),
        (
            {
                **gateway(env={"SKINFLINT_LEDGER__URL": "sqlite:///x"}),
                "postgresql": {"gateway": {"secretName": "p"}},
            },
            "gateway.env.SKINFLINT_LEDGER__URL: also comes from a Secret",
        ),
        (gateway(ca={"mode": "existing"}), "gateway.ca.secretName: is needed with mode existing"),
        (gateway(ca={"mode": "certManager"}), "gateway.ca.certManager.issuerRef: is needed with mode certManager"),
        (gateway(tls={"enabled": True}), "gateway.tls.secretName: is needed with gateway.tls.enabled"),
        (gateway(tls={"clientCa": {"secretName": "c"}}), "gateway.tls.clientCa.secretName: clients show"),
        (
            gateway(kubernetes={"enabled": True}, serviceAccount={"create": False}),
            "gateway.serviceAccount.name: is needed with gateway.kubernetes.enabled",
        ),
        (gateway(service={"loadBalancerSourceRanges": ["10.0.0.0/8"]}), "gateway.service.type is ClusterIP"),
        (
            gateway(autoscaling={"enabled": True}, keda={"enabled": True, "triggers": [{"type": "cpu"}]}),
            "gateway.keda.enabled: not together with gateway.autoscaling.enabled",
        ),
        (gateway(keda={"enabled": True}), "gateway.keda.triggers: needs at least one"),
        (
            gateway(kind="DaemonSet", autoscaling={"enabled": True}),
            "autoscaling.enabled: not with gateway.kind DaemonSet",
        ),
        (
            gateway(autoscaling={"enabled": True, "minReplicas": 11}),
            "gateway.autoscaling.minReplicas: must not be more than maxReplicas, which is 10",
        ),
        (
            gateway(autoscaling={"enabled": True, "cpuUtilization": None}),
            "gateway.autoscaling: needs cpuUtilization, or",
        ),
        (
            gateway(autoscaling={"enabled": True}, resources={"requests": {"cpu": None}}),
            "gateway.resources.requests.cpu: is needed with gateway.autoscaling.cpuUtilization",
        ),
        (
            gateway(
                autoscaling={"enabled": True},
                vpa={"enabled": True, "updateMode": "Recreate", "controlledResources": ["cpu"]},
            ),
            "gateway.vpa.controlledResources: not cpu together with",
        ),
        (gateway(replicas=1, data={"kind": "claim"}), "gateway.data.claimName: is needed with gateway.data.kind claim"),
        (gateway(data={"kind": "claim", "claimName": "c"}), "gateway.data.kind: claim is for a Deployment with"),
        ({**gateway(), "redis": {"gateway": {"caKey": "ca"}}}, "redis.gateway.caKey: is a key of"),
        (
            {**gateway(), "redis": {"gateway": {"secretName": "r", "certificateKey": "c"}}},
            "redis.gateway.certificateKey, redis.gateway.privateKeyKey: both or none",
        ),
        ({**gateway(), "postgresql": {"gateway": {"caKey": "ca"}}}, "postgresql.gateway.caKey: is a key of"),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_name(helm: Helm, values: Values, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        helm.render(values)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_all_problems_are_told_at_once(helm: Helm) -> None:
    with pytest.raises(RefusedError) as caught:
        helm.render({"sidecar": {"ports": {"admin": 19180}}, "gateway": {"enabled": True, "tls": {"enabled": True}}})
    assert "sidecar.ports" in str(caught.value)
    assert "gateway.tls.secretName" in str(caught.value)


@pytest.mark.parametrize("name", sorted(ALL))
def test_lint_finds_nothing_but_that_there_is_no_icon(helm: Helm, name: str) -> None:
    assert helm.lint(ALL[name]) == ["icon is recommended"]


def test_the_policy_needs_a_cluster_that_has_it(helm: Helm) -> None:
    values = injector(policy={"enabled": True})
    said = str(helm.lint(values, "v1.29.3"))
    assert "injector.policy.enabled: needs Kubernetes 1.30 or newer; this is v1.29.3" in said
    assert helm.lint(values, "v1.30.0-eks-1") == ["icon is recommended"]


def test_the_charts_version_is_skinflints() -> None:
    text = (CHART / "Chart.yaml").read_text("utf-8")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = next(line for line in project.splitlines() if line.startswith("version = ")).partition('"')[2].rstrip('"')
    assert f'appVersion: "{version}"' in text
