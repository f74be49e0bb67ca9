"""Which provider a host belongs to."""

from dataclasses import replace

import pytest

from config.providers import load_providers, parse_providers
from config.schema import ProviderHosts, Settings
from proxy.providers.entry import ProviderEntry
from proxy.providers.registry import DIALECTS, REMEMBERED_HOSTS, Registry

PACKAGED = Registry.from_settings(Settings())


def name_of(registry: Registry, host: str, port: int = 443) -> str | None:
    provider = registry.match(host, port)
    return provider.name if provider else None


def configured(disabled: tuple[str, ...] = (), **providers: ProviderHosts) -> Registry:
    return Registry.from_settings(Settings(providers=providers, disabled_providers=disabled))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("res.openai.azure.com", "azure"),
        ("res.cognitiveservices.azure.com", "azure"),
        ("res.services.ai.azure.com", "azure"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("aiplatform.googleapis.com", "vertex"),
        ("europe-west4-aiplatform.googleapis.com", "vertex"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "bedrock"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "bedrock"),
        ("vpce-0a-1b.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", "bedrock-mantle"),
        ("api.mistral.ai", "mistral"),
        ("codestral.mistral.ai", "mistral"),
        ("api.cohere.com", "cohere"),
        ("api.cohere.ai", "cohere"),
        ("api.groq.com", "groq"),
        ("api.together.xyz", "together"),
        ("api.together.ai", "together"),
        ("openrouter.ai", "openrouter"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        ("us-east-1.api.x.ai", "xai"),
        ("api.fireworks.ai", "fireworks"),
        ("API.OpenAI.com", "openai"),
        ("api.openai.com.", "openai"),
    ],
)
def test_public_hosts_are_known(host: str, name: str) -> None:
    assert name_of(PACKAGED, host) == name
    assert name_of(PACKAGED, host) == name  # remembered


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "openai.com",
        "chat.openai.com",
        "xapi.openai.com",
        "api.openai.com.evil.example",
        "openai.azure.com",
        "-aiplatform.googleapis.com",
        "a.b-aiplatform.googleapis.com",
        "storage.googleapis.com",
        "bedrock-runtime.amazonaws.com",
        "bedrock-runtime.a.b.amazonaws.com",
        "bedrock.us-east-1.amazonaws.com",
        "s3.amazonaws.com",
        "127.0.0.1",
        "::1",
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    assert PACKAGED.match(host, 443) is None


def test_only_the_usual_ports_are_meant_unless_one_is_named() -> None:
    assert name_of(PACKAGED, "api.openai.com", 80) == "openai"
    assert PACKAGED.match("api.openai.com", 8443) is None
    assert PACKAGED.match("eu.api.openai.com", 8443) is None


def test_every_packaged_provider_can_be_had_by_name() -> None:
    entries = load_providers()
    assert PACKAGED.names() == tuple(entry.name for entry in entries)
    for entry in entries:
        provider = PACKAGED.by_name(entry.name)
        assert provider is not None
        assert provider.name == entry.name
        assert PACKAGED.entry(entry.name) == entry
    assert PACKAGED.by_name("nobody") is None
    assert PACKAGED.entry("nobody") is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/v1/chat/completions"),
        ("azure", "/openai/deployments/d/chat/completions"),
        ("mistral", "/v1/chat/completions"),
        ("groq", "/openai/v1/chat/completions"),
        ("together", "/v1/chat/completions"),
        ("openrouter", "/api/v1/chat/completions"),
        ("deepseek", "/chat/completions"),
        ("xai", "/v1/chat/completions"),
        ("fireworks", "/inference/v1/chat/completions"),
        ("vllm", "/v1/chat/completions"),
        ("bedrock-mantle", "/v1/chat/completions"),
        ("anthropic", "/v1/messages"),
    ],
)
def test_packaged_base_paths_lead_to_operations(name: str, path: str) -> None:
    provider = PACKAGED.by_name(name)
    assert provider is not None
    assert provider.operation("POST", path).answers


def test_a_dialect_without_a_provider_of_its_name_has_no_prices() -> None:
    registry = configured(corp=ProviderHosts(hosts=("llm.example",), dialect="compatible"))
    assert registry.entry("corp") == ProviderEntry("corp", "compatible", ("llm.example",))


