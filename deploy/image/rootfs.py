"""Makes the root of the image that runs: the files of a few Debian packages and of what they depend on, and no more.

Rules: no shell, no package manager, no setuid bits, no documentation besides licences. What is there is said where
scanners look in such images: /var/lib/dpkg/status.d, one file a package. Only the standard library is needed here.

Usage: rootfs.py TARGET
"""

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_WANTED = (
    "base-files",  # /etc/os-release, the links from /lib to /usr/lib
    "ca-certificates",
    "libgcc-s1",
    "libpython3-stdlib",
    "libstdc++6",  # of aiohttp's helpers
    "nftables",
    "python3-minimal",
)
# Dependencies for installing, configuring and interactive use; nothing that runs here opens them.
_UNWANTED = frozenset(("awk", "debconf", "debconf-2.0", "dpkg", "mawk", "openssl", "readline-common"))
# What installation scripts made, so that no package lists it.
_MADE = (
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/nsswitch.conf",
    "/etc/ssl/certs",
    "/usr/lib/ssl",  # from here OpenSSL finds /etc/ssl/certs; the package `openssl` has it
    "/usr/lib/locale/C.utf8",
)
_DROPPED = re.compile(
    r"/usr/share/(man|info|locale|lintian|bash-completion|bug|menu|pixmaps|applications|python3|gcc|gdb|binfmts|nftables)(/|$)"
    r"|/usr/share/doc/.*(?<!/copyright)$|/usr/share/doc$"
    r"|/usr/lib/[^/]+/gconv(/|$)"  # encodings for iconv: Python has its own
    r"|/usr/(s?bin/update-ca-certificates|bin/py3(compile|clean|versions)|bin/python3?[^/]*-config|bin/pdb3?[^/]*|bin/pydoc3?[^/]*|bin/pygettext3?[^/]*)$"
    r"|/etc/(update-motd\.d|cron\.|init\.d|default|dpkg|ca-certificates|motd|issue|profile|kernel|nftables\.conf)"
    r"|/usr/lib/(dpkg|ssl/misc|systemd|tmpfiles\.d|sysusers\.d|valgrind|python3\.\d+/(ensurepip|idlelib|turtledemo|pydoc_data))(/|$)"
    r"|/(bin|sbin|lib|lib64|boot|home|media|mnt|srv|root|proc|sys|dev|run|tmp|var/backups|var/local|var/lock|var/mail|var/run)(/|$)"
)
_EMPTY = ("dev", "etc", "proc", "run", "sys", "var/lib/dpkg/status.d", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64")
_USERS = "root:x:0:0:root:/:/sbin/nologin\nskinflint:x:1337:1337:skinflint:/var/lib/skinflint:/sbin/nologin\n"
_GROUPS = "root:x:0:\nskinflint:x:1337:\n"

type Stanzas = dict[str, str]


def installed() -> Stanzas:
    """What dpkg says of each package that is installed."""
    status = Path("/var/lib/dpkg/status").read_text(encoding="utf-8")
    named = {_field(each, "Package"): each for each in status.split("\n\n") if "Status: install ok installed" in each}
    for name, stanza in list(named.items()):
        for provided in _names(_field(stanza, "Provides")):
            named.setdefault(provided, named[name])
    return named


def closure(known: Stanzas, wanted: Iterable[str]) -> Stanzas:
    """The wanted packages and their dependencies, by their own names. Raises KeyError for one that is not installed."""
    found: Stanzas = {}
    waiting = list(wanted)
    while waiting:
        stanza = known[waiting.pop()]
        name = _field(stanza, "Package")
        if name in found or name in _UNWANTED:
            continue
        found[name] = stanza
        needs = f"{_field(stanza, 'Depends')},{_field(stanza, 'Pre-Depends')}"
        for need in needs.split(","):
            names = [each for each in _names(need, "|") if each in known]
            if names and not _UNWANTED.intersection(_names(need, "|")):
                waiting.append(names[0])
    return dict(sorted(found.items()))


def _field(stanza: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", stanza, re.MULTILINE)
    return found[1].strip() if found else ""


def _names(text: str, separator: str = ",") -> list[str]:
    return [re.split(r"[ :(]", each.strip())[0] for each in text.split(separator) if each.strip()]


def files(packages: Iterable[str]) -> Iterator[Path]:
    """What the packages brought, and what their installation made; parents before what is in them."""
    for package in packages:
        listed = subprocess.run(["dpkg", "-L", package], check=True, capture_output=True, text=True)
        yield from (Path(line) for line in listed.stdout.splitlines() if line.startswith("/"))
    for made in map(Path, _MADE):
        if made.exists():
            yield made
            yield from sorted(made.rglob("*")) if made.is_dir() else ()


def copy(source: Path, target: Path) -> None:
    """One file, link or directory, without bits that give a user somebody else's rights."""
    place = target / source.relative_to("/")
    if place.exists() or place.is_symlink() or not (source.exists() or source.is_symlink()):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        place.symlink_to(source.readlink())
    elif source.is_dir():
        place.mkdir()
    else:
        shutil.copy2(source, place)
        place.chmod(stat.S_IMODE(source.stat().st_mode) & 0o755)


def prune(target: Path) -> None:
    """Directories in which nothing is left."""
    for directory, _, _ in target.walk(top_down=False):
        if not any(directory.iterdir()):
            directory.rmdir()


def main(target: Path) -> None:
    """Write the root into an empty directory."""
    packages = closure(installed(), _WANTED)
    target.mkdir(parents=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        (target / link).symlink_to(f"usr/{link}")
    for path in files(packages):
        if not _DROPPED.match(str(path)):
            copy(path, target)
    prune(target)
    for name in _EMPTY:
        (target / name).mkdir(parents=True, exist_ok=True)
    (target / "tmp").mkdir(mode=0o1777)
    (target / "tmp").chmod(0o1777)
    for name, stanza in packages.items():
        (target / "var/lib/dpkg/status.d" / name).write_text(stanza + "\n", encoding="utf-8")
    (target / "etc/passwd").write_text(_USERS, encoding="utf-8")
    (target / "etc/group").write_text(_GROUPS, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
