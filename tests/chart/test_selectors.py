"""Which pods the sidecar is for: each goes to exactly one webhook, or to none, and policy and webhooks agree."""

import itertools

import pytest

from tests.chart.helm import NAMESPACE, Helm, Rendered, Values
from tests.chart.matrix import injector, webhook
from tests.chart.selectors import asked

INJECT = "skinflint.dev/inject"
POLICY = "skinflint.dev/failure-policy"

NAMESPACES: list[dict[str, str]] = [
    dict(zip((INJECT, POLICY), (inject, policy), strict=True))
    for inject in ("enabled", "disabled", "true", "")
    for policy in ("ignore", "fail", "sometimes", "")
]
PODS: list[dict[str, str]] = [{INJECT: "true"}, {INJECT: "false"}, {INJECT: "enabled"}, {INJECT: ""}, {}]

DEFAULTS: list[tuple[Values, str, bool]] = [
    ({}, "Fail", True),
    (webhook(failurePolicy="Ignore"), "Ignore", True),
    (webhook(namespaceFailurePolicy=False), "Fail", False),
    (webhook(failurePolicy="Ignore", namespaceFailurePolicy=False), "Ignore", False),
]


def wanted(namespace: dict[str, str], pod: dict[str, str], default: str, by_namespace: bool) -> list[str]:
    """What the README says: the failure policy of the one webhook, or nothing."""
    is_for = (
        namespace[INJECT] == "enabled" and pod.get(INJECT) != "false"
        if namespace[INJECT]
        else pod.get(INJECT) == "true"
    )
    chosen = {"ignore": "Ignore", "fail": "Fail"}.get(namespace[POLICY], default) if by_namespace else default
    return [chosen] if is_for else []


def present(labels: dict[str, str]) -> dict[str, str]:
    """A namespace's labels; an empty text in the table means that there is none."""
    return {key: value for key, value in labels.items() if value}


@pytest.mark.parametrize(("values", "default", "by_namespace"), DEFAULTS)
def test_a_pod_goes_to_one_webhook_or_none(helm: Helm, values: Values, default: str, by_namespace: bool) -> None:
    webhooks = helm.render(values).one("MutatingWebhookConfiguration")["webhooks"]
    assert len(webhooks) == (4 if by_namespace else 2)
    for namespace, pod in itertools.product(NAMESPACES, PODS):
        found = asked(webhooks, "shop", present(namespace), pod)
        policies = [each["failurePolicy"] for each in found]
        assert policies == wanted(namespace, pod, default, by_namespace), (namespace, pod)


def test_system_namespaces_and_our_own_are_never_asked_about(helm: Helm) -> None:
    values = webhook(excludeNamespaces=["cert-manager"])
    webhooks = helm.render(values).one("MutatingWebhookConfiguration")["webhooks"]
    for name in ("kube-system", "kube-public", "kube-node-lease", NAMESPACE, "cert-manager"):
        for namespace, pod in itertools.product(NAMESPACES, PODS):
            assert asked(webhooks, name, present(namespace), pod) == []


def test_webhooks_have_names_of_their_own(renderings: dict[str, Rendered]) -> None:
    names = [each["name"] for each in renderings["defaults"].one("MutatingWebhookConfiguration")["webhooks"]]
    assert names == [
        "namespaces.fail.skinflint.dev",
        "namespaces.ignore.skinflint.dev",
        "pods.fail.skinflint.dev",
        "pods.ignore.skinflint.dev",
    ]


def test_webhooks_are_asked_for_new_pods_alone(case: Rendered) -> None:
    for configuration in case.of("MutatingWebhookConfiguration"):
        for each in configuration["webhooks"]:
            assert each["rules"] == [
                {
                    "operations": ["CREATE"],
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "resources": ["pods"],
                    "scope": "Namespaced",
                }
            ]
            assert each["admissionReviewVersions"] == ["v1"]
            assert each["clientConfig"]["service"]["path"] == "/mutate"


@pytest.mark.parametrize("default", ["Fail", "Ignore"])
def test_the_policy_is_for_the_pods_that_go_to_a_webhook_and_denies_where_it_fails_closed(
    helm: Helm, default: str
) -> None:
    rendered = helm.render(injector(policy={"enabled": True}, webhook={"failurePolicy": default}))
    webhooks = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    bindings = rendered.of("ValidatingAdmissionPolicyBinding")
    scopes = [{**each["spec"]["matchResources"], "actions": each["spec"]["validationActions"]} for each in bindings]
    actions = {"Fail": ["Deny"], "Ignore": ["Warn", "Audit"]}
    for name, namespace, pod in itertools.product(("shop", "kube-system", NAMESPACE), NAMESPACES, PODS):
        told = [each["actions"] for each in asked(scopes, name, present(namespace), pod)]
        assert told == [actions[each["failurePolicy"]] for each in asked(webhooks, name, present(namespace), pod)]


def test_without_a_way_out_pods_that_opt_out_are_looked_at_too(renderings: dict[str, Rendered]) -> None:
    bindings = renderings["policy without way out"].of("ValidatingAdmissionPolicyBinding")
    scopes = [each["spec"]["matchResources"] for each in bindings]
    assert len(asked(scopes, "shop", {INJECT: "enabled"}, {INJECT: "false"})) == 1
    assert asked(scopes, "shop", {}, {INJECT: "false"}) == []
    message = renderings["policy without way out"].one("ValidatingAdmissionPolicy")["spec"]["validations"][0]["message"]
    assert "label" not in message
