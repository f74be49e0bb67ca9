"""The sidecar: a native one, so an init container that goes on. It starts before all others, which wait until it is up
(its listeners open and its trust files written), and stops after the application, draining. Jobs end without it.

Rules: it satisfies the restricted pod security standard. What it is told comes as variables, since a ConfigMap of the
injector's namespace cannot be mounted here. No readiness probe: whether a provider answers is not the pod's readiness.
"""

from typing import Final

import orjson

from config.environment import variable_name
from config.injector import InjectorSettings
from proxy.injector import names
from proxy.injector.attribution import attribution, literal
from proxy.injector.document import Json, Object
from proxy.injector.volumes import sidecar_mounts
from proxy.injector.wishes import Wishes

_ADMIN_PORT: Final = "skinflint-admin"  # at most 15 characters; a PodMonitor names it

# Nothing of the restricted standard is left open, whatever the pod says for its other containers.
RESTRICTED: Final[Object] = {
    "runAsUser": names.USER,
    "runAsGroup": names.USER,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def sidecar(pod: Object, wishes: Wishes, settings: InjectorSettings, listen: list[str]) -> Object:
    """The container. `listen`: the arguments of `skinflint run` that say where and how it listens."""
    admin = settings.ports.admin
    arguments: list[Json] = ["run", *listen, "--admin", f"{settings.admin_host}:{admin}"]
    container: Object = {
        "name": names.SIDECAR,
        "image": settings.image,
        "args": arguments,
        "restartPolicy": "Always",
        "env": list[Json](_environment(pod, wishes, settings)),
        "ports": [{"name": _ADMIN_PORT, "containerPort": admin, "protocol": "TCP"}],
        "startupProbe": _probe("/readyz", admin, period_s=1, failures=settings.startup_s),
        "livenessProbe": _probe("/livez", admin, period_s=10, failures=6),
        "resources": wishes.resources,
        "securityContext": RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": sidecar_mounts(wishes.extra_ca),
    }
    if settings.image_pull_policy is not None:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


def _probe(path: str, port: int, *, period_s: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _environment(pod: Object, wishes: Wishes, settings: InjectorSettings) -> list[Object]:
    """Later entries may refer to earlier ones; of two with one name the last counts, so the operator's come last."""
    told = {**_told(settings), variable_name("data_dir"): names.DATA_DIR, variable_name("trust_dir"): names.TRUST_DIR}
    if wishes.extra_ca:
        roots = f"{names.EXTRA_CA_DIR}/{names.EXTRA_CA_KEY}"
        told[variable_name("upstream.extra_ca")] = roots
        told["NODE_EXTRA_CA_CERTS"] = roots  # one of the variables whose roots go into the bundle
    found: list[Object] = [
        {"name": name, "value": literal(value)} for name, value in told.items() if name not in settings.env
    ]
    labels = [each for each in attribution(pod, settings.labels) if each["name"] not in settings.env]
    secrets: list[Object] = [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key, "optional": secret.optional}},
        }
        for name, secret in settings.secret_env.items()
    ]
    own: list[Object] = [{"name": name, "value": value} for name, value in settings.env.items()]
    return [each for each in (*found, *labels) if each["name"] not in settings.secret_env] + secrets + own


def _told(settings: InjectorSettings) -> dict[str, str]:
    """The proxy's settings as variables, one for each section that says anything."""
    tree = settings.settings.model_dump(mode="json", exclude_unset=True)
    return {
        variable_name(key): value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in tree.items()
        if value is not None
    }
