"""The file of encryption keys: what is wrong is named with its line, and never by what it holds."""

import base64
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import SettingsError
from proxy.stores.sealing.keyfile import KeyFile, parse

SECRETS = [bytes([number]) * 32 for number in range(4)]
TEXTS = [base64.b64encode(secret).decode() for secret in SECRETS]


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_keys_are_read_in_their_order() -> None:
    keys = parse(f"# keys of 2026\n\nb {TEXTS[1]}\n  a\t{TEXTS[0]}  \n", "keys")
    assert [(key.name, key.secret) for key in keys] == [("b", SECRETS[1]), ("a", SECRETS[0])]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lonely", "a line is a name"),
        ("a b c", "a line is a name"),
        (f"n/a {TEXTS[1]}", "name has 1 to 32"),
        (f"{'n' * 33} {TEXTS[1]}", "name has 1 to 32"),
        ("b !notbase64!", "exactly 32 bytes"),
        (f"b {TEXTS[1][:-4]}", "exactly 32 bytes"),
        (f"b {base64.b64encode(bytes(33)).decode()}", "exactly 32 bytes"),
        (f"first {TEXTS[1]}", "earlier line"),
    ],
)
def test_a_wrong_line_is_named_and_not_repeated(line: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse(f"first {TEXTS[0]}\n{line}\n", "/etc/keys")
    message = str(caught.value)
    assert "/etc/keys:2: cache.encryption.key_file" in message
    assert not any(part in message.removeprefix("the settings have a problem: ") for part in (*TEXTS, line))


def test_all_wrong_lines_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match="2 problems"):
        parse("one\ntwo\n", "keys")


@pytest.mark.parametrize("content", ["", "# nothing\n\n"])
def test_a_file_without_a_key_is_refused(content: str) -> None:
    with pytest.raises(SettingsError, match="there is no key in it"):
        parse(content, "keys")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        KeyFile(tmp_path / "keys")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        KeyFile(tmp_path)


def test_a_binary_file_is_no_file_of_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="no text") as caught:
        KeyFile(tmp_path / "keys")
    assert caught.value.__cause__ is None


def test_an_enormous_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="larger than"):
        KeyFile(write(tmp_path / "keys", "#" * 70_000))


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o640, False), (0o400, False), (0o644, True)])
def test_a_file_that_others_may_read_is_warned_of_once(tmp_path: Path, mode: int, *, warns: bool) -> None:
    path = write(tmp_path / "keys", f"a {TEXTS[0]}", mode)
    with capture_logs() as logs:
        keys = KeyFile(path)
        write(path, f"b {TEXTS[1]}", mode)
        assert keys.refresh()
    assert [line["event"] for line in logs].count("encryption_key_file_open_to_others") == warns
    assert not any(text in str(logs) for text in TEXTS)


def test_a_changed_file_gives_its_new_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", f"a {TEXTS[0]}")
    keys = KeyFile(path)
    assert not keys.refresh()
    write(path, f"b {TEXTS[1]}\na {TEXTS[0]}")
    assert keys.refresh()
    assert [key.name for key in keys.keys] == ["b", "a"]
    assert not keys.refresh()


def test_a_file_that_became_unusable_leaves_the_keys_in_force_and_is_said_once(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", f"a {TEXTS[0]}")
    keys = KeyFile(path)
    with capture_logs() as logs:
        write(path, f"a {TEXTS[0]} {TEXTS[1]}")
        assert not keys.refresh()
        assert not keys.refresh()
        path.unlink()
        assert not keys.refresh()
        assert not keys.refresh()
        write(path, f"c {TEXTS[2]}")
        assert keys.refresh()
    assert [key.name for key in keys.keys] == ["c"]
    assert [line["event"] for line in logs] == ["encryption_keys_kept", "encryption_keys_kept", "encryption_keys_read"]
    assert not any(text in str(logs) for text in TEXTS)
