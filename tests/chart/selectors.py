"""Kubernetes' label selectors, evaluated: which webhook or binding is for a pod of a namespace."""

from collections.abc import Iterable, Mapping

from tests.chart.helm import Object

type Labels = Mapping[str, str]


def selects(selector: Object, labels: Labels) -> bool:
    """Does a LabelSelector select what has these labels? An empty one selects everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions", []))


def _holds(requirement: Object, labels: Labels) -> bool:
    value = labels.get(requirement["key"])
    match requirement["operator"]:
        case "In":
            return value in requirement["values"]
        case "NotIn":  # what has no such label is not in any list
            return value not in requirement["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(requirement)


def asked(scopes: Iterable[Object], namespace: str, namespace_labels: Labels, pod_labels: Labels) -> list[Object]:
    """The webhooks (or what a binding's matchResources say) that a new pod goes to."""
    labels = {**namespace_labels, "kubernetes.io/metadata.name": namespace}  # every namespace has that one
    return [
        each
        for each in scopes
        if selects(each.get("namespaceSelector", {}), labels) and selects(each.get("objectSelector", {}), pod_labels)
    ]
