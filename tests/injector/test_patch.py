"""What the injector does to pods, and which it refuses."""

import copy
import itertools
import json
import re
from pathlib import Path

import jsonpatch
import pytest

from config.load import SettingsLoader
from proxy.injector import names
from proxy.injector.document import section
from proxy.injector.modes.redirect import rules
from proxy.injector.patch import Injected, Skipped, inject
from tests.injector.pods import HOSTS, injected, patched, plan, pod, refusal, variables

MODES = ("hosts", "env", "redirect")


@pytest.mark.parametrize("mode", MODES)
def test_the_sidecar_is_native_and_first(mode: str) -> None:
    made = patched(pod(initContainers=[{"name": "migrate", "image": "m"}]), plan(mode=mode))
    names = [each["name"] for each in made["spec"]["initContainers"]]
    assert names == [*(["skinflint-redirect"] if mode == "redirect" else []), "skinflint", "migrate"]
    sidecar = next(each for each in made["spec"]["initContainers"] if each["name"] == "skinflint")
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar


@pytest.mark.parametrize("mode", MODES)
def test_containers_of_another_webhook_get_theirs_when_asked_again(mode: str) -> None:
    made = plan(mode=mode)
    once = patched(pod(), made)
    once["spec"]["containers"].append({"name": "late", "image": "late:1"})
    once["spec"]["initContainers"].insert(0, {"name": "istio-init", "image": "istio:1"})
    twice = patched(once, made)
    assert [each["name"] for each in twice["spec"]["initContainers"]][-1] == "istio-init"
    for each in (twice["spec"]["containers"][1], twice["spec"]["initContainers"][-1]):
        assert variables(each) == variables(twice["spec"]["containers"][0])
        assert each["volumeMounts"] == twice["spec"]["containers"][0]["volumeMounts"]
    assert json.loads(twice["metadata"]["annotations"]["skinflint.dev/status"])["containers"] == [
        "istio-init", "app", "late",
    ]  # fmt: skip
    assert injected(twice, made).operations == ()


