"""docs/security.md: its variables are those that there are, its roles those that are given."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from runwatch import broker
from runwatch.config import Settings
from runwatch.schemas.topics import ALL


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def acls(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("acls", root / "deploy" / "kafka" / "acls.py")
    assert spec is not None and spec.loader is not None
    found = sys.modules["acls"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_every_variable_is_one(page: str) -> None:
    known = {f"RUNWATCH_{name.upper()}" for name in Settings.model_fields}
    assert set() == set(re.findall(r"RUNWATCH_[A-Z_]*[A-Z]", page)) - known


def test_every_variable_of_kafkas_is_told(page: str) -> None:
    table = page.partition("## Kafka")[2].partition("```sh")[0]
    lacking = [
        name
        for name in broker.NAMES
        # A secret's file is told of once for all.
        if broker.variable(name) not in table
        and f"…_{name.upper()}`" not in table
        and name not in ("key_password_file", "password_file", "oauth_secret_file")
    ]
    assert [] == lacking


def test_every_secret_has_a_file(page: str) -> None:
    assert "twin that ends in `_FILE`" in " ".join(page.split())
    fields = Settings.model_fields
    secrets = [name for name, field in fields.items() if "SecretStr" in str(field.annotation)]
    assert {name for name in secrets if f"{name}_file" not in fields} == set()


def test_the_roles_are_those_that_are_given(page: str, acls: ModuleType) -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]*) \| ([^|]*) \|$", page.partition("| role |")[2], re.MULTILINE)
    told = {role: (split(reads), split(writes)) for role, reads, writes in rows if role in acls.ROLES}
    assert {role: (may(acls, role, "READ"), may(acls, role, "WRITE")) for role in acls.ROLES} == told


def split(cell: str) -> set[str]:
    return {topic.name for topic in ALL} if cell == "everything" else set(cell.split(", "))


def may(acls: ModuleType, role: str, operation: str) -> set[str]:
    names = {
        name
        for right in acls.ROLES[role]
        if right.kind == "topic" and operation in right.operations
        for name in right.names
    }
    return {topic.name for topic in ALL} if "*" in names else names
