"""Noticing changed files: what is applied, what is refused, and what is left alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from config.errors import Problem, SettingsError
from config.load import SettingsLoader
from config.reload import ReloadResult, ReloadWatcher
from config.schema import Settings

UNCHANGED = ReloadResult("unchanged")
APPLIED = ReloadResult("applied")


class Proxy:
    """A running proxy, as far as its settings go."""

    def __init__(self, directory: Path, text: str, flags: dict[str, list[str]] | None = None) -> None:
        self.file = directory / "skinflint.yaml"
        self.file.write_text(text)
        self.applied: list[Settings] = []
        self.now_ns = 10**18
        loader = SettingsLoader(self.file, flags or {}, {"HOME": str(directory)}, "production")
        self.watcher = ReloadWatcher(loader, loader.load(), self.applied.append, lambda: self.now_ns)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    @property
    def ttls(self) -> list[float]:
        return [settings.cache.ttl_s for settings in self.applied]


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path, "cache: {ttl_s: 1}")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as events:
        yield events


def test_nothing_happens_while_files_stay(proxy: Proxy) -> None:
    assert [proxy.watcher.poll(), proxy.watcher.poll()] == [UNCHANGED, UNCHANGED]
    assert proxy.applied == []


def test_a_change_is_applied_once(proxy: Proxy) -> None:
    proxy.write("cache: {ttl_s: 22}")
    assert [proxy.watcher.poll(), proxy.watcher.poll()] == [APPLIED, UNCHANGED]
    assert proxy.ttls == [22]


def test_the_same_content_written_again_is_no_change(proxy: Proxy) -> None:
    proxy.write("cache: {ttl_s: 1}")
    assert proxy.watcher.poll() == UNCHANGED


def test_a_change_within_one_tick_of_the_clock_is_noticed(proxy: Proxy) -> None:
    times = proxy.file.stat()
    proxy.now_ns = times.st_mtime_ns
    proxy.write("cache: {ttl_s: 3}")
    os.utime(proxy.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert proxy.watcher.poll() == APPLIED


def test_a_swapped_link_is_noticed(tmp_path: Path) -> None:
    """Kubernetes: skinflint.yaml -> ..data/skinflint.yaml, and ..data -> a directory with a date."""
    for name, ttl_s in (("..one", 5), ("..two", 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "skinflint.yaml").write_text(f"cache: {{ttl_s: {ttl_s}}}")
    (tmp_path / "..data").symlink_to("..one")
    file = tmp_path / "skinflint.yaml"
    file.symlink_to("..data/skinflint.yaml")
    applied: list[Settings] = []
    loader = SettingsLoader(file, {}, {"HOME": "/"}, "production")
    watcher = ReloadWatcher(loader, loader.load(), applied.append)
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert watcher.poll() == APPLIED
    assert applied[0].cache.ttl_s == 6


@pytest.mark.parametrize("bad", ["cache: {ttl_s: -1}", "cache: {", "cachee: {}"])
def test_bad_settings_are_refused_and_said_once(proxy: Proxy, logs: list[EventDict], bad: str) -> None:
    proxy.write(bad)
    assert [proxy.watcher.poll().outcome, proxy.watcher.poll().outcome] == ["refused", "unchanged"]
    assert proxy.applied == []
    assert [event["event"] for event in logs] == ["settings_refused"]


def test_a_repair_after_a_refusal_is_applied(proxy: Proxy) -> None:
    proxy.write("cache: {")
    proxy.watcher.poll()
    proxy.write("cache: {ttl_s: 4}")
    assert proxy.watcher.poll() == APPLIED
    assert proxy.ttls == [4]


def test_a_file_that_is_away_for_a_while_changes_nothing(proxy: Proxy) -> None:
    proxy.file.unlink()
    assert proxy.watcher.poll().outcome == "refused"
    proxy.write("cache: {ttl_s: 1}")
    assert proxy.watcher.poll() == APPLIED
    assert proxy.ttls == [1]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("listeners: [{address: 127.0.0.1:1}]", "listeners"),
        ("admin: {address: 127.0.0.1:1}", "admin"),
        ("data_dir: /elsewhere", "data_dir"),
        ("ledger: {url: 'sqlite://'}", "ledger.url"),
        ("workers: 2", "workers"),
        ("attribution: {call_metric_labels: [app]}", "attribution.call_metric_labels"),
    ],
)
def test_what_needs_a_restart_refuses_the_whole_snapshot(proxy: Proxy, text: str, key: str) -> None:
    proxy.write(f"cache: {{ttl_s: 7}}\n{text}")
    result = proxy.watcher.poll()
    assert result.outcome == "refused"
    assert result.message.startswith(f"{key} cannot change while running")
    assert proxy.applied == []


def test_what_workers_share_in_memory_needs_a_restart(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, "workers: 2")
    proxy.write("workers: 2\ncache: {ttl_s: 7, memory: {max_bytes: 1000000}}")
    result = proxy.watcher.poll()
    assert result.outcome == "refused"
    assert result.message.startswith("cache.memory.max_bytes cannot change while running")


def test_one_process_takes_another_bound_of_its_memory(proxy: Proxy) -> None:
    proxy.write("cache: {ttl_s: 7, memory: {max_bytes: 1000000}}")
    assert proxy.watcher.poll() == APPLIED


def test_force_loads_without_a_change(proxy: Proxy) -> None:
    assert proxy.watcher.poll(force=True) == APPLIED


def test_flags_stay_above_the_file(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, "cache: {ttl_s: 1}", {"--set": ["cache.ttl_s=8"]})
    proxy.write("cache: {ttl_s: 2, enabled: false}")
    proxy.watcher.poll()
    assert (proxy.ttls, proxy.applied[0].cache.enabled) == ([8], False)


def test_a_file_that_the_new_settings_name_is_watched_from_then_on(proxy: Proxy, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("a: []")
    proxy.write(f"cost: {{prices: {prices}}}")
    assert [proxy.watcher.poll(), proxy.watcher.poll()] == [APPLIED, UNCHANGED]
    prices.write_text("b: []")
    assert [proxy.watcher.poll(), proxy.watcher.poll()] == [APPLIED, UNCHANGED]


def test_settings_that_the_proxy_cannot_take_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "skinflint.yaml"
    file.write_text("{}")

    def apply(_settings: Settings) -> None:
        raise SettingsError(Problem("prices.yaml:3", "", "is no price"))

    loader = SettingsLoader(file, {}, {"HOME": "/"}, "production")
    watcher = ReloadWatcher(loader, loader.load(), apply)
    result = watcher.poll(force=True)
    assert (result.outcome, "is no price" in result.message) == ("refused", True)
