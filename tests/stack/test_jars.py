"""Kafka's jars, and what is said where they cannot be had."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import jgo
import pytest
import requests

from runwatch.stack import jars
from runwatch.stack.errors import StackError


def test_without_a_network_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError("a text\nof many lines")

    monkeypatch.setattr(jgo, "build", build)
    with pytest.raises(StackError, match=r"jars cannot be downloaded from Maven Central \(ConnectionError\): check"):
        jars.kafka_jars()


def test_a_jar_that_was_cut_off_is_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, cut = tmp_path / "env" / "whole.jar", tmp_path / "env" / "cut.jar"
    cached = tmp_path / "cache" / "org" / "cut.jar"

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x", "y")

    write(whole)
    for path in (cut, cached):
        write(path)
        path.write_bytes(path.read_bytes()[:20])

    class Environment:
        all_jars = [cut, whole]  # noqa: RUF012 - the shape of jgo's own

    def build(*_: Any, update: bool, **__: Any) -> Environment:
        if update:
            assert not cut.exists()
            assert not cached.exists()
            write(cut)
        return Environment()

    class Settings:
        repo_cache = tmp_path / "cache"

    monkeypatch.setattr(jgo, "build", build)
    monkeypatch.setattr(jgo.config.GlobalSettings, "load", lambda: Settings)
    assert [cut, whole] == jars.kafka_jars()


def test_a_broker_needs_these(tmp_path: Path) -> None:
    assert jars.java().exists()
