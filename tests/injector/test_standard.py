"""The restricted pod security standard, for what is added to a pod; and the words that schemas do not check."""

import pytest

from tests.injector.pods import patched, plan, pod

# What the standard allows a pod that is itself restricted.
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start"}
VOLUMES = {"configMap", "emptyDir", "secret", "projected", "downwardAPI", "csi", "persistentVolumeClaim", "ephemeral"}


@pytest.mark.parametrize("mode", ["hosts", "env"])
def test_a_restricted_pod_stays_restricted(mode: str) -> None:
    annotations = {"skinflint.dev/extra-ca-configmap": "c", "skinflint.dev/system-store": "true"}
    spec = patched(pod(annotations=annotations), plan(mode=mode, secret_files={"redis": {"name": "s"}}))["spec"]
    assert {each["name"] for each in spec.get("securityContext", {}).get("sysctls", [])} <= SYSCTLS
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= VOLUMES
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in spec["initContainers"]:
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] != 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["readOnlyRootFilesystem"] is True
        assert not [port for port in container["ports"] if "hostPort" in port]


def test_redirect_adds_one_capability_to_the_init_container_alone() -> None:
    first, sidecar = patched(pod(), plan(mode="redirect"))["spec"]["initContainers"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert first["securityContext"]["allowPrivilegeEscalation"] is False
    assert "restartPolicy" not in first
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("mode", ["hosts", "env", "redirect"])
def test_words_that_schemas_do_not_check_are_kubernetes_own(mode: str) -> None:
    made = plan(mode=mode, image_pull_policy="Always")
    for container in patched(pod(), made)["spec"]["initContainers"]:
        assert container.get("restartPolicy", "Always") == "Always"
        assert container["imagePullPolicy"] in ("Always", "IfNotPresent", "Never")
        assert container["terminationMessagePolicy"] in ("File", "FallbackToLogsOnError")
        for port in container.get("ports", []):
            assert port["protocol"] in ("TCP", "UDP", "SCTP")
            assert len(port["name"]) <= 15
