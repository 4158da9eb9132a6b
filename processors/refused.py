"""Calls that were refused: the agent's guard did not let them be made.

They are steps of their run, and a loop of them is a loop. Of how well tools work, how long they take and how often
they are tried again they say nothing: otherwise a kill switch would look like an outage.
"""

from __future__ import annotations

import polars as pl

from ..schemas.reasons import REFUSALS

REFUSED = "refused"
"""Stands for the kind of a call that was not made."""

_REASONS = sorted(REFUSALS)
_CALLS = ("tool_result", "model_result")


def refusals(events: pl.DataFrame) -> pl.Series | None:
    """Which of the events tell of calls that were refused; None where none does, as nearly always.

    `events`: at least `kind` and `stop_reason`.
    """
    reasons = events["stop_reason"]
    if reasons.null_count() == events.height:
        return None
    found = events.select(
        (pl.col("stop_reason").is_in(_REASONS) & pl.col("kind").is_in(_CALLS)).fill_null(False)
    ).to_series()
    return found if found.any() else None


def set_apart(events: pl.DataFrame) -> pl.DataFrame:
    """The events, with `REFUSED` as the kind of calls that were refused."""
    refused = refusals(events)
    if refused is None:
        return events
    return events.with_columns(kind=pl.when(refused).then(pl.lit(REFUSED)).otherwise("kind"))
