"""A pod's volumes as directories of this machine, as the kubelet makes them.

Rules: an emptyDir is everybody's (mode 0777), one of medium Memory is in memory, and files in it are the fsGroup's if
there is one; a ConfigMap's files are links into a folder that is exchanged as a whole. Nothing outlives the block.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.injector.document import Object, section, sections, text

type ConfigMaps = Mapping[str, Mapping[str, str]]

_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def volumes(pod: Object, directory: Path, config_maps: ConfigMaps) -> Iterator[dict[str, Path]]:
    """The volumes by name. `config_maps`: those of the pod's namespace."""
    made: dict[str, Path] = {}
    with contextlib.ExitStack() as stack:
        for volume in sections(section(pod, "spec"), "volumes"):
            name = text(volume, "name")
            if text(section(volume, "emptyDir"), "medium") == "Memory" and _MEMORY.is_dir():
                made[name] = Path(tempfile.mkdtemp(prefix="sf-volume-", dir=_MEMORY))
                stack.callback(shutil.rmtree, made[name], ignore_errors=True)
            else:
                made[name] = directory / name
                made[name].mkdir(parents=True)
            made[name].chmod(0o777)
            if isinstance(group := section(section(pod, "spec"), "securityContext").get("fsGroup"), int):
                os.chown(made[name], 0, group)
                made[name].chmod(0o2777)
            if reference := section(volume, "configMap"):
                made[name].chmod(0o755)
                _place(made[name], config_maps[text(reference, "name")], sections(reference, "items"))
        yield made


def _place(folder: Path, content: Mapping[str, str], items: list[Object]) -> None:
    wanted = {text(each, "key"): text(each, "path") for each in items} or {key: key for key in content}
    whole = folder / "..2026_01_01"
    whole.mkdir(mode=0o755)
    (folder / "..data").symlink_to(whole.name)
    for key, path in wanted.items():
        (whole / path).write_text(content[key])
        (folder / path).symlink_to(Path("..data", path))
