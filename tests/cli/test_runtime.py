"""Finding the running proxy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import runtime
from proxy.runtime import BoundListener, Runtime


def make_runtime(data_dir: Path, pid: int = 0, *listeners: BoundListener) -> Runtime:
    return Runtime(
        pid=pid or os.getpid(),
        version="1.2.3",
        started_at=1.5,
        listeners=listeners or (BoundListener("regular", "127.0.0.1:8080"),),
        admin="127.0.0.1:9190",
        ca=data_dir / "ca.pem",
        bundle=data_dir / "bundle.pem",
        truststore=data_dir / "truststore.p12",
        data_dir=data_dir,
    )


def pid_of_nobody() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = make_runtime(tmp_path)
    runtime.write(written)
    assert runtime.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [runtime.FILE_NAME]


def test_a_file_of_its_own_leaves_the_usual_one_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "other.json"
    runtime.write(make_runtime(tmp_path), file)
    assert runtime.read(tmp_path) is None
    assert runtime.read_file(file) == make_runtime(tmp_path)


def test_a_process_that_is_gone_runs_no_proxy(tmp_path: Path) -> None:
    runtime.write(make_runtime(tmp_path, pid_of_nobody()))
    assert runtime.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1, "listeners": 3}', '{"pid": 0}'])
def test_what_cannot_be_understood_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / runtime.FILE_NAME).write_text(text)
    assert runtime.read(tmp_path) is None


def test_absent_is_none(tmp_path: Path) -> None:
    assert runtime.read(tmp_path / "nowhere") is None


def test_remove_takes_ones_own_away_once(tmp_path: Path) -> None:
    mine = make_runtime(tmp_path)
    runtime.write(mine)
    runtime.remove(mine)
    runtime.remove(mine)
    assert list(tmp_path.iterdir()) == []


def test_remove_leaves_another_proxys_file(tmp_path: Path) -> None:
    other = make_runtime(tmp_path, os.getppid())
    runtime.write(other)
    runtime.remove(make_runtime(tmp_path))
    assert runtime.read(tmp_path) == other


@pytest.mark.parametrize(
    ("bound", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("[fd00::1]:8080", "http://[fd00::1]:8080"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080"),
    ],
)
def test_the_proxys_url_can_be_connected_to(tmp_path: Path, bound: str, url: str) -> None:
    found = make_runtime(tmp_path, 0, BoundListener("hosts", "0.0.0.0:443"), BoundListener("regular", bound))
    assert found.proxy_url == url


def test_without_a_regular_listener_there_is_no_url(tmp_path: Path) -> None:
    assert make_runtime(tmp_path, 0, BoundListener("hosts", "0.0.0.0:443")).proxy_url is None
