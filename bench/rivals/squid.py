"""squid, the classic forward proxy: with ssl-bump it opens the clients' TLS as Skinflint does; as a tunnel it does not.

Rules: one process, nothing on disk, no access log. It keeps no answers to POST, so that it takes part in forwards only.
Bumped calls reach the upstream through a peer, whose certificate is verified; a tunnel is told the upstream's address.
"""

import os
import pwd
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.contestants import Upstream, free_ports, listens
from bench.rivals.base import SYSTEM_PATH, Launch, Rival, Work
from bench.target import Target
from bench.work import HOST

_CERTGEN: Final = "/usr/lib/squid/security_file_certgen"
_USER: Final = "proxy"
_BASE: Final = """http_access allow all
cache deny all
access_log none
cache_log {directory}/cache.log
cache_store_log none
pid_filename none
coredump_dir {directory}
pinger_enable off
shutdown_lifetime 0 seconds
max_filedescriptors 8192
"""
_BUMP: Final = """http_port 127.0.0.1:{port} ssl-bump cert={directory}/ca.pem generate-host-certificates=on \
dynamic_cert_mem_cache_size=4MB
sslcrtd_program {certgen} -s {directory}/certificates -M 4MB
sslcrtd_children 1 startup=1 idle=1
ssl_bump bump all
cache_peer 127.0.0.1 parent {upstream} 0 no-query no-digest originserver tls name=provider \
sslcafile={directory}/upstream.pem ssldomain={host}
never_direct allow all
"""
_TUNNEL: Final = "http_port 127.0.0.1:{port}\n"


class Squid(Rival):
    """See the module."""

    caches = False

    def __init__(self, work: Work, *, is_bumped: bool) -> None:
        super().__init__("squid, ssl-bump" if is_bumped else "squid, tunnel (reads nothing)", work)
        self.is_bumped = is_bumped

    def why_missing(self) -> str | None:
        if self.work == "hit":
            return "keeps no answers to POST"
        if _program() is None or not Path(_CERTGEN).exists():
            return "not installed (Debian's package squid-openssl)"
        return None

    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        (port,) = free_ports(1)
        template = (_BUMP if self.is_bumped else _TUNNEL) + _BASE
        text = template.format(directory=directory, port=port, upstream=upstream.port, certgen=_CERTGEN, host=HOST)
        path = directory / "squid.conf"
        path.write_text(text)
        _make_ca(directory / "ca.pem")
        shutil.copy(upstream.certificates.ca, directory / "upstream.pem")
        subprocess.run(
            [_CERTGEN, "-c", "-s", str(directory / "certificates"), "-M", "4MB"], check=True, capture_output=True
        )
        user = _give(directory)
        target = Target(
            ("127.0.0.1", port),
            is_proxy=True,
            ca=directory / "ca.pem" if self.is_bumped else upstream.certificates.ca,
            pid=None,
            tunnel_to=f"{HOST}:443" if self.is_bumped else f"127.0.0.1:{upstream.port}",
            has_strict_certificates=not self.is_bumped,
        )
        return Launch((_program() or "squid", "-N", "-f", str(path)), target, lambda: listens(port), user=user)


def _program() -> str | None:
    return shutil.which("squid", path=SYSTEM_PATH)


def _give(directory: Path) -> str | None:
    """Squid refuses to be root: hand it its files, and let it pass the directory above. Returns who it is to be."""
    if os.geteuid() != 0:
        return None
    owner = pwd.getpwnam(_USER)
    for each in (directory, *directory.rglob("*")):
        os.chown(each, owner.pw_uid, owner.pw_gid)
    directory.parent.chmod(0o711)
    return _USER


def _make_ca(path: Path) -> None:
    """A CA with its key, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "squid in the benchmark")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.touch(mode=0o600)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)


def version() -> str | None:
    """`squid 5.7`, or None without squid."""
    if (program := _program()) is None:
        return None
    said = subprocess.run([program, "-v"], check=False, capture_output=True, text=True).stdout
    return f"squid {said.partition('Version ')[2].split()[0]}"
