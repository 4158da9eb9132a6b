"""What the console's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .served import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console with a token for each role."""
    with serving(tmp_path_factory.mktemp("console")) as found:
        yield found
