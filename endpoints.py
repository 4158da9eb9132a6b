"""Where the local stack's servers are: the file that `runwatch up` writes, read by everything else.

Nothing but the standard library, since agents read it too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "endpoints.json"
SQL_USER = "runwatch_reader"
"""The reading user of the local stack's ClickHouse: what the console's SQL page goes by."""
SQL_PASSWORD_FILE = "sql-password"
"""Holds that user's password, for the eyes of the stack's owner."""


def home() -> Path:
    """The folder of the local stack: `RUNWATCH_HOME`, or `.runwatch` in the current folder."""
    return Path(os.environ.get("RUNWATCH_HOME") or ".runwatch").absolute()


def read(folder: Path | None = None) -> dict[str, str]:
    """Endpoints by name (`kafka`, `clickhouse`, `registry`); empty where no local stack is up."""
    try:
        value: Any = json.loads(((folder or home()) / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(place) for name, place in value.items()} if isinstance(value, dict) else {}


def sql_password(folder: Path | None = None) -> str:
    """The password of :data:`SQL_USER`; empty where no local stack has made one."""
    try:
        return ((folder or home()) / SQL_PASSWORD_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