def test_hosts_of_ones_own_are_openai_compatible_by_default() -> None:
    registry = configured(
        corp=ProviderHosts(hosts=("llm.corp.example", "*.gpu.corp.example:8000"), base_path="/llm/v1")
    )
    provider = registry.match("llm.corp.example", 443)
    assert provider is not None
    assert provider.name == "corp"
    assert provider.operation("POST", "/llm/v1/chat/completions").name == "chat"
    assert provider.operation("POST", "/llm/v1/rerank").name == "rerank"
    assert provider.price_id == "openai"
    assert name_of(registry, "a.b.gpu.corp.example", 8000) == "corp"
    assert name_of(registry, "a.gpu.corp.example") is None


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("127.0.0.1", "127.0.0.1", 80),
        ("[::1]:8000", "::1", 8000),
        ("[::1]", "::1", 443),
        ("fd00::7", "fd00::7", 443),
        ("LLM.example:9", "llm.example", 9),
        ("llm", "llm", 80),
    ],
)
def test_a_host_may_be_an_address_or_have_a_port(pattern: str, host: str, port: int) -> None:
    registry = configured(corp=ProviderHosts(hosts=(pattern,)))
    assert name_of(registry, host, port) == "corp"
    assert registry.hosts()[0] == host


@pytest.mark.parametrize(
    "pattern", ["", "http://llm.example", "llm.example:", "a b", "llm.example:0", "llm.example:65536", "llm:x", "a..b"]
)
def test_a_malformed_host_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"providers\.corp\.hosts"):
        configured(corp=ProviderHosts(hosts=(pattern,)))


def test_a_packaged_name_lends_its_dialect_and_base_path() -> None:
    registry = configured(
        groq=ProviderHosts(hosts=("groq.corp.example",)),
        mine=ProviderHosts(hosts=("fast.corp.example",), dialect="groq", base_path="/v1/"),
    )
    groq, mine = registry.match("groq.corp.example", 443), registry.match("fast.corp.example", 443)
    assert groq is not None
    assert mine is not None
    assert groq.operation("POST", "/openai/v1/chat/completions").name == "chat"
    assert (mine.name, mine.operation("POST", "/v1/chat/completions").name) == ("mine", "chat")
    entry = registry.entry("mine")
    assert entry is not None
    assert entry.price_id == "groq"
    assert name_of(registry, "api.groq.com") == "groq"


def test_the_settings_win_over_the_package_and_exact_names_over_patterns() -> None:
    registry = configured(
        mirror=ProviderHosts(hosts=("api.openai.com",)),
        wide=ProviderHosts(hosts=("*.example",)),
        one=ProviderHosts(hosts=("one.example",)),
    )
    assert name_of(registry, "api.openai.com") == "mirror"
    assert name_of(registry, "one.example") == "one"
    assert name_of(registry, "two.example") == "wide"


def test_disabled_providers_are_gone() -> None:
    registry = configured(("openai", "bedrock", "corp"), corp=ProviderHosts(hosts=("llm.example",)))
    assert registry.match("api.openai.com", 443) is None
    assert registry.match("bedrock-runtime.us-east-1.amazonaws.com", 443) is None
    assert registry.match("llm.example", 443) is None
    assert registry.by_name("openai") is None
    assert "api.openai.com" not in registry.hosts()
    assert name_of(registry, "api.anthropic.com") == "anthropic"


def test_an_unknown_name_to_disable_is_refused() -> None:
    with pytest.raises(ValueError, match=r"disabled_providers: 'opnai' is unknown; allowed: .*openai"):
        configured(("opnai",))


def test_an_unknown_dialect_is_refused_by_its_setting() -> None:
    with pytest.raises(ValueError, match=r"providers\.corp\.dialect: unknown dialect 'opnai'; allowed: .*openai"):
        configured(corp=ProviderHosts(hosts=("llm.example",), dialect="opnai"))
    with pytest.raises(ValueError, match=r"corp: unknown dialect"):
        Registry([ProviderEntry("corp", "opnai")])


def test_hosts_lists_every_pattern_once() -> None:
    hosts = PACKAGED.hosts()
    assert {"api.openai.com", "*.openai.azure.com", "bedrock-runtime.*.amazonaws.com"} <= set(hosts)
    assert len(hosts) == len(set(hosts))
    assert not any(":" in host for host in hosts)


def test_the_memory_of_met_hosts_is_bounded() -> None:
    registry = Registry([ProviderEntry("wide", "openai", ("*.example",))])
    for number in range(REMEMBERED_HOSTS + 10):
        assert name_of(registry, f"h{number}.example") == "wide"
        assert name_of(registry, f"h{number}.test") is None
    assert len(registry._met) == REMEMBERED_HOSTS


def test_each_dialect_is_used_by_a_packaged_provider() -> None:
    assert {entry.dialect for entry in load_providers()} == set(DIALECTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: {dialect: openai}",
        "a: {dialect: openai, hosts: [], stream_usage: maybe}",
        "a: {dialect: openai, hosts: [], stream_usage: ask, extra: 1}",
        "a: {dialect: openai, hosts: [], stream_usage: ask, base_path: v1/}",
        "a: [",
    ],
)
def test_a_malformed_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_providers(text)


def test_a_table_row_has_defaults() -> None:
    (entry,) = parse_providers("a: {dialect: openai, hosts: [h], stream_usage: always}")
    assert entry == replace(ProviderEntry("a", "openai", ("h",)), stream_usage="always")