def test_defaults_that_a_server_filled_in_are_no_reason_for_another_patch() -> None:
    made = patched(pod())
    made["spec"]["initContainers"][0] |= {"terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "Always"}
    made["spec"]["initContainers"][0]["startupProbe"]["httpGet"]["scheme"] = "HTTP"
    assert injected(made).operations == ()


@pytest.mark.parametrize(
    "more",
    [
        {"command": ["sleep", "infinity"]},
        {"envFrom": [{"configMapRef": {"name": "x"}}]},
        {"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}},
        {"securityContext": {"capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]}}},
    ],
)
def test_a_sidecar_that_somebody_else_has_added_to_is_made_anew(more: dict) -> None:
    made = patched(pod())
    forged = copy.deepcopy(made)
    container = forged["spec"]["initContainers"][0]
    for key, value in more.items():
        container[key] = {**container.get(key, {}), **value} if isinstance(value, dict) else value
    assert patched(forged) == made


def test_a_sidecar_of_older_settings_is_made_anew_in_its_place() -> None:
    made = patched(patched(pod(), plan(image="old:1")), plan(image="new:1"))
    assert [each["image"] for each in made["spec"]["initContainers"]] == ["new:1"]


def test_the_key_is_in_memory_and_mounted_by_the_sidecar_alone() -> None:
    made = patched(pod())
    volume = next(each for each in made["spec"]["volumes"] if each["name"] == "skinflint-ca")
    assert volume["emptyDir"]["medium"] == "Memory"
    mounted = [mount["name"] for each in made["spec"]["containers"] for mount in each["volumeMounts"]]
    assert mounted == ["skinflint-trust"]
    assert made["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] is True


def test_hosts_are_aliased_to_both_loopbacks_and_env_mode_tells_of_the_proxy() -> None:
    made = patched(pod())
    assert made["spec"]["hostAliases"] == [{"ip": ip, "hostnames": list(HOSTS)} for ip in ("127.0.0.1", "::1")]
    assert "HTTPS_PROXY" not in variables(made["spec"]["containers"][0])
    assert [each["ip"] for each in patched(pod(), plan(ipv6=False))["spec"]["hostAliases"]] == ["127.0.0.1"]
    env = patched(pod(), plan(mode="env"))
    assert "hostAliases" not in env["spec"]
    assert variables(env["spec"]["containers"][0])["HTTPS_PROXY"] == "http://127.0.0.1:19180"


def test_a_host_that_the_pod_aliases_itself_stays_there_and_is_said() -> None:
    document = pod(hostAliases=[{"ip": "10.0.0.7", "hostnames": ["api.openai.com"]}])
    made = patched(document)
    assert made["spec"]["hostAliases"][0] == {"ip": "10.0.0.7", "hostnames": ["api.openai.com"]}
    assert made["spec"]["hostAliases"][1]["hostnames"] == ["api.anthropic.com"]
    assert "api.openai.com" in injected(document).warnings[0]


def test_a_proxy_of_its_own_keeps_a_container_from_ours_but_not_from_trust() -> None:
    document = pod({"name": "app", "image": "a", "env": [{"name": "ALL_PROXY", "value": "socks5://x"}]})
    made = variables(patched(document, plan(mode="env"))["spec"]["containers"][0])
    assert "HTTPS_PROXY" not in made
    assert "NODE_USE_ENV_PROXY" not in made
    assert made["SSL_CERT_FILE"].startswith("/etc/skinflint/trust/")
    assert "keeps its own ALL_PROXY" in injected(document, plan(mode="env")).warnings[0]


def test_variables_by_env_from_are_said_to_give_way() -> None:
    document = pod({"name": "app", "image": "a", "envFrom": [{"configMapRef": {"name": "c"}}]})
    assert "envFrom" in injected(document).warnings[0]


@pytest.mark.parametrize(("mode", "said"), [("hosts", 1), ("redirect", 1), ("env", 0)])
def test_an_excluded_container_is_left_alone_and_where_that_is_not_enough_it_is_said(mode: str, said: int) -> None:
    """Hosts file and network are the pod's, so its calls come to the sidecar in these modes all the same."""
    document = pod(
        {"name": "app", "image": "a"},
        {"name": "mesh", "image": "m"},
        annotations={"skinflint.dev/exclude-containers": "mesh", "skinflint.dev/mode": mode},
    )
    assert patched(document)["spec"]["containers"][1] == {"name": "mesh", "image": "m"}
    warnings = injected(document).warnings
    assert len(warnings) == said
    assert all(f"container mesh is excluded, but in mode {mode} its calls" in each for each in warnings)


def test_an_excluded_container_that_is_not_there_is_said() -> None:
    document = pod(annotations={"skinflint.dev/exclude-containers": "misspelt"})
    assert injected(document).warnings == (
        "annotation skinflint.dev/exclude-containers: there is no container misspelt",
    )


def test_system_stores_are_overlaid_where_that_is_asked_for() -> None:
    document = pod(annotations={"skinflint.dev/system-store": "true"})
    mounts = patched(document)["spec"]["containers"][0]["volumeMounts"]
    assert [each["mountPath"] for each in mounts if "subPath" in each] == [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    ]  # fmt: skip
    mine = {"name": "app", "image": "a", "volumeMounts": [{"name": "mine", "mountPath": "/etc/ssl/certs"}]}
    own = pod(mine, annotations={"skinflint.dev/system-store": "true"}, volumes=[{"name": "mine", "emptyDir": {}}])
    assert len(patched(own)["spec"]["containers"][0]["volumeMounts"]) == 4
    assert "/etc/ssl/certs" in injected(own).warnings[0]


def test_roots_of_a_config_map_reach_the_sidecar() -> None:
    made = patched(pod(annotations={"skinflint.dev/extra-ca-configmap": "corporate"}))
    sidecar = made["spec"]["initContainers"][0]
    assert variables(sidecar)["SKINFLINT_UPSTREAM__EXTRA_CA"] == "/etc/skinflint/extra-ca/ca.crt"
    assert made["spec"]["volumes"][-1]["configMap"]["name"] == "corporate"


def test_annotations_say_mode_hosts_and_resources() -> None:
    wanted = {"mode": "hosts", "hosts": "A.openai.azure.com", "resources": '{"limits": {"memory": "1Gi", "cpu": "2"}}'}
    made = patched(pod(annotations={f"skinflint.dev/{key}": value for key, value in wanted.items()}), plan(mode="env"))
    assert "a.openai.azure.com" in made["spec"]["hostAliases"][0]["hostnames"]
    assert made["spec"]["initContainers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi", "cpu": "2"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mode", "sideways", "hosts, env, redirect"),
        ("hosts", "*.openai.azure.com", "exact host name"),
        ("hosts", "10.0.0.1", "exact host name"),
        ("exclude-cidrs", "10.0.0.0/99", "network"),
        ("exclude-cidrs", "fd00::%0 } accept\n    tcp dport 443 accept\n    ip6 daddr { fd00::/64", "network"),
        ("system-store", "maybe", '"true" or "false"'),
        ("resources", "cpu=1", "must be JSON"),
        ("resources", '{"limits": {"gpu": "1"}}', "allowed: cpu, memory"),
        ("resources", '{"limits": {"cpu": 1}}', "texts by name"),
    ],
)
def test_an_annotation_that_cannot_be_followed_refuses_the_pod(key: str, value: str, said: str) -> None:
    message = refusal(pod(annotations={f"skinflint.dev/{key}": value}))
    assert f"skinflint.dev/{key}" in message
    assert said in message


def test_an_unknown_annotation_is_said() -> None:
    assert "skinflint.dev/mod " in injected(pod(annotations={"skinflint.dev/mod": "env"})).warnings[0]


PORT_443 = {"name": "app", "image": "a", "ports": [{"containerPort": 443}]}
AS_1337 = {"name": "app", "image": "a", "securityContext": {"runAsUser": 1337}}


@pytest.mark.parametrize(
    ("mode", "document", "said"),
    [
        ("hosts", pod(hostNetwork=True), "hostNetwork"),
        ("env", pod(os={"name": "windows"}), "windows"),
        ("hosts", pod(PORT_443), "port 443"),
        ("env", pod({"name": "a", "image": "a", "ports": [{"containerPort": 19180}]}), "ports.proxy"),
        ("redirect", pod({"name": "a", "image": "a", "ports": [{"containerPort": 19181}]}), "ports.redirect"),
        ("env", pod({"name": "a", "image": "a", "ports": [{"containerPort": 19190}]}), "ports.admin"),
        ("redirect", pod(AS_1337), "user 1337"),
        ("redirect", pod(securityContext={"runAsUser": 1337}), "user 1337"),
        ("hosts", pod({"name": "skinflint", "image": "a"}), "names that Skinflint uses"),
        ("hosts", pod(volumes=[{"name": "skinflint-ca", "emptyDir": {}}]), "names that Skinflint uses"),
        (
            "hosts",
            pod(securityContext={"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "1024"}]}),
            "ip_unprivileged_port_start is 1024",
        ),
        ("hosts", {"metadata": [], "spec": {}}, "malformed: metadata must be an object"),
        ("hosts", {"metadata": {}, "spec": {"containers": "none"}}, "malformed: containers must be a list"),
        ("hosts", {"metadata": {}, "spec": {}}, "no containers"),
    ],
)
def test_a_pod_that_cannot_be_served_is_refused_and_told_why(mode: str, document: dict, said: str) -> None:
    assert said in refusal(document, plan(mode=mode))


@pytest.mark.parametrize(
    ("mode", "document"),
    [
        ("env", pod(PORT_443)),
        ("hosts", pod(AS_1337)),
        ("hosts", pod({"name": "quic", "image": "a", "ports": [{"containerPort": 443, "protocol": "UDP"}]})),
    ],
)
def test_what_harms_one_mode_is_no_matter_to_another(mode: str, document: dict) -> None:
    patched(document, plan(mode=mode))


def test_a_pod_keeps_the_mode_that_it_was_injected_in() -> None:
    made = patched(pod(), plan(mode="hosts"))
    assert "injected in mode hosts and now asks for env" in refusal(made, plan(mode="env"))


@pytest.mark.parametrize(
    ("document", "namespace"),
    [
        (pod(metadata={"labels": {"skinflint.dev/inject": "false"}}, hostNetwork=True), "shop"),
        (pod(), "kube-system"),
        (pod(annotations={"kubernetes.io/config.mirror": "x"}), "shop"),
    ],
)
def test_pods_that_are_not_meant_stay_as_they_are(document: dict, namespace: str) -> None:
    assert isinstance(inject(document, namespace, plan()), Skipped)


def test_calls_are_attributed_to_the_workload_behind_the_owner() -> None:
    owners = {
        "Deployment/web": ("ReplicaSet", "web-7d4b9c", {"pod-template-hash": "7d4b9c"}),
        "ReplicaSet/lonely-1": ("ReplicaSet", "lonely-1", {}),
        "CronJob/nightly": ("Job", "nightly-29001234", {}),
        "Job/once": ("Job", "once", {}),
        "StatefulSet/db": ("StatefulSet", "db", {}),
    }
    for expected, (kind, name, labels) in owners.items():
        owner = {"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": True}
        made = patched(pod(metadata={"ownerReferences": [owner], "labels": labels}))
        told = variables(made["spec"]["initContainers"][0])
        assert told["SKINFLINT_ATTRIBUTION__LABELS__WORKLOAD"] == expected


def test_the_proxys_settings_reach_the_sidecar_and_are_not_expanded() -> None:
    made = plan(settings={"attribution": {"labels": {"a": "$(HOME)"}}, "profile": "development"}, env={"A": "b"})
    told = variables(patched(pod(), made)["spec"]["initContainers"][0])
    assert told["SKINFLINT_ATTRIBUTION"] == '{"labels":{"a":"$$(HOME)"}}'
    assert told["SKINFLINT_PROFILE"] == "development"
    assert told["A"] == "b"


def _expanded(value: str) -> str:
    """What a kubelet makes of a variable's value, where A is known to be `secret`."""
    return re.sub(r"\$(\$|\(A\))", lambda found: "$" if found[1] == "$" else "secret", value)


@pytest.mark.parametrize("text", ["$(A)", "$$(A)", "$$$(A)", "a$$b", "$"])
def test_dollars_reach_the_sidecar_as_they_are(text: str) -> None:
    owner = {"apiVersion": "v1", "kind": "Job", "name": text, "uid": "u", "controller": True}
    made = patched(pod(metadata={"ownerReferences": [owner]}), plan(settings={"attribution": {"labels": {"a": text}}}))
    told = variables(made["spec"]["initContainers"][0])
    assert _expanded(told["SKINFLINT_ATTRIBUTION"]) == f'{{"labels":{{"a":"{text}"}}}}'
    assert _expanded(told["SKINFLINT_ATTRIBUTION__LABELS__WORKLOAD"]) == f"Job/{text}"


@pytest.mark.parametrize("mode", MODES)
def test_the_proxy_takes_what_the_sidecar_is_told(mode: str) -> None:
    told = {"cache": {"sampling": "any"}, "upstream": {"retries": 1}, "workers": "auto"}
    sidecar = patched(pod(), plan(mode=mode, settings=told))["spec"]["initContainers"][-1]
    run, *arguments = sidecar["args"]
    flags: dict[str, list[str]] = {}
    for name, value in itertools.batched(arguments, 2):
        flags.setdefault(name, []).append(value)
    loader = SettingsLoader(None, flags, {"HOME": "/", **variables(sidecar)}, "production")
    settings = loader.load()
    assert run == "run"
    assert {each.mode for each in settings.listeners} == {{"env": "regular", "redirect": "transparent"}.get(mode, mode)}
    assert all(each.address.startswith(("127.0.0.1:", "[::1]:")) for each in settings.listeners)
    assert (settings.cache.sampling, settings.upstream.retries, settings.workers) == ("any", 1, "auto")
    assert settings.data_dir / "ca" == Path(names.CA_DIR)
    assert settings.trust_dir == Path(names.TRUST_DIR)


def test_pull_secrets_are_added_once() -> None:
    made = patched(pod(imagePullSecrets=[{"name": "mine"}]), plan(image_pull_secrets=["mine", "ours"]))
    assert made["spec"]["imagePullSecrets"] == [{"name": "mine"}, {"name": "ours"}]


def test_a_pod_that_goes_deep_is_served_like_any_other() -> None:
    deep: dict = {}
    for _ in range(800):
        deep = {"f:a": deep}
    document = pod()
    section(document, "metadata")["managedFields"] = [{"fieldsV1": deep}]
    decision = inject(document, "shop", plan())
    assert isinstance(decision, Injected)
    assert decision.operations == injected(pod()).operations


def test_many_warnings_are_cut_short() -> None:
    documents = [{"name": f"c{number}", "image": "a", "envFrom": [{"prefix": "x"}]} for number in range(40)]
    warnings = injected(pod(*documents)).warnings
    assert len(warnings) == 16
    assert warnings[-1] == "and 25 more"


def test_networks_within_networks_are_one_in_the_rules() -> None:
    assert "ip daddr { 10.0.0.0/8 } return" in rules(19181, ("10.1.0.0/16", "10.0.0.0/8"))
    assert "ip6 daddr { fd00::/8 } return" in rules(19181, ("fd00::/8",))


def test_the_patch_names_members_as_json_pointers_do() -> None:
    operations = injected(pod(annotations={"a": "b"})).operations
    assert "/metadata/annotations/skinflint.dev~1status" in [each["path"] for each in operations]
    jsonpatch.JsonPatch(list(operations))
