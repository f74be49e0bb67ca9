"""What the gate knows its clients by, as long as the process lives: the file of tokens, the watched pods.

A reload that names other files or another cluster makes new ones; what stays the same is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import structlog

from config.errors import Problem, SettingsError
from config.gateway import Access, KubernetesSources
from proxy.access.credentials import Credentials, CredentialsFile
from proxy.access.gate import Gate
from proxy.metrics import Gauge

if TYPE_CHECKING:
    from proxy.kubernetes.pods import PodWatch

log = structlog.get_logger(__name__)

_FIRST_LIST_S: Final = 15.0


class AccessParts:
    """See the module. `environ`: where a cluster tells its pods of its API."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._file: CredentialsFile | None = None
        self._pods: PodWatch | None = None
        self._retired: list[PodWatch] = []

    def gate(self, settings: Access) -> Gate:
        """The gate of new settings. Raises SettingsError."""
        if settings.credentials is None:
            self._file = None
        elif self._file is None or self._file.file != settings.credentials:
            self._file = CredentialsFile(settings.credentials)
        self._choose_pods(settings.kubernetes)
        return Gate(settings, _current(self._file), self._pods)

    def _choose_pods(self, settings: KubernetesSources) -> None:
        if self._pods is not None and self._pods.settings == settings:
            return
        if self._pods is not None:
            self._retired.append(self._pods)
        self._pods = self._watch(settings) if settings.enabled else None

    def _watch(self, settings: KubernetesSources) -> "PodWatch":
        from proxy.kubernetes.api import ApiError, Place  # noqa: PLC0415 - few want it, and aiohttp takes 10 MB
        from proxy.kubernetes.pods import PodWatch  # noqa: PLC0415

        try:
            place = Place.of(settings.api, settings.token_file, settings.ca_file, self._environ)
        except ApiError as exc:
            raise SettingsError(Problem("access", "access.kubernetes.api", str(exc))) from exc
        return PodWatch(settings, place)

    async def start(self) -> None:
        """Before the listeners are opened: the pods are known, or it was tried for a while."""
        if self._pods is None:
            return
        self._pods.begin()
        if not await self._pods.known(_FIRST_LIST_S):
            log.error("pods_unknown", after_s=_FIRST_LIST_S, then="clients that only their pods tell are refused")

    async def tend(self) -> Credentials | None:
        """About once a second. Tokens that are new are returned, as others may have gone."""
        while self._retired:
            await self._retired.pop().stop()
        if self._pods is not None:
            self._pods.begin()
        return self._file.current if self._file is not None and self._file.poll() else None

    async def stop(self) -> None:
        """End."""
        for watch in [*self._retired, *([self._pods] if self._pods is not None else [])]:
            await watch.stop()

    def gauges(self) -> Iterable[Gauge]:
        """Of the watch."""
        yield Gauge("skinflint_access_pods", "Pods that clients are known by.", (), self._known)
        yield Gauge(
            "skinflint_access_pods_age_seconds", "Since the Kubernetes API was last heard of pods.", (), self._age
        )

    def _known(self) -> list[tuple[tuple[str, ...], float]]:
        return [] if self._pods is None else [((), float(len(self._pods)))]

    def _age(self) -> list[tuple[tuple[str, ...], float]]:
        age = self._pods.age_s if self._pods is not None else None
        return [] if age is None else [((), age)]


def _current(file: CredentialsFile | None) -> Callable[[], Credentials] | None:
    return None if file is None else lambda: file.current
