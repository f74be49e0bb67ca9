"""What must stay out of a running proxy's memory, and how memory is given back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.memory import Tide, _clean_code

ROOT = Path(__file__).parents[1]

# Each was in every sidecar once; together they were half of its memory, and of its start.
HEAVY = {
    "aioquic", "aiohttp.client", "aiohttp.web", "alembic", "genai_prices", "http.server", "httpx2",
    "mitmproxy.addons", "mitmproxy.command", "mitmproxy.flowfilter", "mitmproxy.master", "mitmproxy.optmanager",
    "mitmproxy.proxy.layers.quic", "mitmproxy_rs.mitmproxy_rs", "pygments", "pyparsing", "rich", "ruamel",
    "sqlalchemy", "wsproto",
}  # fmt: skip

STARTED = """
import asyncio, json, sys, urllib.request
from pathlib import Path
import proxy.cli
from config.schema import Admin, Listener, Settings
from proxy.app import Skinflint

async def main():
    settings = Settings(
        data_dir=Path({data!r}), listeners=[Listener(address="127.0.0.1:0")], admin=Admin(address="127.0.0.1:0")
    )
    skinflint = Skinflint(settings)
    runtime = await skinflint.start()
    url = f"http://{{runtime.admin}}/readyz"
    code = f"import urllib.request as r; print(r.urlopen({{url!r}}).status)"
    probe = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    answer, _ = await probe.communicate()
    names = sorted(sys.modules)
    await skinflint.stop(asyncio.Event())
    print(json.dumps({{"ready": int(answer), "modules": names}}))

asyncio.run(main())
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_probed_proxy_has_imported_nothing_heavy(tmp_path: Path) -> None:
    told = json.loads(run(STARTED.format(data=str(tmp_path))).splitlines()[-1])
    assert told["ready"] == 200
    assert not HEAVY & set(told["modules"])


@pytest.mark.parametrize(
    ("wanted", "is_there"),
    [
        ("import mitmproxy.http", "mitmproxy.http.Request.make('GET', 'https://a.test/').host == 'a.test'"),
        (
            "import mitmproxy.options",
            "mitmproxy.options.CONF_BASENAME and not mitmproxy.options.Options().ssl_insecure",
        ),
        ("from mitmproxy.proxy import layers", "layers.HttpLayer.__name__ == 'HttpLayer'"),
        ("from mitmproxy.proxy.layers.http import HTTPMode, HttpLayer", "HttpLayer.__name__ == 'HttpLayer'"),
        ("import mitmproxy_rs", "callable(mitmproxy_rs.dns.DnsResolver)"),
        ("import aiohttp", "aiohttp.ClientSession.__module__ == 'aiohttp.client' and aiohttp.__version__ > '3'"),
        ("import prometheus_client", "callable(prometheus_client.generate_latest)"),
        ("import rich.console", "callable(rich.console.Console)"),
    ],
)
def test_who_asks_a_stand_in_for_more_gets_the_real_thing(wanted: str, is_there: str) -> None:
    assert run(f"import proxy.edge.master, proxy.metrics\n{wanted}\nprint({is_there})").strip() == "True"


def test_a_stand_in_has_no_attribute_that_the_real_thing_lacks() -> None:
    script = (
        "import proxy\nimport aiohttp\n"
        "try:\n    aiohttp.nothing_of_that_name\nexcept AttributeError:\n    print('none')"
    )
    assert run(script).strip() == "none"


def test_memory_is_given_back_after_a_rush_and_once() -> None:
    given: list[int] = []
    tide = Tide(lambda: given.append(1))
    for connections in (0, 10, 60, 5, 0):
        tide.at(connections)
    assert given == []
    for connections in (100, 300, 200, 151):
        tide.at(connections)
    assert given == []
    for connections in (150, 149, 100, 90, 80):
        tide.at(connections)
    assert given == [1]
    tide.at(75)
    assert given == [1, 1]


SMAPS = """\
00400000-00401000 r--p 00000000 08:01 11 /lib/a.so
Anonymous: 0 kB
00401000-00403000 r-xp 00001000 08:01 11 /lib/a.so
Size: 8 kB
Anonymous: 0 kB
VmFlags: rd ex mr
00403000-00405000 r-xp 00003000 08:01 12 /lib/changed in memory.so
Anonymous: 4 kB
00405000-00406000 rw-p 00005000 08:01 11 /lib/a.so
Anonymous: 0 kB
7ff000-801000 r-xp 00000000 00:00 0 [vdso]
Anonymous: 0 kB
"""


def test_only_code_that_is_a_files_is_let_go() -> None:
    assert list(_clean_code(SMAPS)) == [(0x401000, 0x2000)]
