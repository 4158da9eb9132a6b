"""What the tests of Prometheus and Grafana share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .watched import Watched
from .watched import watched as start


# Of a module, not of the session: what it starts would take time from all the tests that come after.
@pytest.fixture(scope="module")
def watched(stack: Any, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Worker, sink and alerts, scraped by a real Prometheus; two batches of events were sent, and are stored."""
    with start(stack, root, tmp_path_factory.mktemp("watched")) as found:
        yield found
