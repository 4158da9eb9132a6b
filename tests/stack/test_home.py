"""The stack's folder: one holder, room on the disk, files that are whole."""

from __future__ import annotations

import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from runwatch import endpoints
from runwatch.stack.errors import StackError
from runwatch.stack.home import Home, read_json, write_json
from runwatch.stack.lifecycle import down, status, up
from runwatch.stack.services import Options


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    import os

    home = Home(tmp_path)
    assert home.holder() is None
    with home.held():
        assert os.getpid() == home.holder()
        with (
            pytest.raises(StackError, match=rf"already up in {tmp_path} \(process {os.getpid()}\).*runwatch down"),
            home.held(),
        ):
            pass
        with pytest.raises(StackError, match="already up"):
            up(Options(tmp_path), detach=True)
    assert home.holder() is None


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 9 << 30, 300 << 20))
    with pytest.raises(StackError, match=rf"Only 300 MB are free on the disk of {tmp_path}.*RUNWATCH_HOME"):
        up(Options(tmp_path), detach=True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"cannot use the folder .*file/home.*RUNWATCH_HOME"):
        up(Options(tmp_path / "file" / "home"), detach=True)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "chdb" else real(name))
    with pytest.raises(StackError, match=r"needs chdb: pip install 'runwatch\[stack\]'"):
        up(Options(tmp_path), detach=True)


def test_down_and_status_of_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "endpoints.json", {"kafka": "left by one that was killed"})
    assert not status(tmp_path).up
    assert down(tmp_path) is False
    assert not (tmp_path / "endpoints.json").exists()


def test_json_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "x.json"
    assert read_json(path) is None
    write_json(path, {"a": [1, 2]})
    assert {"a": [1, 2]} == read_json(path)
    assert 0o600 == path.stat().st_mode & 0o777
    path.write_text("{")
    assert read_json(path) is None


def test_options_survive_json(tmp_path: Path) -> None:
    options = Options(tmp_path, kafka_port=1, prefix="p.", parts=("sink",), clickhouse_password="secret")
    assert options == Options.from_json(options.to_json())
    assert "secret" not in repr(options)
    with pytest.raises(StackError, match="no part 'nope'"):
        Options(tmp_path, parts=("nope",))


def test_the_reading_users_password_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    password = home.sql_password()
    assert len(password) >= 40
    assert password == home.sql_password() == endpoints.sql_password(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / endpoints.SQL_PASSWORD_FILE).stat().st_mode)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / endpoints.SQL_PASSWORD_FILE).touch()
    with pytest.raises(StackError, match="remove it"):
        Home(tmp_path).sql_password()
