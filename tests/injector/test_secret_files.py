"""Files of Secrets: the sidecar alone mounts them, and it alone may read them."""

import pytest

from tests.injector.pods import patched, plan, pod, refusal

FILES = {"redis": {"name": "stores", "items": {"ca.crt": "redis-ca"}, "optional": True}, "keys": {"name": "keys"}}


def test_files_of_secrets_are_mounted_by_the_sidecar_alone() -> None:
    spec = patched(pod(), plan(secret_files=FILES))["spec"]
    redis, keys = (each for each in spec["volumes"] if each["name"].startswith("skinflint-files-"))
    items = [{"key": "redis-ca", "path": "ca.crt"}]
    assert redis["secret"] == {"secretName": "stores", "optional": True, "defaultMode": 0o440, "items": items}
    assert keys["secret"] == {"secretName": "keys", "optional": False, "defaultMode": 0o440}
    mounts = [each for each in spec["initContainers"][0]["volumeMounts"] if each.get("readOnly")]
    assert mounts == [
        {"name": "skinflint-files-redis", "mountPath": "/etc/skinflint/redis", "readOnly": True},
        {"name": "skinflint-files-keys", "mountPath": "/etc/skinflint/keys", "readOnly": True},
    ]
    assert [each["name"] for each in spec["containers"][0]["volumeMounts"]] == ["skinflint-trust"]


@pytest.mark.parametrize(
    ("context", "secret_files", "group"), [({}, {}, 1337), ({}, FILES, 0), ({"fsGroup": 3000}, FILES, 1337)]
)
def test_the_sidecar_reads_secrets_as_the_pods_group_or_else_as_roots(
    context: dict, secret_files: dict, group: int
) -> None:
    spec = patched(pod(securityContext=context), plan(secret_files=secret_files))["spec"]
    assert spec["initContainers"][0]["securityContext"]["runAsGroup"] == group
    assert {**spec["securityContext"], "sysctls": []} == {**context, "sysctls": []}


def test_a_volume_of_the_pods_own_that_is_called_like_ours_is_refused() -> None:
    document = pod(volumes=[{"name": "skinflint-files-redis", "emptyDir": {}}])
    assert "names that Skinflint uses are taken: skinflint-files-redis" in refusal(document)
