"""How many workers: the setting, or the processors that this process may really use.

Rules: what is allowed is the smallest of the affinity mask and the quotas of all control groups above us (version 2 or
1), rounded up: a quota of 1.5 keeps two workers busy in turn. What cannot be read does not limit.
"""

import math
import os
from pathlib import Path
from typing import Final, Literal

from config.schema import MOST_WORKERS

_SELF: Final = Path("/proc/self/cgroup")
_MOUNT: Final = Path("/sys/fs/cgroup")


def worker_count(setting: int | Literal["auto"]) -> int:
    """The number of workers, at least 1."""
    return usable_processors() if setting == "auto" else setting


def usable_processors(own_groups: Path = _SELF, mount: Path = _MOUNT) -> int:
    """Processors that are allowed to this process, between 1 and MOST_WORKERS."""
    processors: float = len(os.sched_getaffinity(0))
    quota = _quota(own_groups, mount)
    if quota is not None:
        processors = min(processors, quota)
    return max(1, min(MOST_WORKERS, math.ceil(processors)))


def _quota(own_groups: Path, mount: Path) -> float | None:
    """The smallest quota of our groups, in processors."""
    quotas = []
    for line in _text(own_groups).splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            quotas += [_version_2(group) for group in _upwards(mount, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_version_1(group) for name in ("cpu", controllers) for group in _upwards(mount / name, path)]
    known = [quota for quota in quotas if quota is not None]
    return min(known, default=None)


def _upwards(mount: Path, path: str) -> list[Path]:
    """The group and all above it. In a container's own namespace the path may name what is not mounted there."""
    group = mount / path.strip("/")
    return [each for each in (group, *group.parents) if each.is_relative_to(mount)]


def _version_2(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _version_1(group: Path) -> float | None:
    return _ratio(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        allowed = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # `max`, or nothing there
        return None
    return allowed if allowed > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, ValueError):
        return ""
