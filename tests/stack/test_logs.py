"""Logs are kept to a size and read from their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwatch.stack import logs
from runwatch.stack.errors import StackError
from runwatch.stack.home import Home


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert [] == logs.tail(path, 3)
    path.write_text("a\nb\nc\nd\n")
    assert ["c", "d"] == logs.tail(path, 2)
    assert ["a", "b", "c", "d"] == logs.tail(path, 10)
    assert [] == logs.tail(path, 0)
    assert ["d"] == logs.tail(path, 10, window=3)[-1:]


def test_a_log_over_its_size_moves_on_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(b"%d" % number * 10)
            assert logs.rotate(path, limit=9, kept=3)
            assert not logs.rotate(path, limit=9, kept=3)
        writer.write(b"end")
    assert "end" == path.read_text()
    assert ["4" * 10, "3" * 10, "2" * 10] == [(tmp_path / f"x.log.{number}").read_text() for number in (1, 2, 3)]
    assert not (tmp_path / "x.log.4").exists()


def test_following_goes_on_through_a_rotation(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir()
    path = home.log("kafka")
    path.write_text("one\ntwo\n")
    lines = logs.follow(home, "kafka", lines=1, every_s=0.001)
    assert "two" == next(lines)
    with path.open("a") as file:
        file.write("three\nfo")
    assert "three" == next(lines)
    with path.open("a") as file:
        file.write("ur\n")
    assert "four" == next(lines)
    path.write_text("five\n")
    assert "five" == next(lines)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(StackError, match=r"no log of 'x'.*none yet"):
        logs.check(home, "x")
    home.logs.mkdir()
    home.log("kafka").touch()
    with pytest.raises(StackError, match=r"no log of 'x'.*there are: kafka"):
        logs.check(home, "x")
    with pytest.raises(StackError):
        logs.check(home, "../state")
