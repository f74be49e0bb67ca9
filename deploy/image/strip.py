"""Takes out of an environment what Skinflint never runs, and keeps the packages' own lists of their files true.

What goes, and why that is sound:
- distributions that only mitmproxy's own programs use (its windows, its web pages, its script and view addons, QUIC):
  Skinflint uses its listeners alone, and `proxy/standins.py` keeps the rest from being imported;
- the helper program of mitmproxy's mode `local`, but not its package, which mitmproxy_rs imports;
- those parts of mitmproxy themselves, packages' tests, type stubs, C sources, and scripts in bin/;
- Pygments' lexers for what no traceback of ours is made of;
- zstandard's second binding, which serves interpreters other than CPython;
- symbols of shared objects that no loader needs (`strip`), except in libraries that a wheel brings beside its modules.

The test of the image imports every module of Skinflint in it, and makes calls. Only the standard library is needed.

Usage: strip.py ENVIRONMENT
"""

import csv
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

# Distribution: who would import it.
UNUSED = {
    "aioquic": "mitmproxy's QUIC layers",
    "argon2-cffi": "mitmproxy's web password",
    "argon2-cffi-bindings": "argon2-cffi",
    "asgiref": "mitmproxy's onboarding page",
    "bcrypt": "mitmproxy's htpasswd files; OpenSSH keys of cryptography",
    "blinker": "Flask",
    "flask": "mitmproxy's onboarding page",
    "itsdangerous": "Flask",
    "jinja2": "Flask",
    "ldap3": "mitmproxy's proxy authentication",
    "msgpack": "mitmproxy's content views",
    "pip": "nothing is installed later",
    "publicsuffix2": "mitmproxy's cookies",
    "pyasn1": "ldap3",
    "pycparser": "cffi, where it compiles",
    "pylsqpack": "aioquic",
    "pyparsing": "mitmproxy's flow filters",
    "pyperclip": "mitmproxy's clipboard",
    "service-identity": "aioquic",
    "sortedcontainers": "mitmproxy's flow view",
    "tornado": "mitmweb",
    "urwid": "mitmproxy's window",
    "wcwidth": "urwid",
    "werkzeug": "Flask",
}
_DROPPED = re.compile(
    r"mitmproxy/(addons|contentviews|contrib/(?!__init__|kaitaistruct/)|io|test|tools)/"
    r"|mitmproxy_rs/.*\.pyi$"
    r"|(alembic|mako|sqlalchemy)/testing/"
    r"|(certifi|numpy/[^/]+|numpy)/tests?/"
    r"|pygments/lexers/(?!(__init__|_mapping|python|special|data|shell)\.py$)"
    r"|zstandard/(_cffi\.|backend_cffi)"
    r"|.*\.(pyi|pyx|pxd|pxi|c|h|cpp|hpp|cu|rs|hash)$"
    r"|\.\./\.\./\.\./(bin/(?!skinflint$)|share/|include/)"
    r"|.*\.dist-info/direct_url\.json$"
    r"|.*\.pyc$"
)


def site_of(environment: Path) -> Path:
    """The environment's packages."""
    [site] = environment.glob("lib/python3.*/site-packages")
    return site


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def thin(distribution: Distribution, site: Path) -> None:
    """Take out a distribution, or files of it; its RECORD then lists what is left."""
    files = [PurePosixPath(file) for file in distribution.files or ()]
    is_unused = _normal(distribution.name) in UNUSED
    gone = {str(file) for file in files if is_unused or _DROPPED.match(str(file))}
    for name in gone:
        (site / name).unlink(missing_ok=True)
    if not is_unused:
        [record] = [site / file for file in files if file.name == "RECORD" and file.parent.suffix == ".dist-info"]
        with record.open(newline="", encoding="utf-8") as text:
            rows = [row for row in csv.reader(text) if row[0] not in gone]
        with record.open("w", newline="", encoding="utf-8") as text:
            csv.writer(text, lineterminator="\n").writerows(_measured(site, rows))


def _measured(site: Path, rows: list[list[str]]) -> list[list[str]]:
    """Without the digests of what `strip` changed."""
    return [[row[0], "", ""] if ".so" in Path(row[0]).suffixes and (site / row[0]).exists() else row for row in rows]


def strip_objects(site: Path) -> None:
    """Drop symbols for debuggers and linkers."""
    found = [
        str(path)
        for path in sorted(site.rglob("*.so*"))
        if path.is_file() and not any(part.endswith(".libs") for part in path.parts)
    ]
    subprocess.run(["strip", "--strip-unneeded", *found], check=True)


def prune(directory: Path) -> None:
    """Directories that are empty, or hold what nobody lists any more."""
    for place, _, _ in directory.walk(top_down=False):
        if not any(place.iterdir()):
            place.rmdir()


def main(environment: Path) -> None:
    """Thin the environment."""
    site = site_of(environment)
    for distribution in list(distributions(path=[str(site)])):
        thin(distribution, site)
    for cached in site.rglob("*.pyc"):
        cached.unlink()
    for script in (environment / "bin").iterdir():
        if script.name != "skinflint" and not script.name.startswith("python"):
            script.unlink()
    strip_objects(site)
    prune(environment)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
