"""What the gate knows its clients by, as long as the process lives: the file of tokens, the watched pods.

A reload that names other files or another cluster makes new ones; what stays the same is kept.
"""

from collections.abc import Callable

from config.gateway import Access
from proxy.access.credentials import Credentials, CredentialsFile
from proxy.access.gate import Gate


class AccessParts:
    """See the module."""

    def __init__(self) -> None:
        self._file: CredentialsFile | None = None

    def gate(self, settings: Access) -> Gate:
        """The gate of new settings. Raises SettingsError."""
        if settings.credentials is None:
            self._file = None
        elif self._file is None or self._file.file != settings.credentials:
            self._file = CredentialsFile(settings.credentials)
        return Gate(settings, _current(self._file))

    def poll(self) -> Credentials | None:
        """Look at the files; new tokens are returned, as others may have gone."""
        return self._file.current if self._file is not None and self._file.poll() else None


def _current(file: CredentialsFile | None) -> Callable[[], Credentials] | None:
    return None if file is None else lambda: file.current
