"""Tokens: made, kept as digests, known again, and refused in every other case."""

import base64
from pathlib import Path

import pytest

from config.errors import SettingsError
from proxy.access.credentials import Credentials, CredentialsFile, new_token


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def test_a_token_is_known_by_both_schemes() -> None:
    token, line = new_token("team-a")
    known = Credentials.parse(line)
    assert known.tenant(basic("team-a", token)) == ("team-a", token[4:16])
    assert known.tenant(f"bearer {token}".encode()) == ("team-a", token[4:16])


def test_the_file_does_not_hold_the_token() -> None:
    token, line = new_token("team-a")
    assert token[17:] not in line
    assert token[17:] not in repr(Credentials.parse(line))


@pytest.mark.parametrize("end", ["", "x", "0" * 43])
def test_a_token_that_is_nearly_right_is_wrong(end: str) -> None:
    token, line = new_token("team-a")
    assert Credentials.parse(line).tenant(f"Bearer {token[:17]}{end}".encode()) is None


def test_another_tenants_name_with_a_good_token_is_refused() -> None:
    token, line = new_token("team-a")
    other = new_token("team-b")[1]
    assert Credentials.parse(f"{line}\n{other}").tenant(basic("team-b", token)) is None


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"Basic",
        b"Basic !!",
        b"Bearer",
        b"Digest x",
        b"Basic " + base64.b64encode(b"nocolon"),
        b"\xff\xfe",
        b" " * 600,
    ],
)
def test_nonsense_is_nobody(field: bytes) -> None:
    assert Credentials.parse(new_token("a")[1]).tenant(field) is None


def test_comments_and_empty_lines_are_passed_over() -> None:
    lines = f"# tokens\n\n{new_token('a')[1]}  # Ann's\n{new_token('b')[1]}\n"
    assert len(Credentials.parse(lines)) == 2


@pytest.mark.parametrize("text", ["team secret", "a b c", "a:b 0123456789ab:" + "0" * 32 + ":" + "0" * 64, "team"])
def test_a_line_that_is_none_is_told_by_its_number_alone(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 2|must be") as raised:
        Credentials.parse(f"# first\n{text}")
    assert "secret" not in str(raised.value)


def test_the_same_line_twice_is_a_mistake() -> None:
    line = new_token("a")[1]
    with pytest.raises(ValueError, match="ID of an earlier line"):
        Credentials.parse(f"{line}\n{line}")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 129])
def test_names_that_cannot_be_tenants(name: str) -> None:
    with pytest.raises(ValueError, match="must"):
        new_token(name)


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    first, second = new_token("a"), new_token("b")
    file.write_text(first[1])
    kept = CredentialsFile(file)
    assert not kept.poll()
    file.write_text(second[1])
    assert kept.poll()
    assert kept.current.tenant(f"Bearer {first[0]}".encode()) is None
    assert kept.current.tenant(f"Bearer {second[0]}".encode()) == ("b", second[0][4:16])
    assert first[0][4:16] not in kept.current
    assert second[0][4:16] in kept.current


def test_a_file_that_goes_bad_leaves_the_old_tokens_in_force(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    token, line = new_token("a")
    file.write_text(line)
    kept = CredentialsFile(file)
    file.write_text("nonsense")
    assert not kept.poll()
    file.unlink()
    assert not kept.poll()
    assert kept.current.tenant(f"Bearer {token}".encode()) is not None


def test_a_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        CredentialsFile(tmp_path / "missing")
