"""One broker for all the tests of a run: it takes longer to start than they take."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runwatch.config import OPEN_KAFKA, Settings

from .servers import USERS, Secured, secured

ROOT = Path(__file__).resolve().parents[2]


def load_acls() -> ModuleType:
    """`deploy/kafka/acls.py`, which is a script and no module of the package."""
    spec = importlib.util.spec_from_file_location("acls", ROOT / "deploy" / "kafka" / "acls.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up there.
    import sys

    sys.modules["acls"] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def acls() -> ModuleType:
    return load_acls()


@pytest.fixture(scope="session")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    try:
        with secured(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Guarded:
    """A broker that lets in only who proves who it is, with a fleet's topics and each role's rights on them."""

    broker: Secured
    prefix: str

    def settings(self, way: str, user: str, **more: Any) -> Settings:
        """Settings by which this user comes in this way."""
        found = self.broker.by(way, user)
        address = found.pop("bootstrap")
        given = {f"kafka_{name}": value for name, value in found.items()}
        fixed = {**OPEN_KAFKA, "kafka": address, "prefix": self.prefix, "registry": None, "partitions": 2}
        return Settings(**{**fixed, **given, **more})


@pytest.fixture(scope="session")
def guarded(secured_broker: Secured, acls: ModuleType) -> Guarded:
    its = Guarded(secured_broker, "eu-")
    admin = Settings(**{**OPEN_KAFKA, "kafka": secured_broker.admin["bootstrap.servers"], "prefix": "eu-",
                        "partitions": 2, "replication": 1})  # fmt: skip
    wanted = [one for user in USERS for one in acls.bindings(user, f"User:{user}", "eu-")]
    made = acls.apply(admin, wanted)
    assert 10 == len(made)
    assert [] == acls.apply(admin, wanted)
    return replace(its)
