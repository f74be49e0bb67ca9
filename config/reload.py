"""Watching the settings' files while the proxy runs.

Rules: a poll looks at the files only, and loads when their content has changed; a link that is swapped, as Kubernetes
does with ConfigMaps, is a change. A load gives a whole good snapshot, which is applied, or it is refused, said once,
and the old snapshot stays. What cannot change while running makes a snapshot refused.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from config.errors import SettingsError
from config.load import SettingsLoader
from config.schema import Settings
from config.sight import Sight, look

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a poll did. `message` says why a snapshot was refused."""

    outcome: Literal["unchanged", "applied", "refused"]
    message: str = ""


class ReloadWatcher:
    """Applies new settings when the loader's files change. `current` is what the loader has just given."""

    def __init__(
        self,
        loader: SettingsLoader,
        current: Settings,
        apply: Callable[[Settings], None],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._loader = loader
        self._current = current
        self._apply = apply
        self._clock_ns = clock_ns
        self._seen = {file: look(file, None, clock_ns()) for file in loader.files}

    def poll(self, *, force: bool = False) -> ReloadResult:
        """Look for changes and act on them; `force` loads in any case, as for SIGHUP. Never raises for bad settings."""
        now = self._clock_ns()
        seen = {file: look(file, self._seen.get(file), now) for file in self._loader.files}
        has_changed = _contents(seen) != _contents(self._seen)
        self._seen = seen
        return self._reload() if has_changed or force else ReloadResult("unchanged")

    def _reload(self) -> ReloadResult:
        try:
            settings = self._loader.load()
            if fixed := changed_fixed_keys(self._current, settings):
                return _refused(f"{', '.join(fixed)} cannot change while running; restart to apply the new settings")
            self._apply(settings)
        except SettingsError as exc:
            return _refused(str(exc))
        finally:  # also after a refusal: the new files are those whose repair must be noticed
            now = self._clock_ns()
            self._seen = {file: self._seen.get(file) or look(file, None, now) for file in self._loader.files}
        self._current = settings
        _log.info("settings_applied", files=[str(file) for file in self._loader.files])
        return ReloadResult("applied")


def changed_fixed_keys(old: Settings, new: Settings) -> list[str]:
    """The keys that differ and that only a restart can change."""
    pairs = {
        "listeners": (old.listeners, new.listeners),
        "admin": (old.admin, new.admin),
        "data_dir": (old.data_dir, new.data_dir),
        "ca_dir": (old.ca_dir, new.ca_dir),
        "trust_dir": (old.trust_dir, new.trust_dir),
        "workers": (old.workers, new.workers),
        "ledger.url": (old.ledger.url, new.ledger.url),
        "cache.redis": (old.cache.redis, new.cache.redis),
        "cache.disk": (old.cache.disk, new.cache.disk),
        "cache.key_file": (old.cache.key_file, new.cache.key_file),
    }
    if old.workers != 1:  # several workers share memory that was made before them
        pairs["cache.memory.max_bytes"] = (old.cache.memory.max_bytes, new.cache.memory.max_bytes)
    return [key for key, (before, after) in pairs.items() if before != after]


def _refused(message: str) -> ReloadResult:
    _log.error("settings_refused", reason=message)
    return ReloadResult("refused", message)


def _contents(seen: dict[Path, Sight]) -> dict[Path, bytes]:
    return {file: sight.digest for file, sight in seen.items()}
