"""What is in the image, and what is not."""

import importlib.metadata
import json
import re
import stat
from pathlib import Path
from urllib.parse import unquote

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.image.building import Image

pytestmark = pytest.mark.timeout(600)  # the first test waits for the build

# The block itself: what writes or looks for such keys has the words.
KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s:,-]{64,}")
_BILL = "/usr/share/doc/skinflint/sbom.cdx.json"


def files(image: Image) -> list[Path]:
    """All that is a file in it."""
    return [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]


def site(image: Image) -> Path:
    """Its Python packages."""
    [found] = image.root.glob("opt/skinflint/lib/python3.*/site-packages")
    return found


def test_it_runs_as_a_numeric_user_and_says_what_it_is(image: Image) -> None:
    assert image.user == "1337:1337"
    assert image.entrypoint == ("skinflint",)
    named = {name.removeprefix("org.opencontainers.image."): value for name, value in image.labels.items()}
    assert (named["version"], named["revision"], named["licenses"]) == ("0.0.0-test", "0123abc", "Apache-2.0")


def test_it_is_small(image: Image) -> None:
    mib = sum(path.stat().st_size for path in files(image)) / 2**20
    assert mib < 180, "look at what has come in, and whether deploy/image/strip.py should take it out"


def test_it_has_python_and_nft_and_no_other_program(image: Image) -> None:
    programs = [path for place in ("usr/bin", "usr/sbin", "opt/skinflint/bin") for path in image.path(place).iterdir()]
    assert sorted({re.sub(r"^python[\d.]*$", "python", path.name) for path in programs}) == [
        "nft",
        "python",
        "skinflint",
    ]
    others = [
        str(path.relative_to(image.root))
        for path in files(image)
        if path.stat().st_mode & 0o111 and path not in programs and not re.search(r"\.so\b", path.name)
    ]
    assert [name for name in others if not re.search(r"python3\.\d+/", name)] == []  # modules that are scripts, too


def test_nobody_gets_rights_by_a_file_or_may_change_one(image: Image) -> None:
    state = image.path("/var/lib/skinflint")
    assert (stat.S_IMODE(state.stat().st_mode), state.stat().st_uid, state.stat().st_gid) == (0o700, 1337, 1337)
    for path in image.root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or path in (state, image.path("/tmp")):
            continue
        assert mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH) == 0, path
        assert path.lstat().st_uid == 0, path


def test_no_private_key_is_in_it(image: Image) -> None:
    assert [path for path in files(image) if KEY.search(path.read_bytes())] == []


def test_the_bill_of_materials_is_valid_and_lists_all_that_is_installed(image: Image) -> None:
    text = image.path(_BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    listed = {unquote(each["purl"].partition("?")[0]) for each in bill["components"]}
    packages = {each.name for each in image.path("/var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "nftables", "libssl3t64"} <= packages
    assert {purl.split("/")[2].partition("@")[0] for purl in listed if purl.startswith("pkg:deb/")} == packages
    installed = importlib.metadata.distributions(path=[str(site(image))])
    names = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in installed}
    own = names.pop("skinflint")
    assert bill["metadata"]["component"]["version"] == own
    found = {
        purl.removeprefix("pkg:pypi/").replace("ruamel.", "ruamel-")
        for purl in listed
        if "/pypi/" in purl.replace(":", "/")
    }
    assert found - {f"skinflint@{own}"} == {f"{name}@{version}" for name, version in names.items()}


def test_what_a_package_lists_is_there(image: Image) -> None:
    for distribution in importlib.metadata.distributions(path=[str(site(image))]):
        gone = [str(file) for file in distribution.files or () if not (site(image) / file).exists()]
        assert [name for name in gone if not name.endswith(".pyc")] == [], distribution.name


def test_every_module_has_bytecode_that_is_taken_without_looking_at_its_source(image: Image) -> None:
    [standard] = image.root.glob("usr/lib/python3.*")
    for place in (standard, site(image)):
        sources = [path for path in place.rglob("*.py") if "lib2to3" not in path.parts]
        assert sources
        for source in sources:
            [cached] = source.parent.glob(f"__pycache__/{source.stem}.cpython-3??.pyc")
            with cached.open("rb") as file:
                assert file.read(8)[4:] == b"\x01\0\0\0", source
