"""Joins what the image holds into one bill of materials (CycloneDX 1.6, JSON): the Python packages that cyclonedx-py
found in the environment, and the Debian packages of the root.

Rules: the same image gives the same bytes. Only the standard library is needed.

Usage: sbom.py ENVIRONMENT.json ROOT BILL.json
"""

import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

type Json = dict[str, object]


def debian_component(stanza: str, release: str) -> Json:
    """One package, by what dpkg says of it."""
    fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
    name, version = fields["Package"], fields["Version"]
    source = re.split(r" ", fields.get("Source", name))[0]
    where = f"arch={fields['Architecture']}&distro={quote(release)}"
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?{where}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "description": fields.get("Description", ""),
        "purl": purl,
        "properties": [{"name": "skinflint:debian:source", "value": source}],
    }


def release_of(root: Path) -> str:
    """As `debian-13`."""
    text = (root / "etc/os-release").read_text(encoding="utf-8")
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return f"{fields['ID']}-{fields['VERSION_ID']}"


def joined(bill: Json, root: Path) -> Json:
    """The environment's bill with the root's packages added."""
    release = release_of(root)
    packages = sorted((root / "var/lib/dpkg/status.d").iterdir())
    components = bill.get("components")
    assert isinstance(components, list)
    found = [debian_component(package.read_text(encoding="utf-8"), release) for package in packages]
    return {**bill, "components": [*components, *found]}


def main(environment: Path, root: Path, bill: Path) -> None:
    """Write the joined bill."""
    whole = joined(json.loads(environment.read_text(encoding="utf-8")), root)
    bill.parent.mkdir(parents=True, exist_ok=True)
    bill.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
