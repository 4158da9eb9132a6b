"""Writes the dashboards: python -m runwatch.deploy.grafana.build [FOLDER].

The files in dashboards/ are what this makes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import agent, fleet, incident, pipeline

HERE = Path(__file__).resolve().parent
DASHBOARDS = {
    "fleet": fleet.DASHBOARD,
    "agent": agent.DASHBOARD,
    "incident": incident.DASHBOARD,
    "pipeline": pipeline.DASHBOARD,
}


def main() -> None:
    """Writes every dashboard into the folder that is named, or into dashboards/ beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dashboards"
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard.to_json(), indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
