"""What a proxy is known by: its certificate authority, the files that make clients trust it, its keys.

The keys are that of its digests and the token of its admin listener. Made on the first run, found on later ones. All
workers of a proxy have one: it is made before they start, so that a worker that is replaced is not another proxy to
its clients.
"""

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from config.errors import Problem, SettingsError
from config.schema import Settings
from proxy.admin.token import AdminToken
from proxy.edge.ca import CertificateAuthority, certified_hosts, load_or_create
from proxy.edge.provided_ca import load_provided, warn_of
from proxy.edge.trust import TrustFiles, trusted_sources, write_trust
from proxy.providers.registry import Registry

OWN_FOLDER = "ca"  # in the data directory
_KEY_FILE = "fingerprint.key"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """See the module."""

    authority: CertificateAuthority
    trust: TrustFiles
    fingerprint_key: bytes = field(repr=False)
    token: AdminToken = field(repr=False)

    def with_authority(
        self, authority: CertificateAuthority, settings: Settings, environ: Mapping[str, str]
    ) -> "Identity":
        """The same with another authority, and its public files. Raises OSError."""
        public = public_directory(settings)
        sources = trusted_sources(environ, TrustFiles.in_directory(public).bundle)
        return replace(self, authority=authority, trust=write_trust(authority, public, sources))

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str]) -> "Identity":
        """The identity in the settings' data directory. Raises CaError, SettingsError or OSError."""
        key = load_key(settings.data_dir / _KEY_FILE)
        authority = authority_of(settings, datetime.now(UTC))
        public = public_directory(settings)
        sources = trusted_sources(environ, TrustFiles.in_directory(public).bundle)
        return cls(authority, write_trust(authority, public, sources), key, AdminToken.of(settings.data_dir))

    def registry_for(self, settings: Settings) -> Registry:
        """The providers of new settings. Raises SettingsError for hosts that the authority cannot speak for."""
        registry = Registry.from_settings(settings)
        if not self.authority.is_ours:
            return registry  # hosts that it cannot speak for are tunnelled
        if lacking := self.authority.lacks(registry.hosts()):
            message = f"the certificate authority does not permit {', '.join(lacking)}; restart to make a new one"
            raise SettingsError(Problem("reload", "providers", message))
        return registry


def authority_of(settings: Settings, now: datetime) -> CertificateAuthority:
    """The authority in `ca_dir`; without one our own, made if it is not there. Raises CaError."""
    hosts = Registry.from_settings(settings).hosts()
    if settings.ca_dir is None:
        return load_or_create(settings.data_dir / OWN_FOLDER, certified_hosts(hosts), now)
    authority = load_provided(settings.ca_dir, now)
    warn_of(authority, hosts, now)
    return authority


def public_directory(settings: Settings) -> Path:
    """Where the public files go. Not over the files of an authority of our own that is not in use."""
    return settings.trust_dir or settings.data_dir / (OWN_FOLDER if settings.ca_dir is None else "trust")


def load_key(path: Path) -> bytes:
    """The key of all digests, made on first use. Two processes that start at once agree on one.

    Raises SettingsError or OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
            os.fsync(descriptor)
            os.link(draft, path)
        finally:
            os.close(descriptor)
            draft.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise SettingsError(Problem(str(path), "", "must hold 32 bytes; delete it, and a new one is made"))
    return key
