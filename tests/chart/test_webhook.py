"""The injector as the chart runs it: the rendered arguments, settings and certificate, asked as an API server asks.

The client knows nothing but the MutatingWebhookConfiguration: it trusts its caBundle alone, for the Service's name.
"""

import base64
import copy
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import jsonpatch
import kubernetes_validate
import pytest

from tests.chart.helm import NAMESPACE, Helm, Object
from tests.chart.matrix import INJECTOR
from tests.chart.selectors import asked
from tests.injector.pods import KUBERNETES, golden, pod, variables
from tests.injector.serving import operations, review
from tests.support.processes import module, running, wait_until

VALUES = {
    "injector": {"lingerSeconds": 0},
    "sidecar": {
        "labels": {"team": "example.com/team"},
        "settings": {"cache": {"sampling": "any"}},
        "hosts": ["mine.openai.azure.com"],
    },
    "redis": {"sidecars": {"secretName": "redis"}},
}


@dataclass(frozen=True, slots=True)
class Injector:
    """A running injector, and what the API server knows about it."""

    address: str
    webhooks: list[Object]
    trust: ssl.SSLContext

    @property
    def name(self) -> str:
        """The name that its certificate must have."""
        service = self.webhooks[0]["clientConfig"]["service"]
        return f"{service['name']}.{service['namespace']}.svc"

    async def answer(self, document: Object, namespace: str = "shop") -> Object:
        """The response to a pod that is to be made."""
        assert len(asked(self.webhooks, namespace, {"skinflint.dev/inject": "enabled"}, {})) == 1
        url = f"https://{self.address}{self.webhooks[0]['clientConfig']['service']['path']}"
        body = review({"namespace": namespace, "object": document})
        tls = {"ssl": self.trust, "server_hostname": self.name}
        async with aiohttp.ClientSession() as client, client.post(url, json=body, **tls) as answer:
            assert answer.status == 200, await answer.text()
            told: Object = await answer.json()
        response: Object = told["response"]
        assert response["uid"] == "u-1"
        return response

    async def made(self, document: Object) -> Object:
        """The pod as it is made, which Kubernetes' schemas accept."""
        response = await self.answer(document)
        assert response["allowed"] is True, response
        changed: Object = jsonpatch.apply_patch(copy.deepcopy(document), operations(response))
        for version in KUBERNETES:
            kubernetes_validate.validate(changed, version, strict=True)
        return changed


