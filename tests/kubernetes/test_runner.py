"""The runner's own rules: variables as the kubelet makes them, files as it mounts them, users as runtimes do."""

import os
from pathlib import Path

import pytest

from tests.injector.pods import pod
from tests.kubernetes.identity import setpriv
from tests.kubernetes.rootfs import Image, script
from tests.kubernetes.variables import SERVICES, expanded, field, variables
from tests.kubernetes.volumes import volumes


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("$(A)/$(A)", "x/x"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$x"),
        ("$A costs $5, $(A", "$A costs $5, $(A"),
        ("ends with $", "ends with $"),
    ],
)
def test_references_are_replaced_as_kubernetes_documents_it(written: str, told: str) -> None:
    assert expanded(written, {"A": "x"}) == told


def test_variables_refer_to_earlier_ones_and_to_services() -> None:
    entries = [
        {"name": "EARLY", "value": "$(LATE)"},
        {"name": "LATE", "value": "l"},
        {"name": "BOTH", "value": "$(LATE) $(KUBERNETES_SERVICE_HOST)"},
        {"name": "LATE", "value": "changed"},
    ]
    made = variables({"env": entries}, pod(), {})
    assert made == {**SERVICES, "EARLY": "$(LATE)", "BOTH": "l 10.96.0.1", "LATE": "changed"}


def test_fields_and_secrets_are_looked_up() -> None:
    document = pod(metadata={"labels": {"example.com/team": "search"}})
    entries = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['example.com/team']"}}},
        {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "s", "key": "url"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "other", "optional": True}}},
    ]
    made = variables({"env": entries}, document, {"s": {"url": "u"}})
    assert made == {**SERVICES, "POD": "web", "TEAM": "search", "URL": "u"}
    assert field(document, "metadata.labels['none']") == ""


def test_a_user_that_is_not_root_has_no_capability_to_fall_back_on() -> None:
    context = {"runAsUser": 7, "runAsGroup": 8, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    command = setpriv({"securityContext": context}, pod())
    assert {"--reuid=7", "--regid=8", "--bounding-set=-all", "--no-new-privs"} <= set(command)


def test_a_container_says_more_than_its_pod() -> None:
    shared = pod(securityContext={"runAsUser": 1, "runAsGroup": 2})
    capabilities = {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    command = setpriv({"securityContext": {"runAsUser": 0, "capabilities": capabilities}}, shared)
    assert {"--reuid=0", "--regid=2", "--bounding-set=-all,+net_admin"} <= set(command)
    with pytest.raises(AssertionError, match="root"):
        setpriv({"securityContext": {"runAsNonRoot": True}}, pod())


def test_a_config_map_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    volume = {"name": "roots", "configMap": {"name": "ours", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    with volumes(pod(volumes=[volume]), tmp_path, {"ours": {"ca.crt": "pem", "other": ""}}) as made:
        assert sorted(each.name for each in made["roots"].iterdir() if not each.name.startswith("..")) == ["ca.crt"]
        assert (made["roots"] / "ca.crt").readlink() == Path("..data/ca.crt")
        assert (made["roots"] / "ca.crt").read_text() == "pem"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("context", "group"), [({}, 0), ({"fsGroup": 3000}, 3000)])
def test_a_secrets_files_are_roots_and_of_the_pods_group(tmp_path: Path, context: dict, group: int) -> None:
    secret = {"secretName": "ours", "defaultMode": 0o440, "items": [{"key": "k", "path": "tls.key"}]}
    document = pod(securityContext=context, volumes=[{"name": "keys", "secret": secret}])
    with volumes(document, tmp_path, {}, {"ours": {"k": "hidden", "other": ""}}) as made:
        file = made["keys"] / "tls.key"
        found = file.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, group, 0o440)
        assert file.read_text() == "hidden"
        assert not (made["keys"] / "other").exists()
    assert not file.exists()


def test_a_secret_that_is_not_there_keeps_a_pod_from_starting_unless_it_is_optional(tmp_path: Path) -> None:
    secret = {"secretName": "none", "items": [{"key": "k", "path": "f"}]}
    with (
        pytest.raises(AssertionError, match="there is no secret none"),
        volumes(pod(volumes=[{"name": "v", "secret": secret}]), tmp_path / "a", {}),
    ):
        pass
    with volumes(pod(volumes=[{"name": "v", "secret": {**secret, "optional": True}}]), tmp_path / "b", {}) as made:
        assert not (made["v"] / "f").exists()


def test_a_part_that_is_not_there_yet_is_mounted_as_an_empty_folder(tmp_path: Path) -> None:
    """So what is mounted by subPath must have been written before."""
    mount = {"name": "trust", "mountPath": "/etc/ssl/cert.pem", "subPath": "bundle.pem"}
    script(tmp_path / "root", Image(()), {"volumeMounts": [mount]}, {"trust": tmp_path}, tmp_path)
    assert (tmp_path / "bundle.pem").is_dir()
