"""Stored events in spans of arrival: as much as one answer may hold, and no further apart than one may cover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runwatch.config import Settings
from runwatch.sinks.history import ROWS, SPAN_MS, STEP_MS, History


class Client:
    """ClickHouse's boundary: stored counts by step, and what it was asked."""

    database = ""

    def __init__(self, counts: list[tuple[int, int, int]]) -> None:
        self.counts = counts
        self.asked: list[dict[str, Any]] = []

    def query(self, _: str, parameters: dict[str, Any]) -> Any:
        return SimpleNamespace(result_rows=self.counts)

    def raw_query(self, query: str, parameters: dict[str, Any], fmt: str, settings: dict[str, Any]) -> bytes:
        self.asked.append(parameters | {"fmt": fmt})
        return b"data"


def history(counts: list[tuple[int, int, int]]) -> tuple[History, Client]:
    client = Client(counts)
    return History(Settings(), client), client  # type: ignore[arg-type]


def test_nothing_stored() -> None:
    one, client = history([])
    extent = one.extent(0, 10**9)
    assert (0, 0, []) == (extent.events, extent.late_ms, extent.spans)
    assert [] == list(one.blocks(extent, ["run_id"]))
    assert [] == client.asked


def test_small_steps_come_together_and_large_ones_are_cut() -> None:
    half = ROWS // 2
    counts = [(0, half, 5), (STEP_MS, half, 70), (2 * STEP_MS, 1, 0), (3 * STEP_MS, 3 * ROWS, 9)]
    one, client = history(counts)
    extent = one.extent(1_000, 4 * STEP_MS - 1, "support")
    assert (2 * half + 1 + 3 * ROWS, 70) == (extent.events, extent.late_ms)
    # At the edges only what was asked for.
    third = STEP_MS // 3
    assert [
        (1_000, 2 * STEP_MS, 2 * half), (2 * STEP_MS, 3 * STEP_MS, 1), (3 * STEP_MS, 3 * STEP_MS + third - 1, ROWS),
        (3 * STEP_MS + third - 1, 3 * STEP_MS + 2 * third - 1, ROWS),
        (3 * STEP_MS + 2 * third - 1, 4 * STEP_MS - 1, ROWS),
    ] == extent.spans  # fmt: skip
    blocks = list(one.blocks(extent, ["run_id"], "support"))
    assert [end for _, end, _ in extent.spans] == [block.end_ms for block in blocks]
    assert [(b"data", events) for _, _, events in extent.spans] == [(block.data, block.events) for block in blocks]
    assert [("support", "ArrowStream")] * 5 == [(each["agent"], each["fmt"]) for each in client.asked]


@pytest.mark.parametrize(("apart_ms", "spans"), [(SPAN_MS - STEP_MS, 1), (SPAN_MS, 2)])
def test_an_answer_covers_so_much_time_and_no_more(apart_ms: int, spans: int) -> None:
    one, _ = history([(0, 1, 0), (apart_ms, 1, 0)])
    assert spans == len(one.extent(0, 10**9).spans)
