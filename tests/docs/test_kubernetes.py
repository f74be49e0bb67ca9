"""docs/kubernetes.md and docs/runbooks.md: what they show works, and what they name exists."""

import re
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import typer.main
import yaml

from config.injector import InjectorSettings
from config.schema import Settings
from proxy import version
from proxy.cli import app
from proxy.edge.runtimes import VARIABLES, Kind
from proxy.injector import names
from proxy.injector.known import exact_hosts
from proxy.injector.patch import Injected, Plan, inject
from proxy.providers.registry import Registry
from tests.chart.helm import NAMESPACE, Helm
from tests.docs.markdown import Block, anchors, blocks, commands, document, headings, links, words
from tests.injector.pods import patched
from tests.support.processes import ROOT

GUIDE, RUNBOOKS = "kubernetes.md", "runbooks.md"
BOTH = (GUIDE, RUNBOOKS)
KUBERNETES = ("1.32", "1.37")  # the schemas' oldest and newest

MANIFESTS = [each for each in blocks(GUIDE, "yaml") if "apiVersion" in yaml.safe_load(each.text)]
VALUES = [each for each in blocks(GUIDE, "yaml") if "apiVersion" not in yaml.safe_load(each.text)]
SHELL = [each for name in BOTH for each in blocks(name, "sh")]


@cache
def plan() -> Plan:
    """The injector's, with its defaults."""
    hosts = exact_hosts(Registry.from_settings(Settings()))
    return Plan(InjectorSettings(image="skinflint"), tuple(hosts), version())


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_a_manifest_is_one_that_kubernetes_takes(block: Block) -> None:
    for schemas in KUBERNETES:
        kubernetes_validate.validate(yaml.safe_load(block.text), schemas, strict=True)


@pytest.mark.parametrize("block", [each for each in MANIFESTS if "kind: Pod" in each.text], ids=str)
def test_a_pod_is_injected_as_its_annotations_say(block: Block) -> None:
    pod = yaml.safe_load(block.text)
    decision = inject(pod, "shop", plan())
    assert isinstance(decision, Injected)
    assert decision.warnings == ()
    status = yaml.safe_load(patched(pod, plan())["metadata"]["annotations"][names.STATUS])
    assert status["mode"] == pod["metadata"].get("annotations", {}).get(names.MODE, "hosts")


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_values_are_taken_by_the_chart_and_settings_by_the_proxy(helm: Helm, block: Block) -> None:
    made = helm.render(yaml.safe_load(block.text))
    for each in made.of("ConfigMap"):
        for name, text in each["data"].items():
            if name == "injector.yaml":
                InjectorSettings.model_validate(yaml.safe_load(text))
            if name == "skinflint.yaml":
                Settings.model_validate(yaml.safe_load(text))


def says(found: object, shown: object) -> bool:
    """Is what is shown a part of what is found? Elements of lists may stand anywhere."""
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(key in found and says(found[key], value) for key, value in shown.items())
    if isinstance(shown, list):
        return isinstance(found, list) and all(any(says(one, each) for one in found) for each in shown)
    return found == shown


def test_what_is_shown_as_injected_is() -> None:
    (block,) = blocks(GUIDE, "yaml injected hosts")
    first = next(yaml.safe_load(each.text) for each in MANIFESTS if "name: first" in each.text)
    assert says(patched(first, plan()), yaml.safe_load(block.text))


# -- commands


def skinflint(parts: list[str]) -> list[str]:
    """What is given to `skinflint` in this command; nothing if another program is called."""
    if parts[0] == "skinflint":
        return parts[1:]
    return parts[parts.index("--") + 2 :] if parts[0] == "kubectl" and "skinflint" in parts[parts.index("--") :] else []


IN_BLOCKS = [
    skinflint(parts)
    for block in SHELL
    for parts in commands(block.text)
    if ("skinflint" in parts and "--" in parts) or parts[0] == "skinflint"
]
IN_WORDS = [word.split()[1:] for name in BOTH for word in sorted(words(name)) if word.startswith("skinflint ")]


