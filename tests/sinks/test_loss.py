"""What is missing, by the places of what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runwatch.schemas.avro import AvroSchema
from runwatch.sinks.ddl import Layout, statements
from runwatch.sinks.loss import MOST_AGENTS, MOST_MISSING, Loss, ask_loss, labelled, total
from runwatch.sinks.migrate import all_migrations

Make = Callable[..., Any]


def test_losses_add_up_and_are_told() -> None:
    found = total([Loss(3, 100, 0, 0), Loss(2, 20, 3, 1)])
    assert Loss(5, 120, 3, 1) == found
    assert "End to end, last 24 hours: 3 of 120 events are missing (2.5000%), in 1 of 5 runs." == found.sentence()
    assert "End to end, last 24 hours: 0 of 0 events are missing, in 0 of 0 runs." == total([]).sentence()


def test_agents_beyond_bounds_are_one() -> None:
    found = labelled({f"a{at}": Loss(1, 10, 1, 1) for at in range(MOST_AGENTS + 2)})
    assert MOST_AGENTS + 1 == len(found)
    assert Loss(2, 20, 2, 2) == found["(other)"]


@pytest.mark.stack
def test_gaps_are_counted_and_late_and_doubled_events_are_no_loss(
    store: Any, an_event: Make, event_schema: AvroSchema
) -> None:
    def insert(*places: int, run_id: str = "r1", hour: int = 0, **more: Any) -> None:
        records = [
            an_event(run_id=run_id, event_id=f"{run_id}-{at}", seq=at, ts_ms=3_600_000 * hour + at, **more)
            for at in places
        ]
        store.insert("events_in", event_schema, records)

    def asked() -> dict[str, Loss]:
        return ask_loss(store.client, store.settings, settled_s=0)

    assert {} == asked()
    insert(0, 1, 2)
    insert(4, hour=1)  # over the hour
    insert(1, 2, run_id="r2")  # its first was never seen
    insert(0, run_id="r3", agent="sales")
    insert(2**62, run_id="wild", agent="odd")
    assert {
        "support": Loss(2, 8, 2, 2),
        "sales": Loss(1, 1, 0, 0),
        "odd": Loss(1, MOST_MISSING + 1, MOST_MISSING, 1),
    } == (asked())
    insert(0, 1, 2, 2)  # sent again
    assert Loss(2, 8, 2, 2) == asked()["support"]
    insert(3)
    insert(0, run_id="r2")
    assert Loss(2, 8, 0, 0) == asked()["support"]
    store.client.command("OPTIMIZE TABLE run_hours_stored FINAL")
    assert Loss(2, 8, 0, 0) == asked()["support"]
    # A run of a moment ago may have events under way.
    assert {} == ask_loss(store.client, store.settings, settled_s=60)


@pytest.mark.stack
def test_events_of_before_are_counted_too_and_filling_in_may_be_repeated(
    store: Any, an_event: Make, event_schema: AvroSchema
) -> None:
    records = [an_event(event_id=f"e{at}", seq=at) for at in (0, 1, 3)]
    store.insert("events_in", event_schema, records)
    (gaps,) = [one for one in all_migrations() if one.name == "gaps"]
    fill = statements(gaps.template, Layout(store.settings.database))[-1]
    store.client.command("TRUNCATE TABLE run_hours_stored")
    for _ in range(2):
        store.client.command(fill)
        assert {"support": Loss(1, 4, 1, 1)} == ask_loss(store.client, store.settings, settled_s=0)
