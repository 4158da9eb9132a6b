"""The dashboards as files: what their generator makes, whole, and asking only for what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

NAMES = ("fleet", "agent", "incident", "pipeline")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "deploy" / "grafana"


@pytest.fixture(scope="module")
def dashboards(folder: Path) -> dict[str, Any]:
    return {name: json.loads((folder / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}


def test_the_files_are_what_the_generator_makes(folder: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "runwatch.deploy.grafana.build", str(tmp_path)], check=True, timeout=60)
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    kept = {file.name: file.read_text(encoding="utf-8") for file in (folder / "dashboards").iterdir()}
    assert sorted(f"{name}.json" for name in NAMES) == sorted(kept)
    assert made == kept


def test_panels_do_not_overlap_and_are_told_apart(dashboards: dict[str, Any]) -> None:
    for dashboard in dashboards.values():
        panels = dashboard["panels"]
        assert len(panels) == len({panel["id"] for panel in panels})
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells


def test_data_sources_are_those_that_are_provisioned(folder: Path, dashboards: dict[str, Any]) -> None:
    file = folder / "provisioning" / "datasources" / "runwatch.yml"
    provisioned = {(one["type"], one["uid"]) for one in yaml.safe_load(file.read_text())["datasources"]}
    used = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for dashboard in dashboards.values()
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    assert provisioned == used


def test_links_lead_to_dashboards_and_their_variables(dashboards: dict[str, Any]) -> None:
    variables = {one["uid"]: {var["name"] for var in one["templating"]["list"]} for one in dashboards.values()}
    links = set(re.findall(r"/d/([\w-]+)\?var-(\w+)=", json.dumps(dashboards)))
    assert {("runwatch-agent", "agent"), ("runwatch-incident", "incident")} == links
    assert not [link for link in links if link[1] not in variables[link[0]]]


def test_compose_mounts_what_is_there_and_has_the_secrets_of_the_environment(root: Path) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    mounts = [one for name in ("prometheus", "grafana") for one in services[name]["volumes"] if isinstance(one, dict)]
    assert 3 == len(mounts)
    assert not [one for one in mounts if not (root / one["source"]).is_dir() or not one["read_only"]]
    grafana = services["grafana"]["environment"]
    assert "${GRAFANA_PASSWORD:-admin}" == grafana["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"grafana-clickhouse-datasource@\d+\.\d+\.\d+", grafana["GF_PLUGINS_PREINSTALL_SYNC"])
    assert services["clickhouse"]["environment"]["RUNWATCH_SQL_PASSWORD"] == grafana["RUNWATCH_SQL_PASSWORD"]
