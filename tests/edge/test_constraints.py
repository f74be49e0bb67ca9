"""Which names an authority may speak for."""

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509

from proxy.edge.ca import mint
from proxy.edge.constraints import Permitted, as_address, ascii_name

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "suffix"),
    [
        ("api.openai.com", "api.openai.com"),
        ("API.OpenAI.com.", "api.openai.com"),
        ("api.openai.com:8443", "api.openai.com"),
        ("*.openai.azure.com", "openai.azure.com"),
        ("bedrock-runtime.*.amazonaws.com", "amazonaws.com"),
        ("*-aiplatform.googleapis.com", "googleapis.com"),
        ("*.svc.cluster.local:8000", "svc.cluster.local"),
        ("localhost", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_pattern_is_reduced_to_its_suffix(pattern: str, suffix: str) -> None:
    assert Permitted.of_hosts([pattern]) == Permitted(frozenset({suffix}), frozenset())


def test_names_that_another_covers_are_left_out() -> None:
    hosts = ["api.openai.com", "eu.api.openai.com", "openai.com", "notopenai.com"]
    assert Permitted.of_hosts(hosts).names == {"openai.com", "notopenai.com"}


@pytest.mark.parametrize("pattern", ["*", "api.*", "a" * 64 + ".com", "", "a..b"])
def test_what_permits_everything_or_is_no_name_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError):
        Permitted.of_hosts([pattern])


@pytest.mark.parametrize(
    ("host", "network"),
    [("10.1.2.3", "10.1.2.3/32"), ("10.1.2.3:8000", "10.1.2.3/32"), ("::1", "::1/128"), ("[::1]:8443", "::1/128")],
)
def test_an_address_permits_exactly_itself(host: str, network: str) -> None:
    assert Permitted.of_hosts([host]) == Permitted(frozenset(), frozenset({ip_network(network)}))


def test_allows_names_below_a_permitted_one_and_nothing_beside_it() -> None:
    permitted = Permitted.of_hosts(["api.openai.com", "10.0.0.1"])
    assert permitted.allows("API.openai.com")
    assert permitted.allows("eu.api.openai.com.")
    assert permitted.allows("10.0.0.1")
    assert not permitted.allows("openai.com")
    assert not permitted.allows("evilapi.openai.com")
    assert not permitted.allows("10.0.0.2")
    assert not permitted.allows("::1")
    assert not permitted.allows("a..openai.com")


def test_lacking_names_what_is_not_covered() -> None:
    permitted = Permitted.of_hosts(["openai.com", "10.0.0.1"])
    wanted = Permitted.of_hosts(["api.openai.com", "api.anthropic.com", "10.0.0.2"])
    assert permitted.lacking(wanted) == ["10.0.0.2/32", "api.anthropic.com"]
    assert permitted.lacking(Permitted.of_hosts(["api.openai.com", "10.0.0.1"])) == []


def _subtrees(*hosts: str) -> tuple[set[str], set[str]]:
    extension = Permitted.of_hosts(hosts).extension()
    permitted, excluded = extension.permitted_subtrees or [], extension.excluded_subtrees or []
    return {str(name.value) for name in permitted}, {str(name.value) for name in excluded}


def test_addresses_are_excluded_unless_one_is_configured() -> None:
    assert _subtrees("a.example") == ({"a.example"}, {"0.0.0.0/0", "::/0"})
    assert _subtrees("a.example", "10.0.0.1") == ({"a.example", "10.0.0.1/32"}, set())
    assert _subtrees("a.example", "10.0.0.1", "::1") == ({"a.example", "10.0.0.1/32", "::1/128"}, set())


def test_without_names_no_name_is_permitted() -> None:
    assert _subtrees("10.0.0.1") == ({"invalid", "10.0.0.1/32"}, set())


@pytest.mark.parametrize("hosts", [["a.example", "*.b.example"], ["10.0.0.1"], ["a.example", "::1", "10.0.0.1"], []])
def test_constraints_survive_the_certificate(tmp_path: Path, hosts: list[str]) -> None:
    permitted = Permitted.of_hosts(hosts)
    assert Permitted.of_certificate(mint(tmp_path, permitted, NOW).intermediate) == permitted


def test_a_certificate_without_constraints_is_an_error(tmp_path: Path) -> None:
    authority = mint(tmp_path, Permitted.of_hosts(["a.example"]), NOW)
    with pytest.raises(ValueError, match="no name constraints"):
        Permitted.of_certificate(authority.root)


def test_addresses_are_told_from_names() -> None:
    assert str(as_address("[::1]")) == "::1"
    assert as_address("10.0.0.1.example") is None
    with pytest.raises(ValueError, match="not a host name"):
        ascii_name(".")


def test_the_intermediate_carries_them_as_critical(tmp_path: Path) -> None:
    authority = mint(tmp_path, Permitted.of_hosts(["a.example"]), NOW)
    assert authority.intermediate.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert not [item for item in authority.root.extensions if isinstance(item.value, x509.NameConstraints)]
