"""Layers of settings: which wins, how they merge, and which files are read."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from config.caching import OperationPolicy
from config.errors import SettingsError
from config.load import SettingsLoader
from config.schema import Listener, Profile, Settings

type Load = Callable[..., Settings]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that is the home directory too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(home: Path) -> Load:
    def load_with(
        text: str | None = None,
        flags: Mapping[str, Sequence[str]] | None = None,
        environ: Mapping[str, str] | None = None,
        profile: Profile = "production",
    ) -> Settings:
        if text is not None:
            (home / "skinflint.yaml").write_text(text)
        return SettingsLoader(None, flags or {}, {"HOME": str(home)} | dict(environ or {}), profile).load()

    return load_with


def test_without_anything_the_defaults_apply(load: Load, home: Path) -> None:
    settings = load()
    assert settings == Settings(data_dir=home / ".local/share/skinflint")


def test_each_layer_wins_over_the_one_below(load: Load) -> None:
    text = "cache: {ttl_s: 1}\nlimits: {max_connections: 1}\nlog: {level: debug}\n"
    environ = {"SKINFLINT_LIMITS__MAX_CONNECTIONS": "2", "SKINFLINT_LOG__LEVEL": "warning"}
    settings = load(text, {"--set": ["log.level=error"]}, environ)
    assert (settings.cache.ttl_s, settings.limits.max_connections, settings.log.level) == (1.0, 2, "error")


def test_neighbours_of_a_setting_keep_their_values(load: Load) -> None:
    assert load("cache: {ttl_s: 1}").cache.sampling == "deterministic"


def test_a_map_gains_entries_and_keeps_the_default_ones(load: Load) -> None:
    operations = load("cache: {operations: {chat: {ttl_s: 5}, models: {cache: false}}}").cache.operations
    assert operations["chat"] == OperationPolicy(ttl_s=5)
    assert operations["models"] == OperationPolicy(ttl_s=300, cache=False)
    assert operations["embeddings"] == OperationPolicy(ttl_s=86_400)


def test_null_takes_an_entry_of_a_map_away(load: Load) -> None:
    assert load("attribution: {headers: {x-skinflint-label-app: null, x-team: team}}").attribution.headers == {
        "x-team": "team"
    }


def test_a_section_without_content_says_nothing(load: Load) -> None:
    assert load("cache:\nattribution:\n  headers:\n").attribution.headers == {"x-skinflint-label-app": "app"}


def test_a_list_is_replaced_as_a_whole(load: Load) -> None:
    assert load("listeners: [{mode: hosts}]").listeners == (Listener(mode="hosts"),)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"text": "workers: auto"}, "auto"),
        ({"environ": {"SKINFLINT_WORKERS": "3"}}, 3),
        ({"flags": {"--workers": ["auto"]}}, "auto"),
        ({"flags": {"--set": ["workers=2"]}}, 2),
    ],
)
def test_workers_are_a_number_or_auto(load: Load, layer: Mapping[str, object], expected: object) -> None:
    assert load(**layer).workers == expected


class TestProfiles:
    def test_development_answers_sampled_calls_again(self, load: Load) -> None:
        assert load(profile="development").cache.sampling == "any"

    @pytest.mark.parametrize(
        "layer",
        [
            {"text": "profile: development"},
            {"environ": {"SKINFLINT_PROFILE": "development"}},
            {"flags": {"--profile": ["development"]}},
            {"flags": {"--set": ["profile=development"]}},
        ],
    )
    def test_any_layer_chooses_the_profile(self, load: Load, layer: Mapping[str, object]) -> None:
        settings = load(**layer)
        assert (settings.profile, settings.cache.sampling) == ("development", "any")

    def test_a_gateway_lingers_and_others_do_not(self, load: Load) -> None:
        found = [(drain.linger_s, drain.idle_s) for drain in (load().drain, load("profile: gateway").drain)]
        assert found == [(0.0, 1.0), (5.0, 10.0)]

    def test_a_chosen_profile_wins_over_the_commands(self, load: Load) -> None:
        assert load("profile: production", profile="development").cache.sampling == "deterministic"

    def test_settings_win_over_the_profile(self, load: Load) -> None:
        assert load("cache: {sampling: deterministic}", profile="development").cache.sampling == "deterministic"


class TestEnvironment:
    def test_lists_and_mappings_are_yaml(self, load: Load) -> None:
        settings = load(
            environ={
                "SKINFLINT_LISTENERS": '[{"address": "127.0.0.1:1", "mode": "hosts"}]',
                "SKINFLINT_ATTRIBUTION__LABELS": "{team: search}",
            }
        )
        assert settings.listeners == (Listener(address="127.0.0.1:1", mode="hosts"),)
        assert settings.attribution.labels == {"team": "search"}

    def test_a_list_of_texts_may_be_written_with_commas(self, load: Load) -> None:
        environ = {"SKINFLINT_PASSTHROUGH__HOSTS": "*.example.com, api.example.org"}
        assert load(environ=environ).passthrough.hosts == ("*.example.com", "api.example.org")

    def test_text_is_taken_as_it_stands(self, load: Load) -> None:
        environ = {"SKINFLINT_ATTRIBUTION__LABELS__APP": "42", "SKINFLINT_ADMIN__ADDRESS": ":1"}
        settings = load(environ=environ)
        assert (settings.attribution.labels, settings.admin.address) == ({"app": "42"}, ":1")

    def test_a_nested_variable_refines_its_section(self, load: Load) -> None:
        environ = {"SKINFLINT_CACHE__TTL_S": "2", "SKINFLINT_CACHE": "{ttl_s: 1, sampling: any}"}
        cache = load(environ=environ).cache
        assert (cache.ttl_s, cache.sampling) == (2.0, "any")

    def test_null_means_nothing_where_that_is_allowed(self, load: Load) -> None:
        assert (
            load("upstream: {proxy: http://p:1}", environ={"SKINFLINT_UPSTREAM__PROXY": "null"}).upstream.proxy is None
        )

    @pytest.mark.parametrize(
        "name", ["SKINFLINT_LOG__LEVEL", "SKINFLINT_CACHE", "SKINFLINT_CONFIG", "SKINFLINT_UNKNOWN"]
    )
    def test_an_empty_variable_says_nothing(self, load: Load, name: str) -> None:
        assert load(environ={name: " "}).log.level == "info"

    def test_variables_of_kubernetes_services_are_passed_over(self, load: Load) -> None:
        environ = {
            "SKINFLINT_SERVICE_HOST": "10.0.0.1",
            "SKINFLINT_SERVICE_PORT": "8080",
            "SKINFLINT_SERVICE_PORT_PROXY": "8080",
            "SKINFLINT_PORT": "tcp://10.0.0.1:8080",
            "SKINFLINT_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "SKINFLINT_PORT_8080_TCP_ADDR": "10.0.0.1",
            "SKINFLINT_PORT_8080_TCP_PORT": "8080",
            "SKINFLINT_PORT_8080_TCP_PROTO": "tcp",
            "SKINFLINT_ADMIN_SERVICE_HOST": "10.0.0.2",
            "SKINFLINT_ADMIN_PORT": "tcp://10.0.0.2:9190",
        }
        assert load(environ=environ).admin.address == "127.0.0.1:9190"


class TestFlags:
    def test_modes_pair_with_listeners(self, load: Load) -> None:
        flags = {"--listen": ["127.0.0.1:1", "127.0.0.1:2"], "--mode": ["hosts", "regular"]}
        assert load(flags=flags).listeners == (
            Listener(address="127.0.0.1:1", mode="hosts"),
            Listener(address="127.0.0.1:2"),
        )

    def test_one_mode_goes_for_all_listeners(self, load: Load) -> None:
        flags = {"--listen": ["127.0.0.1:1", "127.0.0.1:2"], "--mode": ["hosts"]}
        assert [listener.mode for listener in load(flags=flags).listeners] == ["hosts", "hosts"]

    def test_a_mode_alone_goes_for_the_files_listeners(self, load: Load) -> None:
        listeners = load("listeners: [{address: 127.0.0.1:7}]", {"--mode": ["transparent"]}).listeners
        assert listeners == (Listener(address="127.0.0.1:7", mode="transparent"),)

    def test_upstream_ca_adds_to_what_is_trusted(self, load: Load, home: Path) -> None:
        for name in ("a.pem", "b.pem"):
            (home / name).write_text("-----BEGIN CERTIFICATE-----\n")
        settings = load("upstream: {extra_ca: [a.pem]}", {"--upstream-ca": ["b.pem"]})
        assert settings.upstream.extra_ca == (home / "a.pem", home / "b.pem")

    def test_admin_and_data_dir(self, load: Load, home: Path) -> None:
        settings = load(flags={"--admin": ["127.0.0.1:0"], "--data-dir": ["here"]})
        assert (settings.admin.address, settings.data_dir) == ("127.0.0.1:0", home / "here")

    def test_set_reads_yaml(self, load: Load) -> None:
        settings = load(
            flags={
                "--set": [
                    "cache.enabled=false",
                    "cache.ttl_s=1.5",
                    "disabled_providers=[openai, cohere]",
                    "routes=[{provider: openai, policy: {ttl_s: 3}}]",
                    'attribution.labels.quoted="a=b"',
                ]
            }
        )
        assert (settings.cache.enabled, settings.cache.ttl_s) == (False, 1.5)
        assert settings.disabled_providers == ("openai", "cohere")
        assert settings.routes[0].policy.ttl_s == 3
        assert settings.attribution.labels == {"quoted": "a=b"}

    def test_set_reaches_map_keys_that_have_dots(self, load: Load) -> None:
        settings = load(
            flags={
                "--set": [
                    "upstream.compress_requests.api.example.com=zstd",
                    "providers.my.own.hosts=llm.example.com",
                    "providers.my.own.dialect=anthropic",
                ]
            }
        )
        assert settings.upstream.compress_requests == {"api.example.com": "zstd"}
        assert settings.providers["my.own"].dialect == "anthropic"

    def test_a_later_set_wins(self, load: Load) -> None:
        assert load(flags={"--set": ["cache.ttl_s=1", "cache.ttl_s=2"]}).cache.ttl_s == 2


class TestFiles:
    def test_a_named_file_wins_over_the_variable_and_the_directory(self, home: Path) -> None:
        for name, ttl_s in (("named.yaml", 1), ("variable.yaml", 2), ("skinflint.yaml", 3)):
            (home / name).write_text(f"cache: {{ttl_s: {ttl_s}}}")
        environ = {"HOME": str(home), "SKINFLINT_CONFIG": "variable.yaml"}
        loader = SettingsLoader(Path("named.yaml"), {}, environ, "production")
        assert loader.load().cache.ttl_s == 1
        assert SettingsLoader(None, {}, environ, "production").load().cache.ttl_s == 2
        assert loader.files == (home / "named.yaml",)

    @pytest.mark.parametrize("by_flag", [True, False])
    def test_the_data_directory_is_looked_into_last(self, load: Load, home: Path, by_flag: bool) -> None:
        (home / "data").mkdir()
        (home / "data/skinflint.yaml").write_text("cache: {ttl_s: 4}")
        given = {"flags": {"--data-dir": ["data"]}} if by_flag else {"environ": {"SKINFLINT_DATA_DIR": "~/data"}}
        assert load(**given).cache.ttl_s == 4

    def test_an_empty_file_says_nothing(self, load: Load) -> None:
        assert load("# nothing yet\n").cache.ttl_s == 3600

    def test_a_byte_order_mark_is_no_content(self, load: Load, home: Path) -> None:
        (home / "skinflint.yaml").write_bytes(b"\xef\xbb\xbfcache: {ttl_s: 9}")
        assert load().cache.ttl_s == 9

    def test_anchors_can_be_used(self, load: Load) -> None:
        text = "cache: {operations: {chat: &day {ttl_s: 86400}, responses: *day}}"
        assert load(text).cache.operations["responses"].ttl_s == 86_400

    def test_words_of_old_yaml_are_text(self, load: Load) -> None:
        text = "attribution: {labels: {a: no, b: 12:30, c: 2026-01-31, d: y}}"
        assert load(text).attribution.labels == {"a": "no", "b": "12:30", "c": "2026-01-31", "d": "y"}

    def test_files_that_settings_name_are_watched_too(self, home: Path) -> None:
        (home / "prices.yaml").write_text("{}")
        loader = SettingsLoader(None, {"--set": ["cost.prices=prices.yaml"]}, {"HOME": str(home)}, "production")
        loader.load()
        assert loader.files == (home / "prices.yaml",)

    def test_a_file_that_vanishes_is_a_problem_and_not_defaults(self, home: Path) -> None:
        file = home / "skinflint.yaml"
        file.write_text("cache: {ttl_s: 9}")
        loader = SettingsLoader(None, {}, {"HOME": str(home)}, "production")
        loader.load()
        file.unlink()
        with pytest.raises(SettingsError, match="there is no file"):
            loader.load()
        assert loader.files == (file,)


def test_a_snapshot_says_where_values_come_from(home: Path) -> None:
    (home / "skinflint.yaml").write_text("cache:\n  ttl_s: 9\nlisteners:\n  - mode: hosts\n")
    environ = {"HOME": str(home), "SKINFLINT_LOG__LEVEL": "debug", "SKINFLINT_COLLAPSE": "{enabled: false}"}
    layer = SettingsLoader(None, {"--set": ["drain.timeout_s=1"]}, environ, "development").load_snapshot().layer
    sources = {
        ("cache", "ttl_s"): f"{home}/skinflint.yaml:2",
        ("listeners", 0, "mode"): f"{home}/skinflint.yaml:4",
        ("log", "level"): "$SKINFLINT_LOG__LEVEL",
        ("listeners", 0, "address"): "",
        ("cache", "enabled"): "",
        ("collapse", "enabled"): "$SKINFLINT_COLLAPSE",
        ("collapse", "max_followers"): "",
        ("drain", "timeout_s"): "--set drain.timeout_s",
        ("cache", "sampling"): "profile development",
        ("limits", "max_connections"): "",
    }
    assert {path: layer.given_by(path) for path in sources} == sources
