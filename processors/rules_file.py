"""Rules from a YAML file, as every file of settings is read."""

from __future__ import annotations

from pathlib import Path

from ..settings import load as settings
from .rules import Rules


def load(path: str | Path | None) -> Rules:
    """The rules of the file; the defaults where there is none. Raises `SettingsError`."""
    return settings.load(Rules, path, "rules file")


def parse(data: bytes, source: str) -> Rules:
    """The rules of a file's bytes; `source` is its name, for what is told. Raises `SettingsError`."""
    return settings.parse(Rules, data, source)
