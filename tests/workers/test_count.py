"""How many workers: what control groups and the affinity mask allow."""

import os
from pathlib import Path

import pytest

from proxy.workers.count import usable_processors, worker_count


@pytest.fixture(autouse=True)
def sixteen_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def groups(directory: Path, own: str, **files: str) -> tuple[Path, Path]:
    """/proc/self/cgroup with this text, and control files by their paths, where `__` stands for a slash."""
    mount = directory / "cgroup"
    for name, text in files.items():
        file = mount / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    listing = directory / "self"
    listing.write_text(own)
    return listing, mount


def test_a_number_is_taken_as_it_is() -> None:
    assert worker_count(3) == 3


def test_without_a_quota_all_that_may_be_used_count(tmp_path: Path) -> None:
    assert usable_processors(tmp_path / "none", tmp_path) == 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 16), ("rubbish", 16)],
)
def test_a_quota_of_version_2_counts_rounded_up(tmp_path: Path, text: str, expected: int) -> None:
    assert usable_processors(*groups(tmp_path, "0::/pod\n", pod__cpu_max=text)) == expected


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    found = groups(tmp_path, "0::/a/b", a__b__cpu_max="800000 100000", a__cpu_max="300000 100000")
    assert usable_processors(*found) == 3


def test_a_group_that_is_not_mounted_here_is_looked_for_at_the_root(tmp_path: Path) -> None:
    assert usable_processors(*groups(tmp_path, "0::/../elsewhere", cpu_max="400000 100000")) == 4


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    found = groups(tmp_path, "4:cpu,cpuacct:/docker/x\n2:memory:/docker/x\n")
    for name, text in (("cpu.cfs_quota_us", "250000"), ("cpu.cfs_period_us", "100000")):
        file = found[1] / "cpu,cpuacct" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert usable_processors(*found) == 3


def test_no_quota_of_version_1_is_none(tmp_path: Path) -> None:
    found = groups(tmp_path, "4:cpu:/\n")
    for name, text in (("cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "100000")):
        file = found[1] / "cpu" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert usable_processors(*found) == 16
