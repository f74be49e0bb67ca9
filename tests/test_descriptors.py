"""The limit of open files is raised as far as it may be."""

import resource
from pathlib import Path

import pytest

from proxy.descriptors import MOST, raised
from tests.support.running import running_proxy

NONE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 4096, 4096),
        (4096, 4096, 4096),
        (1024, 10_000_000, MOST),
        (2_000_000, 10_000_000, 2_000_000),
        (1024, NONE, MOST),
        (NONE, NONE, NONE),
    ],
)
def test_as_many_as_may_be_had(soft: int, hard: int, wanted: int) -> None:
    assert raised(soft, hard) == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_a_proxy_and_its_workers_have_them(tmp_path: Path, workers: int) -> None:
    prefix = ["sh", "-c", 'ulimit -n 4096; ulimit -Sn 1024; exec "$@"', "sh"]
    with running_proxy(tmp_path, {"workers": workers}, prefix=prefix) as proxy:
        pid = proxy.process.popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == (0 if workers == 1 else 2)
        for each in (str(pid), *children):
            limits = Path(f"/proc/{each}/limits").read_text().splitlines()
            assert next(line for line in limits if "open files" in line).split()[3:5] == ["4096", "4096"]
