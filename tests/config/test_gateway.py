"""The settings of a shared proxy: the profile, what contradicts itself, and open relays."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from config.errors import SettingsError
from config.load import SettingsLoader
from config.reload import changed_fixed_keys
from config.schema import Settings

type Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str = "", flags: Mapping[str, list[str]] | None = None) -> Settings:
        file = tmp_path / "s.yaml"
        file.write_text(text.replace("TMP", str(tmp_path)))
        return SettingsLoader(file, flags or {}, {"HOME": str(tmp_path)}, "production").load()

    for name in ("credentials", "tls.pem"):
        (tmp_path / name).write_text("")
    return loaded


def problems(load: Load, text: str, flags: Mapping[str, list[str]] | None = None) -> str:
    with pytest.raises(SettingsError) as raised:
        load(text, flags)
    return str(raised.value)


def test_the_profile_listens_for_the_network_and_leads_to_providers(load: Load) -> None:
    settings = load("profile: gateway")
    assert [listener.address for listener in settings.listeners] == ["0.0.0.0:3128"]
    assert (settings.destinations.allow, settings.destinations.private) == (("providers",), False)
    assert settings.attribution.call_metric_labels == ("tenant",)


def test_flags_and_files_go_over_the_profile(load: Load) -> None:
    settings = load("destinations: {private: true}", {"--profile": ["gateway"], "--listen": ["0.0.0.0:8080"]})
    assert settings.listeners[0].address == "0.0.0.0:8080"
    assert (settings.destinations.allow, settings.destinations.private) == (("providers",), True)


def test_one_destination_needs_no_list(load: Load) -> None:
    assert load("destinations: {allow: providers}").destinations.allow == ("providers",)
    assert load("", {"--set": ["destinations.allow=providers,x.example:8443"]}).destinations.allow == (
        "providers",
        "x.example:8443",
    )


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "'[::]:8080'", "192.0.2.1:8080", "gateway.test:8080"])
def test_an_open_relay_is_refused(load: Load, address: str) -> None:
    text = problems(load, f"listeners: [{{address: {address}}}]")
    assert "listeners[0].address" in text
    assert "would be an open relay" in text
    assert "--profile gateway" in text


@pytest.mark.parametrize(
    "more",
    [
        "destinations: {allow: [api.openai.com]}",
        "access: {credentials: TMP/credentials}",
        "access: {sources: {0.0.0.0/0: everybody}}",
        "access: {kubernetes: {enabled: true}}",
        "profile: gateway",
    ],
)
def test_who_says_who_or_where_may_listen_for_the_network(load: Load, more: str) -> None:
    assert load(f"listeners: [{{address: 0.0.0.0:8080}}]\n{more}").listeners[0].address == "0.0.0.0:8080"


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "127.9.9.9:8080", "'[::1]:8080'", "localhost:8080", "':8080'"])
def test_loopback_is_open_to_this_machine(load: Load, address: str) -> None:
    assert load(f"listeners: [{{address: {address}}}]")


def test_client_certificates_are_a_rule_too(load: Load) -> None:
    tls = "{certificate: TMP/tls.pem, key: TMP/tls.pem, client_ca: TMP/tls.pem}"
    assert load(f"listeners: [{{address: 0.0.0.0:8080, tls: {tls}}}]")
    without = "{certificate: TMP/tls.pem, key: TMP/tls.pem}"
    assert "open relay" in problems(load, f"listeners: [{{address: 0.0.0.0:8080, tls: {without}}}]")


@pytest.mark.parametrize("mode", ["transparent", "hosts", "'reverse:https://a.example'"])
def test_tokens_alone_do_not_fit_where_nobody_can_bring_one(load: Load, mode: str) -> None:
    listener = f"listeners: [{{address: 127.0.0.1:8443, mode: {mode}}}]"
    assert "has no Proxy-Authorization" in problems(load, f"{listener}\naccess: {{credentials: TMP/credentials}}")
    assert load(f"{listener}\naccess: {{credentials: TMP/credentials, default_tenant: rest}}")


def test_tls_is_for_regular_listeners(load: Load) -> None:
    tls = "{certificate: TMP/tls.pem, key: TMP/tls.pem}"
    text = problems(load, f"listeners: [{{address: 127.0.0.1:1, mode: hosts, tls: {tls}}}]")
    assert "is for the mode regular" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("access: {credentials: TMP/none}", "there is no file"),
        ("listeners: [{tls: {certificate: TMP/none, key: TMP/tls.pem}}]", "listeners[0].tls.certificate"),
        ("listeners: [{tls: {certificate: TMP/tls.pem}}]", "listeners[0].tls.key"),
        ("destinations: {allow: ['a b']}", "is not HOST or HOST:PORT"),
        ("destinations: {exceptions: ['10.0.0.0/33']}", "is not HOST or HOST:PORT"),
        ("access: {sources: {10.0.0.0/40: a}}", "must be an address or a network"),
        ("access: {sources: {'fe80::%eth0/64': a}}", "must be an address or a network"),
        ("access: {sources: {10.0.0.0/8: 'a:b'}}", "without a colon"),
        ("access: {default_tenant: 'a b'}", "must not have blanks"),
        ("access: {kubernetes: {wait_s: 99}}", "must be at most 30"),
        ("profile: gatway", "allowed: production, development, gateway"),
    ],
)
def test_mistakes_are_told(load: Load, text: str, expected: str) -> None:
    assert expected in problems(load, text)


def test_networks_are_kept_in_one_form(load: Load) -> None:
    settings = load("access: {sources: {10.1.2.3/8: a}}\ndestinations: {exceptions: [10.1.2.3/16, Models.Internal]}")
    assert settings.access.sources == {"10.0.0.0/8": "a"}
    assert settings.destinations.exceptions == ("10.1.0.0/16", "models.internal")


def test_listeners_and_the_authority_cannot_change_while_running(load: Load) -> None:
    before = load("")
    assert changed_fixed_keys(before, load("ca_dir: /elsewhere")) == ["ca_dir"]
    assert changed_fixed_keys(before, load("access: {default_tenant: a}\ndestinations: {allow: []}")) == []
