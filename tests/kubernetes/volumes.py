"""A pod's volumes as directories of this machine, as the kubelet makes them.

Rules: an emptyDir is everybody's (mode 0777), one of medium Memory is in memory, and files in it are the fsGroup's if
there is one; files of ConfigMaps and Secrets are links into a folder that is exchanged as a whole. Those of Secrets are
in memory, root's, and of the volume's defaultMode; with an fsGroup they are that group's, which may read them. Nothing
outlives the block.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.injector.document import Json, Object, section, sections, text

type ConfigMaps = Mapping[str, Mapping[str, str]]
type Secrets = Mapping[str, Mapping[str, str]]

_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def volumes(
    pod: Object, directory: Path, config_maps: ConfigMaps, secrets: Secrets | None = None
) -> Iterator[dict[str, Path]]:
    """The volumes by name. `config_maps` and `secrets`: those of the pod's namespace."""
    made: dict[str, Path] = {}
    group = section(section(pod, "spec"), "securityContext").get("fsGroup")
    with contextlib.ExitStack() as stack:
        for volume in sections(section(pod, "spec"), "volumes"):
            name = text(volume, "name")
            is_in_memory = text(section(volume, "emptyDir"), "medium") == "Memory" or bool(section(volume, "secret"))
            if is_in_memory and _MEMORY.is_dir():
                made[name] = Path(tempfile.mkdtemp(prefix="sf-volume-", dir=_MEMORY))
                stack.callback(shutil.rmtree, made[name], ignore_errors=True)
            else:
                made[name] = directory / name
                made[name].mkdir(parents=True)
            made[name].chmod(0o777)
            if isinstance(group, int):
                os.chown(made[name], 0, group)
                made[name].chmod(0o2777)
            if reference := section(volume, "configMap"):
                made[name].chmod(0o755)
                _place(made[name], config_maps[text(reference, "name")], sections(reference, "items"))
            if reference := section(volume, "secret"):
                made[name].chmod(0o755)
                _place_secret(made[name], reference, secrets or {}, group)
        yield made


def _place_secret(folder: Path, reference: Object, secrets: Secrets, group: Json) -> None:
    name, items, mode = text(reference, "secretName"), sections(reference, "items"), reference.get("defaultMode", 0o644)
    content = secrets.get(name, {})
    if reference.get("optional") is True:
        items = [each for each in items if text(each, "key") in content]
    else:
        assert name in secrets, f"there is no secret {name}"
    _place(folder, content, items)
    for file in (folder / "..data").iterdir():
        assert isinstance(mode, int)
        if isinstance(group, int):
            os.chown(file, 0, group)
        file.chmod(mode | 0o440 if isinstance(group, int) else mode)


def _place(folder: Path, content: Mapping[str, str], items: list[Object]) -> None:
    wanted = {text(each, "key"): text(each, "path") for each in items} or {key: key for key in content}
    whole = folder / "..2026_01_01"
    whole.mkdir(mode=0o755)
    (folder / "..data").symlink_to(whole.name)
    for key, path in wanted.items():
        (whole / path).write_text(content[key])
        (folder / path).symlink_to(Path("..data", path))
