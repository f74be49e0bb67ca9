"""Where a proxy keeps what it is known by."""

from pathlib import Path

from config.schema import Settings
from proxy.identity import Identity


def test_public_files_may_stand_apart_from_the_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", trust_dir=tmp_path / "public")
    identity = Identity.of(settings, {})
    assert identity.trust.ca == tmp_path / "public/skinflint-ca.pem"
    assert identity.trust.ca.read_bytes() == (tmp_path / "data/ca/skinflint-ca.pem").read_bytes()
    assert [path.name for path in (tmp_path / "public").rglob("*") if b"PRIVATE KEY" in _content(path)] == []


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
