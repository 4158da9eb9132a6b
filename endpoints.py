"""Where the local stack's servers are: the file that `runwatch up` writes, read by everything else.

Nothing but the standard library, since agents read it too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "endpoints.json"


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
