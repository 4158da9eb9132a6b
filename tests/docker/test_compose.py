"""The compose file and the Dockerfile, read as text: no Docker engine needed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwatch.config import Settings
from runwatch.endpoints import SQL_USER
from runwatch.settings.file import Config, load_config
from runwatch.stack.jars import KAFKA_VERSION

OURS = ("process", "sink", "alert", "console")
SERVERS = ("kafka", "clickhouse")
WATCHERS = ("prometheus", "grafana")


@pytest.fixture(scope="module")
def compose(root: Path) -> Any:
    return yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services(compose: Any) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def filled(text: str, **values: str) -> str:
    """A compose value with its ${NAME:-default}s filled in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: values.get(match[1], match[2]), text)


def test_the_parts_are_the_servers_and_ours(services: dict[str, Any]) -> None:
    assert {*SERVERS, *WATCHERS, *OURS} == set(services)


def test_only_this_machine_reaches_a_port(services: dict[str, Any]) -> None:
    ports = {name: [filled(port) for port in service.get("ports", [])] for name, service in services.items()}
    of_servers = {"kafka": ["127.0.0.1:9092:9092"], "clickhouse": ["127.0.0.1:8123:8123"]}
    of_servers |= {"prometheus": ["127.0.0.1:9090:9090"], "grafana": ["127.0.0.1:3000:3000"]}
    of_ours = {name: [] for name in OURS} | {"console": ["127.0.0.1:8090:8090"]}
    assert {**of_servers, **of_ours} == ports
    assert not [name for name, service in services.items() if service.get("network_mode") == "host"]


def test_images_are_pinned_and_kafka_is_the_local_stacks(services: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert not [image for image in images.values() if not re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", image)]
    assert f"apache/kafka:{KAFKA_VERSION}" == images["kafka"]


def test_our_image_has_the_packages_version(root: Path, services: dict[str, Any]) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {f"runwatch:{version}"} == {services[name]["image"] for name in OURS}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_ours_is_a_setting(services: dict[str, Any], name: str) -> None:
    variables = services[name]["environment"]
    assert not [one for one in variables if one.removeprefix("RUNWATCH_").lower() not in Settings.model_fields]
    values = {one.removeprefix("RUNWATCH_").lower(): filled(str(value)) for one, value in variables.items()}
    settings = Settings(**values)
    assert ("kafka:29092", "http://clickhouse:8123", 4) == (settings.kafka, settings.clickhouse, settings.partitions)


@pytest.mark.parametrize("name", OURS)
def test_ours_go_by_the_config_file_or_by_an_empty_one(services: dict[str, Any], name: str) -> None:
    (mount,) = services[name]["volumes"]
    assert services[name]["environment"]["RUNWATCH_CONFIG"] == mount["target"]
    assert ("bind", True) == (mount["type"], mount["read_only"])
    assert ["/dev/null", "./own.yaml"] == [
        filled(mount["source"], **own) for own in ({}, {"RUNWATCH_CONFIG": "./own.yaml"})
    ]
    assert Config() == load_config("/dev/null")


@pytest.mark.parametrize("name", OURS)
def test_ours_wait_for_the_servers_and_come_back(services: dict[str, Any], name: str) -> None:
    # A container's own 127.0.0.1 is nobody else's; what is published is bound to this machine's.
    assert [name, *(["--host", "0.0.0.0"] if name == "console" else [])] == services[name]["command"]
    assert "unless-stopped" == services[name]["restart"]
    assert {server: {"condition": "service_healthy"} for server in SERVERS} == services[name]["depends_on"]


@pytest.mark.parametrize("name", [*SERVERS, *WATCHERS])
def test_servers_are_watched_and_keep_their_data(compose: Any, services: dict[str, Any], name: str) -> None:
    assert {"test", "interval", "timeout", "retries"} <= set(services[name]["healthcheck"])
    kept = [volume.split(":")[0] for volume in services[name]["volumes"] if isinstance(volume, str)]
    assert kept and set(kept) <= set(compose["volumes"])


def test_both_sides_have_the_same_password(services: dict[str, Any]) -> None:
    server = services["clickhouse"]["environment"]
    for name in OURS:
        ours = services[name]["environment"]
        assert server["CLICKHOUSE_USER"] == ours["RUNWATCH_CLICKHOUSE_USER"]
        assert server["CLICKHOUSE_PASSWORD"] == ours["RUNWATCH_CLICKHOUSE_PASSWORD"]


def test_clickhouse_is_given_its_reading_user(root: Path, services: dict[str, Any]) -> None:
    (mount,) = (volume for volume in services["clickhouse"]["volumes"] if not isinstance(volume, str))
    assert (root / mount["source"]).is_file()
    assert mount["target"].startswith("/etc/clickhouse-server/users.d/")
    assert mount["read_only"] is True
    # An empty one would let anybody in.
    password = services["clickhouse"]["environment"]["RUNWATCH_SQL_PASSWORD"]
    assert filled(password)
    console = services["console"]["environment"]
    assert (SQL_USER, password) == (console["RUNWATCH_SQL_USER"], console["RUNWATCH_SQL_PASSWORD"])


def listeners(text: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)://([^,]*)", filled(text, KAFKA_PORT="19092")))


def test_each_client_is_told_an_address_that_it_can_reach(services: dict[str, Any]) -> None:
    kafka = services["kafka"]["environment"]
    assert {"INTERNAL": ":29092", "EXTERNAL": ":9092", "CONTROLLER": ":9093"} == listeners(kafka["KAFKA_LISTENERS"])
    told = {"INTERNAL": "kafka:29092", "EXTERNAL": "127.0.0.1:19092"}
    assert told == listeners(kafka["KAFKA_ADVERTISED_LISTENERS"])
    assert filled(services["kafka"]["ports"][0], KAFKA_PORT="19092") == "127.0.0.1:19092:9092"
    secured = dict(pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert dict.fromkeys(("INTERNAL", "EXTERNAL", "CONTROLLER"), "PLAINTEXT") == secured
    assert {service["environment"]["RUNWATCH_KAFKA"] for service in map(services.get, OURS) if service} == {
        told["INTERNAL"]
    }


def test_the_image_runs_as_nobody_in_particular(root: Path) -> None:
    lines = (root / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last = [line for line in lines if line.startswith("FROM ")][-1]
    final = lines[len(lines) - 1 - lines[::-1].index(last) :]
    assert "USER runwatch" in final
    assert 'ENTRYPOINT ["runwatch"]' in final
    assert "python:3.12-slim" in last


def test_the_images_source_holds_every_package_and_nothing_private(root: Path) -> None:
    rules = (root / ".dockerignore").read_text(encoding="utf-8").split("\n")
    packages = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {name.split(".")[1] for name in packages if "." in name}
    assert "*" in rules
    assert set() == {f"!{folder}" for folder in folders} - set(rules)
    assert not {"!.git", "!.env", "!.runwatch", "!tests"} & set(rules)
