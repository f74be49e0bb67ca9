"""What the image is built from is what the package says of itself."""

import importlib.metadata
import tomllib

from tests.image.test_contents import KEY
from tests.support.processes import ROOT


def test_every_extra_has_a_lock_of_the_same_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, requirements in project["optional-dependencies"].items():
        lines = (ROOT / "requirements" / f"{extra}.in").read_text().splitlines()
        assert [line for line in lines if not line.startswith(("#", "-c"))] == requirements
        assert (ROOT / "requirements" / f"{extra}.txt").exists()


def test_the_wheel_of_mitmproxy_holds_no_private_key() -> None:
    files = importlib.metadata.files("mitmproxy")
    assert files
    assert [str(file) for file in files if file.suffix != ".pyc" and KEY.search(file.read_binary())] == []
