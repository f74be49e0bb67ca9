"""Where a proxy keeps what it is known by."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.schema import Admin, Settings
from proxy.identity import Identity


def test_public_files_may_stand_apart_from_the_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", trust_dir=tmp_path / "public")
    identity = Identity.of(settings, {})
    assert identity.trust.ca == tmp_path / "public/skinflint-ca.pem"
    assert identity.trust.ca.read_bytes() == (tmp_path / "data/ca/skinflint-ca.pem").read_bytes()
    assert [path.name for path in (tmp_path / "public").rglob("*") if b"PRIVATE KEY" in _content(path)] == []


def test_a_token_file_without_a_token_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")
    settings = Settings(data_dir=tmp_path / "data", admin=Admin(token_file=tmp_path / "secret"))
    with pytest.raises(SettingsError, match="at least 32"):
        Identity.of(settings, {})


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
