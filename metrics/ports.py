"""Where each part serves its metrics unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

USUAL: Final[Mapping[str, int]] = {"processors": 9464, "sink": 9474, "alerts": 9484, "console": 9494}
TRIED: Final = 10
"""Ports that are tried one after the other: so many workers can be on one machine, each on a port known before."""