def lay_out(helm: Helm, folder: Path) -> tuple[list[str], Object]:
    """The files of the rendered volumes, and the arguments that find them there."""
    rendered = helm.render(VALUES)
    spec = rendered.one("Deployment")["spec"]["template"]["spec"]
    arguments: list[str] = spec["containers"][0]["args"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in spec["containers"][0]["volumeMounts"]:
        place = folder / mount["name"]
        place.mkdir()
        volume = volumes[mount["name"]]
        if "secret" in volume:
            found = rendered.one("Secret", volume["secret"]["secretName"])["data"]
            for item in volume["secret"]["items"]:
                (place / item["path"]).write_bytes(base64.b64decode(found[item["key"]]))
        else:
            for key, text in rendered.one("ConfigMap", volume["configMap"]["name"])["data"].items():
                (place / key).write_text(text, "utf-8")
        arguments = [each.replace(mount["mountPath"], str(place)) for each in arguments]
    assert "--listen=0.0.0.0:8443" in arguments
    arguments = [each.replace("0.0.0.0:8443", "127.0.0.1:0") for each in arguments]
    return arguments, rendered.one("MutatingWebhookConfiguration")


def is_left_alone(response: Object) -> bool:
    """Is the pod left as it is?"""
    return response["allowed"] is True and "patch" not in response


@pytest.fixture(scope="module")
def injector(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    """`skinflint injector` with everything that the chart gives it."""
    folder = tmp_path_factory.mktemp("injector")
    arguments, configuration = lay_out(helm, folder)
    bundle = base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"]).decode()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(cadata=bundle)
    with running(module("proxy", *arguments), folder / "home") as process:
        wait_until(lambda: "is ready at" in process.output, "the injector is ready", process=process)
        found = re.search(r"ready at https://(\S+)/mutate", process.output)
        assert found is not None
        yield Injector(found[1], configuration["webhooks"], trust)


async def test_a_pod_is_injected_once(injector: Injector) -> None:
    assert injector.name == f"skinflint-injector.{NAMESPACE}.svc"
    made = await injector.made(pod())
    assert made == await injector.made(pod())
    sidecar = made["spec"]["initContainers"][0]
    assert (sidecar["name"], sidecar["image"], sidecar["restartPolicy"]) == ("skinflint", "skinflint:0.1.0", "Always")
    assert await injector.answer(made) == {"uid": "u-1", "allowed": True}


async def test_the_values_reach_the_pod(injector: Injector) -> None:
    made = await injector.made(pod())
    sidecar = made["spec"]["initContainers"][0]
    assert variables(sidecar)["SKINFLINT_CACHE"] == '{"sampling":"any"}'
    sources = {each["name"]: each["valueFrom"] for each in sidecar["env"] if "valueFrom" in each}
    assert sources["SKINFLINT_CACHE__REDIS__URL"]["secretKeyRef"]["name"] == "redis"
    assert "metadata.labels['example.com/team']" in str(sources["SKINFLINT_ATTRIBUTION__LABELS__TEAM"])
    assert all("mine.openai.azure.com" in alias["hostnames"] for alias in made["spec"]["hostAliases"])


@pytest.mark.parametrize("name", ["hosts-job", "env-own-variables", "redirect"])
async def test_golden_pods_are_injected_once(injector: Injector, name: str) -> None:
    made = await injector.made(golden(name)["pod"])
    assert made["spec"]["initContainers"][-1]["name"] != made["spec"]["containers"][0]["name"]
    assert is_left_alone(await injector.answer(made))


async def test_a_job_keeps_its_own_end(injector: Injector) -> None:
    made = await injector.made(golden("hosts-job")["pod"])
    assert made["spec"]["restartPolicy"] == "Never"
    assert made["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert variables(made["spec"]["initContainers"][0])["SKINFLINT_ATTRIBUTION__LABELS__WORKLOAD"] == "CronJob/nightly"


async def test_after_another_webhook_its_containers_are_served_too(injector: Injector) -> None:
    made = await injector.made(pod())
    istio = {
        "name": "istio-proxy",
        "image": "istio/proxyv2:1.30",
        "restartPolicy": "Always",
        "env": [{"name": "SSL_CERT_FILE", "value": "/own.pem"}],
    }
    init = {
        "name": "istio-init",
        "image": "istio/proxyv2:1.30",
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
    }
    made["spec"]["initContainers"] = [init, istio, *made["spec"]["initContainers"]]
    again = await injector.made(made)
    names = [each["name"] for each in again["spec"]["initContainers"]]
    assert names == ["skinflint", "istio-init", "istio-proxy"]
    assert variables(again["spec"]["initContainers"][2])["SSL_CERT_FILE"] == "/own.pem"
    assert variables(again["spec"]["initContainers"][1])["SSL_CERT_FILE"] == "/etc/skinflint/trust/bundle.pem"
    assert is_left_alone(await injector.answer(again))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (pod(hostNetwork=True), "hostNetwork"),
        (pod({"name": "app", "image": "app:1", "ports": [{"containerPort": 443}]}), "443"),
        (pod({"name": "app", "image": "app:1", "ports": [{"containerPort": 19190}]}), "19190"),
        (pod(annotations={"skinflint.dev/mode": "sideways"}), "allowed: hosts, env, redirect"),
    ],
)
async def test_what_cannot_work_is_denied_with_its_reason(injector: Injector, document: Object, said: str) -> None:
    response = await injector.answer(document)
    assert response["allowed"] is False
    assert said in response["status"]["message"]


async def test_a_pod_that_opts_out_is_left_alone_even_if_it_comes(injector: Injector) -> None:
    assert is_left_alone(await injector.answer(pod(metadata={"labels": {"skinflint.dev/inject": "false"}})))


async def test_who_does_not_know_the_bundle_does_not_trust_the_injector(injector: Injector) -> None:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get(f"https://{injector.address}/livez", server_hostname=injector.name)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get(f"https://{injector.address}/livez", ssl=injector.trust, server_hostname="other.svc")


async def test_the_rendered_probes_are_answered(injector: Injector, helm: Helm) -> None:
    container = helm.render(INJECTOR["existing certificate"]).one("Deployment")["spec"]["template"]["spec"][
        "containers"
    ][0]
    async with aiohttp.ClientSession() as client:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[name]["httpGet"]
            url = f"{probe['scheme'].lower()}://{injector.address}{probe['path']}"
            async with client.get(url, ssl=injector.trust, server_hostname=injector.name) as answer:
                assert answer.status == 200
