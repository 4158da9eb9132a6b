"""The typed records and the dicts that Avro reads and writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.anomalies import REPORT_FIELDS, Anomaly
from runwatch.schemas.controls import Control
from runwatch.schemas.events import AgentEvent, epoch_ms


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_a_millisecond_survives_the_datetime(ms: int) -> None:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert ms == epoch_ms(when) == epoch_ms(when.astimezone(timezone(timedelta(hours=-9, minutes=-30))))
    assert ms == epoch_ms(ms)


def test_an_event_from_an_older_writer_gets_the_defaults() -> None:
    least = {"event_id": "e", "run_id": "r", "seq": 0, "kind": "stop", "ts_ms": 1, "agent": "a", "newer": 3}
    assert AgentEvent("e", "r", 0, "stop", 1, "a") == AgentEvent.from_record(least)


def test_json_leaves_out_what_is_not_there() -> None:
    assert {"event_id": "e", "run_id": "r", "seq": 0, "kind": "stop", "ts_ms": 1, "agent": "a"} == AgentEvent(
        "e", "r", 0, "stop", 1, "a"
    ).to_json()


def test_json_keeps_zeroes() -> None:
    event = AgentEvent("e", "r", 0, "stop", 0, "a", outcome=0.0, tool_calls=0)
    assert (0, 0.0, {"tool_calls": 0}) == tuple(event.to_json()[name] for name in ("ts_ms", "outcome", "usage"))


def test_an_anomalys_report_has_the_fields_in_their_order() -> None:
    anomaly = Anomaly("a", "loop.repeat", "open", "warning", 5, 1, "support", 4.0, "Four times.", run_id="r")
    assert REPORT_FIELDS == tuple(anomaly.report())
    assert (4.0, None, "r") == tuple(anomaly.report()[name] for name in ("value", "baseline", "run_id"))
    assert [] == anomaly.to_record()["seqs"]


def test_a_control_is_its_fields() -> None:
    control = Control("c", "fleet", "stop", 5, "a test", "ann")
    assert control.to_record() == {
        "control_id": "c", "scope": "fleet", "mode": "stop", "ts_ms": 5, "why": "a test", "by": "ann",
        "expires_ms": None, "anomaly_id": None,
    }  # fmt: skip