@pytest.mark.parametrize("arguments", [*IN_BLOCKS, *IN_WORDS], ids=" ".join)
def test_commands_of_ours_and_their_options_exist(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    for argument in arguments:
        if hasattr(command, "commands") and not argument.startswith("-"):
            assert argument in command.commands, argument
            command = command.commands[argument]
        elif argument.startswith("--"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert argument.partition("=")[0] in known, argument


def test_helm_is_given_values_that_the_chart_takes(helm: Helm) -> None:
    given = [parts for block in SHELL for parts in commands(block.text) if parts[0] == "helm"]
    assert {parts[1] for parts in given} == {"install", "upgrade", "uninstall"}
    for parts in given:
        assert parts[2] == "skinflint"
        assert NAMESPACE in parts
        for key, _, value in (each.partition("=") for each in parts if "=" in each):
            values: object = value
            for part in reversed(key.split(".")):
                values = {part: values}
            helm.render(values)  # type: ignore[arg-type]


def test_objects_that_commands_name_are_the_charts(helm: Helm) -> None:
    made = helm.render({"gateway": {"enabled": True}})
    known = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in made.objects}
    known |= {f"{kind}/skinflint-gateway-ca" for kind in ("secret", "configmap")}  # the job makes them
    for block in SHELL:
        for parts in commands(block.text):
            for kind, name in re.findall(r"(?<!\S)([a-z]+)/(skinflint[\w-]*)", " ".join(parts)):
                if parts[0] == "kubectl":
                    assert f"{kind}/{name}" in known, f"{kind}/{name}"
    assert "skinflint-gateway-ca" in str(made.objects)


# -- words


def test_labels_and_annotations_are_known(helm: Helm) -> None:
    rendered = str(helm.render({"gateway": {"enabled": True, "networkPolicy": {"enabled": True}}}).objects)
    for name in BOTH:
        for found in set(re.findall(r"skinflint\.dev/[a-z-]*[a-z]", document(name))):
            assert found in (names.INJECT_LABEL, *names.ANNOTATIONS) or found in rendered, found
    for annotation in names.ANNOTATIONS:
        assert annotation in document(GUIDE), "every annotation is documented"


def test_variables_that_make_clients_trust_are_those_that_are_set() -> None:
    known = {each.name for each in VARIABLES}
    trust = {each.name for each in VARIABLES if each.kind in (Kind.BUNDLE, Kind.ROOT, Kind.OPTIONS)}
    table = document(GUIDE).partition("## Trust by runtime")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", table))
    assert named <= known
    assert trust - named == {"HTTPLIB2_CA_CERTS", "NIX_SSL_CERT_FILE"}  # of few programs


def test_settings_and_values_that_are_named_exist(helm: Helm) -> None:
    values = helm.default_values()
    settings = Settings().model_dump()
    for name in BOTH:
        for word in words(name):
            path = re.fullmatch(r"([a-z][A-Za-z_]*(?:\.[a-z][A-Za-z_]*)+)(: \S+)?", word)
            if path is None or re.search(r"\.(md|pem|p12|json|yaml|crt|svc|lock|py)$", path[1]):
                continue
            assert is_there(values, path[1]) or is_there(settings, path[1]), word


def is_there(tree: dict, path: str) -> bool:
    """Is this a key? Below an empty mapping everything may be."""
    found: object = tree
    for part in path.split("."):
        if found == {} and found is not tree:
            return True
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


def test_names_with_underscores_are_somewhere_in_the_source() -> None:
    folders = ("proxy", "config", "addons")
    source = "\n".join(path.read_text("utf-8") for each in folders for path in (ROOT / each).rglob("*.py"))
    for name in BOTH:
        for word in words(name):
            if re.fullmatch(r"[a-z]+(_[a-z]+)+", word):
                stem = word.removesuffix("_total")
                assert re.search(rf"\b{stem}(_total)?\b", source), word


def test_links_lead_somewhere() -> None:
    for name in BOTH:
        for link in links(name):
            if link.startswith("https://"):
                continue
            target, _, anchor = link.partition("#")
            path = (ROOT / "docs" / target).resolve() if target else ROOT / "docs" / name
            assert path.exists(), link
            assert not anchor or anchor in anchors(path), link


def test_there_is_a_runbook_for_each_alert_and_no_other(helm: Helm) -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "thresholds": {"spendPerHourUsd": 1}}}}
    rules = helm.render({**values, "gateway": {"enabled": True}}).one("PrometheusRule")
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert headings(RUNBOOKS, 3) == [rule["alert"] for rule in alerts]
    for rule in alerts:
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor in anchors(ROOT / Path(file))
