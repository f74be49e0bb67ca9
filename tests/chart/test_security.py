"""The restricted pod security standard for all our pods, and rights: none, unless they are asked for."""

import pytest

from tests.chart.helm import Helm, Rendered, pods
from tests.chart.matrix import ALL, gateway

# What the standard allows.
VOLUMES = {"configMap", "emptyDir", "secret", "projected", "downwardAPI", "csi", "persistentVolumeClaim", "ephemeral"}


def test_pods_meet_the_restricted_standard(case: Rendered) -> None:
    for _, template in pods(case):
        spec = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 1337
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"sysctls", "seLinuxOptions"} & spec["securityContext"].keys()
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= VOLUMES
        assert "initContainers" not in spec
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["privileged"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_pods_say_what_they_need_and_have_no_limit_of_cpu(case: Rendered) -> None:
    for _, template in pods(case):
        for container in template["spec"]["containers"]:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_there_are_no_rights_unless_they_are_asked_for(name: str, renderings: dict[str, Rendered]) -> None:
    rendered, values = renderings[name], str(ALL[name])
    asks_for_pods = "'kubernetes': {'enabled': True}" in values
    assert bool(rendered.of("ClusterRole")) is bool(rendered.of("ClusterRoleBinding")) is asks_for_pods
    assert bool(rendered.of("Role")) is bool(rendered.of("Job"))
    for each, template in pods(rendered):
        is_gateway = template["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"
        has_token = template["spec"]["automountServiceAccountToken"]
        assert has_token is (each["kind"] == "Job" or (is_gateway and asks_for_pods))
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_right_to_pods_is_to_look_at_them(renderings: dict[str, Rendered]) -> None:
    role = renderings["known by pod"].one("ClusterRole")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


def test_who_makes_the_ca_may_read_and_change_nothing_else(renderings: dict[str, Rendered]) -> None:
    rendered = renderings["gateway"]
    name = rendered.one("Job")["metadata"]["name"]
    for rule in rendered.one("Role")["rules"]:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == [name]
    hooks = [each for each in rendered.objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    assert {each["kind"] for each in hooks} == {"Job", "ServiceAccount", "Role", "RoleBinding"}
    weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks}
    assert weights.pop("Job") > max(weights.values())


def test_the_gateways_egress_leaves_out_metadata_and_private_networks(renderings: dict[str, Rendered]) -> None:
    policy = renderings["gateway's network policy"].one("NetworkPolicy")
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in policy["spec"]["egress"][1]["to"]}
    assert {"169.254.0.0/16", "10.0.0.0/8", "100.64.0.0/10"} <= {*blocks["0.0.0.0/0"]}
    assert {"fc00::/7", "fe80::/10"} == {*blocks["::/0"]}
    narrow = renderings["narrow network policy"].one("NetworkPolicy")["spec"]
    assert [rule["ports"][0]["port"] for rule in narrow["ingress"]] == ["admin"]
    assert [rule["ports"][0]["port"] for rule in narrow["egress"]] == [53, 443, 6380, 5432, 6443, 3128]


def test_no_secret_of_ours_has_a_value_of_the_users(helm: Helm) -> None:
    rendered = helm.render(gateway(settings={"routes": []}))
    assert rendered.of("Secret") == []
