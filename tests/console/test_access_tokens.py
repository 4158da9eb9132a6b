"""Tokens: made once, kept as hashes, or taken from the environment."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from runwatch.config import Settings
from runwatch.console.access import tokens
from runwatch.console.access.roles import Role
from runwatch.console.access.tokens import FILE_NAME, MOST_ENDED, Known, TokenError

LONG = "a-token-of-twenty-characters-or-more"
OTHER = "another-token-of-as-many-characters"


def settings(home: Path, **given: object) -> Settings:
    return Settings(home=home, **given)  # type: ignore[arg-type]


def test_they_are_made_for_their_owners_eyes_and_kept_as_hashes(tmp_path: Path) -> None:
    home = tmp_path / "new"
    assert not tokens.are_set(settings(home))
    made = tokens.make(home)
    assert tokens.are_set(settings(home))
    file = home / FILE_NAME
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    text = file.read_text()
    assert made.operator not in text and made.viewer not in text
    assert hashlib.sha256(made.operator.encode()).hexdigest() == json.loads(text)["hashes"]["operator"]
    assert 43 == len(made.operator) == len(made.viewer)
    assert made.operator not in (made.viewer, tokens.make(tmp_path / "other").operator)
    assert [FILE_NAME] == [one.name for one in home.iterdir()], "no draft is left behind"
    known = tokens.stored(home)
    assert (Role.operator, Role.viewer, None) == (
        known.role_of(made.operator),
        known.role_of(made.viewer),
        known.role_of(made.viewer + "x"),
    )


def test_new_ones_take_the_place_of_the_old(tmp_path: Path) -> None:
    old = tokens.make(tmp_path)
    before = tokens.stored(tmp_path)
    tokens.make(tmp_path)
    after = tokens.stored(tmp_path)
    assert after.role_of(old.operator) is None
    assert before.key != after.key and before.generation != after.generation


def test_no_tokens_let_nobody_in(tmp_path: Path) -> None:
    assert tokens.stored(tmp_path).role_of("") is None
    assert Known().role_of("") is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"hashes": {"owner": "00"}, "key": "", "ended": {}}'])
def test_a_file_that_cannot_be_read_lets_nobody_in(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert Known() == tokens.stored(tmp_path)
    assert not tokens.are_set(settings(tmp_path))


def test_the_environments_come_before_those_that_were_made(tmp_path: Path) -> None:
    tokens.make(tmp_path)
    found = tokens.given(settings(tmp_path, console_operator_token=LONG))
    assert {Role.operator: tokens.digest(LONG)} == found


def test_they_may_stand_in_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{LONG}\nwhatever follows\n")
    found = tokens.given(settings(tmp_path, console_viewer_token_file=file))
    assert {Role.viewer: tokens.digest(LONG)} == found


def test_what_does_not_do_is_said_without_saying_it(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for given, sentence in (
        ({"console_operator_token": "secret"}, "RUNWATCH_CONSOLE_OPERATOR_TOKEN is too short"),
        ({"console_operator_token": LONG, "console_viewer_token": LONG}, "are the same"),
        ({"console_viewer_token_file": tmp_path / "none"}, "RUNWATCH_CONSOLE_VIEWER_TOKEN_FILE names .*: No such file"),
        ({"console_viewer_token_file": tmp_path / "empty"}, "whose first line is empty"),
    ):
        with pytest.raises(TokenError, match=sentence) as error:
            tokens.given(settings(tmp_path, **given))
        assert "secret" not in str(error.value) and LONG not in str(error.value)


def test_settings_do_not_show_them() -> None:
    shown = repr(settings(Path(), console_operator_token=LONG, console_viewer_token=OTHER))
    assert LONG not in shown and OTHER not in shown


def test_sessions_that_would_have_ended_are_forgotten(tmp_path: Path) -> None:
    ended = {f"s{number}": 2_000.0 + number for number in range(MOST_ENDED + 5)} | {"old": 10.0}
    tokens.write(tmp_path, Known({}, b"k" * 32, ended), clock=1_000.0)
    kept = tokens.stored(tmp_path).ended
    assert MOST_ENDED >= len(kept)
    assert "old" not in kept
