"""The pods of these tests: an application as its owner writes it, reviewed by the injector, admitted and scheduled.

Nothing is added by hand to what the injector says, but what an API server and a scheduler say: namespace and node.
"""

import base64
import copy
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonpatch
import orjson

from config.injector import InjectorSettings
from proxy.injector.document import Object
from proxy.injector.known import plan_for
from proxy.injector.review import API_VERSION, KIND, review
from tests.kubernetes.rootfs import Image
from tests.support.processes import ROOT, clients_python

NAMESPACE, NODE, NAME = "shop", "node-7", "web-7d4b9c-x2x4z"
APP, SIDECAR = "app", "skinflint"
USER, GROUP = 2000, 3000  # of the application, and of the pod's volumes
EXTRA_CA = "our-roots"

_SETTINGS: Mapping[str, object] = {
    "image": "skinflint:1",
    "labels": {"team": "example.com/team"},
    "settings": {"ledger": {"flush_s": 0.05}, "drain": {"timeout_s": 5}, "cache": {"sampling": "any"}},
}


def images(programs: Path) -> dict[str, Image]:
    """Every image by its name. `programs`: what the application's image has besides this machine's runtimes."""
    interpreter = Path(sys.base_prefix)
    here = Path(sys.prefix)
    clients = clients_python()
    runtimes = [clients.parents[1], clients.parents[1].resolve(), _base(clients)] if clients else []
    return {
        "skinflint:1": Image((str(here / "bin" / "skinflint"),), (here, here.resolve(), interpreter, *_sources())),
        "app:1": Image(("sleep", "infinity"), (programs, ROOT / "tests", interpreter, *runtimes)),
    }


def _sources() -> tuple[Path, ...]:
    return tuple(ROOT / name for name in ("proxy", "addons", "config"))


def _base(python: Path) -> Path:
    return Path(os.path.realpath(python)).parents[1]


def application(
    mode: str, *containers: Mapping[str, object], annotations: Mapping[str, str] | None = None, **spec: object
) -> Object:
    """What its owner writes: one container that waits, unless told otherwise, and one that calls before it starts."""
    prefixed = {"skinflint.dev/mode": mode, "skinflint.dev/extra-ca-configmap": EXTRA_CA, **(annotations or {})}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c", "uid": "u", "controller": True}
    labels = {"pod-template-hash": "7d4b9c", "example.com/team": "search"}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": labels, "annotations": prefixed, "ownerReferences": [owner]},
        "spec": {
            "securityContext": {"runAsUser": USER, "runAsGroup": USER, "fsGroup": GROUP},
            "containers": [dict(each) for each in containers] or [{"name": APP, "image": "app:1"}],
            **spec,
        },
    }
    return copy.deepcopy(made)  # type: ignore[return-value]


def admitted(pod: Object, **settings: object) -> Object:
    """The pod after the injector's review, with its namespace and node."""
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "request": {
            "uid": "1",
            "operation": "CREATE",
            "namespace": NAMESPACE,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        },
    }
    plan = plan_for(InjectorSettings.model_validate({**_SETTINGS, **settings}), Path("injector.yaml"))
    response = orjson.loads(review(orjson.dumps(body), plan).body)["response"]
    assert response["allowed"], response
    patch = orjson.loads(base64.b64decode(response["patch"]))
    made: Object = jsonpatch.apply_patch(pod, patch)
    made["metadata"]["namespace"] = NAMESPACE  # type: ignore[index, call-overload]
    made["spec"]["nodeName"] = NODE  # type: ignore[index, call-overload]
    return made
