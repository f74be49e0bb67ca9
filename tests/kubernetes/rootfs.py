"""A container's file system: its image, its volumes and the kubelet's files, in a mount namespace of its own.

Rules: the root is a new file system in memory, which holds of this machine only what the image names, read-only and at
the same path; directories on the way there can be entered by every user, as in an image. With readOnlyRootFilesystem
nothing but volumes can be written. Where a mount has no place yet, one is made, as container runtimes do.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from proxy.injector.document import Object, section, sections, text

_LINKS = ("bin", "sbin", "lib", "lib64")  # into /usr, on systems of today
_ETC = ("hosts", "hostname", "resolv.conf")  # the kubelet's


@dataclass(frozen=True, slots=True)
class Image:
    """What an image's name stands for: its entry point, and the paths of this machine that are in it."""

    entry: tuple[str, ...]
    paths: tuple[Path, ...] = ()


def script(root: Path, image: Image, container: Object, volumes: Mapping[str, Path], etc: Path) -> str:
    """What a shell in a new mount namespace does to have the container's file system at `root`. `etc`: a folder with
    the kubelet's files."""
    at = shlex.quote(str(root))
    lines = ["set -e", f"mount -t tmpfs -o mode=0755 tmpfs {at}", f"cd {at}", "umask 022"]
    lines += ["mkdir -p dev proc etc tmp var/tmp run root", "chmod 1777 tmp var/tmp"]
    lines += ["mount --rbind /dev dev", "mount --rbind /proc proc", "cp -a /etc/. etc"]
    lines.append("[ ! -d dev/shm ] || mount -t tmpfs -o mode=1777 tmpfs dev/shm")  # volumes of others are in this one
    lines += _machine(image)
    for name in _ETC:
        lines += [f"rm -f etc/{name}", *_bind(etc / name, f"/etc/{name}", is_file=True)]
    for mount in sections(container, "volumeMounts"):
        lines += _volume(mount, volumes)
    if section(container, "securityContext").get("readOnlyRootFilesystem") is True:
        lines.append(f"mount -o remount,bind,ro {at}")
    return "\n".join(lines)


def _machine(image: Image) -> Iterator[str]:
    for name in _LINKS:
        place = Path("/", name)
        if place.is_symlink():
            yield f"ln -s {shlex.quote(str(place.readlink()))} {name}"
        elif place.is_dir():
            yield from _bind(place, str(place), read_only=True)
    for path in _outermost([Path("/usr"), *image.paths]):
        yield from _bind(path, str(path), read_only=True)


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Each once, without those that are within others."""
    return sorted({each for each in paths if not any(parent in paths for parent in each.parents)})


def _volume(mount: Object, volumes: Mapping[str, Path]) -> list[str]:
    source = volumes[text(mount, "name")]
    if part := text(mount, "subPath"):
        source /= part
        source.mkdir(exist_ok=True) if not source.exists() else None
    is_file = source.is_file()
    return _bind(source, text(mount, "mountPath"), is_file=is_file, read_only=mount.get("readOnly") is True)


def _bind(source: Path, target: str, *, is_file: bool = False, read_only: bool = False) -> list[str]:
    inside = PurePosixPath(target).relative_to("/")
    place, origin = shlex.quote(str(inside)), shlex.quote(str(source))
    if is_file:
        lines = [f"mkdir -p {shlex.quote(str(inside.parent))}", f"[ -e {place} ] || : > {place}"]
    else:
        lines = [f"mkdir -p {place}"]
    lines.append(f"mount --bind {origin} {place}")
    return [*lines, f"mount -o remount,bind,ro {place}"] if read_only else lines
