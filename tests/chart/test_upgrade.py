"""The webhook's certificate: kept byte for byte by upgrades, made anew only when it is asked for, always trusted."""

import base64
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.chart.api_server import ApiServer, cluster
from tests.chart.helm import NAMESPACE, Helm, Object, RefusedError, Rendered
from tests.chart.matrix import webhook

NAME = f"skinflint-injector.{NAMESPACE}.svc"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """A cluster to look into."""
    with cluster() as made:
        yield made


def secret(rendered: Rendered) -> Object:
    """The Secret with the certificate."""
    return rendered.one("Secret", "skinflint-webhook-tls")


def bundle(rendered: Rendered) -> bytes:
    """What API servers trust, which must be the same for all webhooks."""
    found = {each["clientConfig"]["caBundle"] for each in rendered.one("MutatingWebhookConfiguration")["webhooks"]}
    assert len(found) == 1
    return base64.b64decode(found.pop())


def certificate(rendered: Rendered) -> x509.Certificate:
    """The webhook's certificate."""
    return x509.load_pem_x509_certificate(base64.b64decode(secret(rendered)["data"]["tls.crt"]))


def is_trusted(leaf: x509.Certificate, roots: bytes) -> bool:
    """Would an API server take it for the Service's name?"""
    store = x509.verification.Store(x509.load_pem_x509_certificates(roots))
    verifier = x509.verification.PolicyBuilder().store(store).build_server_verifier(x509.DNSName(NAME))
    try:
        verifier.verify(leaf, [])
    except x509.verification.VerificationError:
        return False
    return True


def test_the_certificate_is_for_the_service_for_ten_years_and_its_key_fits(helm: Helm) -> None:
    rendered = helm.render()
    leaf = certificate(rendered)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert NAME in names.get_values_for_type(x509.DNSName)
    assert leaf.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3640)
    key = load_pem_private_key(base64.b64decode(secret(rendered)["data"]["tls.key"]), None)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    assert is_trusted(leaf, bundle(rendered))
    ssl.create_default_context(cadata=bundle(rendered).decode())


def test_two_installations_share_nothing(helm: Helm) -> None:
    first, second = helm.render(), helm.render()
    assert secret(first)["data"] != secret(second)["data"]
    assert not is_trusted(certificate(first), bundle(second))


def test_an_upgrade_keeps_the_certificate_byte_for_byte(helm: Helm, server: ApiServer) -> None:
    installed = helm.render_upgrade(server.kubeconfig)
    server.keep(secret(installed))
    for values in ({}, {"sidecar": {"mode": "env"}}, {"injector": {"replicas": 3}}):
        upgraded = helm.render_upgrade(server.kubeconfig, values)
        assert secret(upgraded) == secret(installed)
        assert bundle(upgraded) == bundle(installed)
    assert is_trusted(certificate(upgraded), bundle(upgraded))
    assert {*server.looked_up} == {f"/api/v1/namespaces/{NAMESPACE}/secrets/skinflint-webhook-tls"}


def test_a_secret_that_lacks_something_is_made_anew(helm: Helm, server: ApiServer) -> None:
    installed = helm.render_upgrade(server.kubeconfig)
    for missing in ("tls.crt", "tls.key", "ca.crt"):
        kept = {key: value for key, value in secret(installed)["data"].items() if key != missing}
        server.keep({**secret(installed), "data": kept})
        upgraded = helm.render_upgrade(server.kubeconfig)
        assert secret(upgraded)["data"].keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert is_trusted(certificate(upgraded), bundle(upgraded))


def test_a_renewal_is_made_once_and_trusts_the_certificate_before_it(helm: Helm, server: ApiServer) -> None:
    installed = helm.render_upgrade(server.kubeconfig)
    server.keep(secret(installed))
    renewed = helm.render_upgrade(server.kubeconfig, webhook(tls={"renewal": "2027"}))
    assert certificate(renewed) != certificate(installed)
    assert is_trusted(certificate(renewed), bundle(renewed))
    assert is_trusted(certificate(installed), bundle(renewed)), "pods still serve it for a while"
    server.keep(secret(renewed))
    again = helm.render_upgrade(server.kubeconfig, webhook(tls={"renewal": "2027"}))
    assert secret(again) == secret(renewed)
    server.keep(secret(again))
    third = helm.render_upgrade(server.kubeconfig, webhook(tls={"renewal": "2028"}))
    assert len(x509.load_pem_x509_certificates(bundle(third))) == 2, "the one before alone, or it would grow for ever"


def test_who_may_not_look_is_told_so_and_gets_no_new_certificate(helm: Helm, server: ApiServer) -> None:
    server.refuses_with = 403
    with pytest.raises(RefusedError, match="calling lookup"):
        helm.render_upgrade(server.kubeconfig)


@pytest.mark.parametrize("mode", ["certManager", "existing"])
def test_other_modes_make_no_secret(renderings: dict[str, Rendered], mode: str) -> None:
    rendered = renderings["cert-manager" if mode == "certManager" else "existing certificate"]
    assert rendered.of("Secret") == []
    configuration = rendered.one("MutatingWebhookConfiguration")
    if mode == "certManager":
        leaf = rendered.one("Certificate", "skinflint-webhook-tls")
        assert NAME in leaf["spec"]["dnsNames"]
        source = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert source == f"{NAMESPACE}/{leaf['metadata']['name']}"
        assert all("caBundle" not in each["clientConfig"] for each in configuration["webhooks"])
    else:
        assert bundle(rendered).startswith(b"-----BEGIN CERTIFICATE-----")
