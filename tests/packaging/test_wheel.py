"""The wheel as an agent's environment gets it: small, whole, and able to send."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from runwatch.schemas import avro
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.topics import ensure_topics
from runwatch.schemas.wire import decode_body, split

# Downloads packages the first time.
pytestmark = pytest.mark.timeout(300)

NOT_SOURCE = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "docs", "*.rejected.jsonl"
)
AGENT = """
import json, sys, runwatch

watch = runwatch.connect(agent="wheel", version="1.0")
with watch.run(run_id="wheel-1") as run:
    answer = run.call_tool("add", {"x": 2}, lambda x: x + 1)
    stopped = run.stop("success", outcome=1.0)
watch.close()
heavy = [name for name in ("aiohttp", "chdb", "faust", "numpy", "polars", "pydantic", "typer") if name in sys.modules]
print(json.dumps({"answer": answer, "stopped": stopped, "heavy": heavy}))
"""


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind that the next one would take up."""
    copy, out = tmp_path_factory.mktemp("source") / "runwatch-source", tmp_path_factory.mktemp("wheel")
    shutil.copytree(root, copy, ignore=NOT_SOURCE)
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(copy)])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel without extras."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run([sys.executable, "-m", "venv", str(folder)])
    python = folder / "bin" / "python"
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)])
    return python


def run(command: list[str], **environ: str) -> str:
    """A command's output. It runs outside the checkout, whose root must not pass for the package."""
    others = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={**others, **environ})
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_package_and_data_file_is_in_the_wheel(root: Path, wheel: Path) -> None:
    packages = {path.parent for path in root.glob("[a-z]*/**/__init__.py")} - {root}
    packages = {path for path in packages if path.relative_to(root).parts[0] not in {"tests", "build", "docs"}}
    files = [path for package in (root, *packages) for path in package.glob("*.py")]
    files += [*root.glob("schemas/*.avsc"), *root.glob("sinks/migrations/*.sql"), root / "py.typed"]
    expected = {f"runwatch/{path.relative_to(root)}" for path in files}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert set() == expected - names
    assert not [name for name in names if "tests/" in name or not name.startswith("runwatch/")]


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert ["confluent-kafka", "fastavro"] == sorted(line.split()[1].split("<")[0].split(">")[0] for line in needed)


def test_an_agents_environment_gets_nothing_of_the_servers(clean: Path) -> None:
    code = (
        "import importlib.metadata, json; print(json.dumps([one.name for one in importlib.metadata.distributions()]))"
    )
    names = set(json.loads(run([str(clean), "-c", code])))
    assert {"runwatch", "confluent-kafka", "fastavro"} == names - {"pip", "setuptools"}


def test_the_package_can_be_imported_and_is_typed(clean: Path) -> None:
    code = "import runwatch, pathlib; print((pathlib.Path(runwatch.__file__).parent / 'py.typed').is_file())"
    assert run([str(clean), "-c", code]) == "True\n"


def test_an_agent_without_a_broker_goes_on(clean: Path, tmp_path: Path) -> None:
    said = json.loads(run([str(clean), "-c", AGENT], RUNWATCH_KAFKA="127.0.0.1:1", RUNWATCH_HOME=str(tmp_path)))
    assert (3, "success") == (said["answer"], said["stopped"]["stop_reason"])


@pytest.mark.stack
def test_an_agent_sends_to_a_broker(clean: Path, stack: Any) -> None:
    its = stack.unique(partitions=1)
    ensure_topics(its.kafka, its.prefix, partitions=1)
    said = json.loads(run([str(clean), "-c", AGENT], RUNWATCH_KAFKA=its.kafka, RUNWATCH_PREFIX=its.prefix))
    assert {"answer": 3, "heavy": []} == {name: said[name] for name in ("answer", "heavy")}
    assert ("stopped", "success", 1) == (
        said["stopped"]["status"], said["stopped"]["stop_reason"], said["stopped"]["usage"]["tool_calls"],
    )  # fmt: skip
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": "wheel", "auto.offset.reset": "earliest"})
    consumer.subscribe([its.topic("events")])
    messages = consumer.consume(3, timeout=30)
    consumer.close()
    schema = avro.load("agent_event")
    events = [AgentEvent.from_record(decode_body(split(message.value())[1], schema)) for message in messages]
    assert [b"wheel-1"] * 3 == [message.key() for message in messages]
    assert [("run_start", 0), ("tool_result", 1), ("stop", 2)] == [(event.kind, event.seq) for event in events]
