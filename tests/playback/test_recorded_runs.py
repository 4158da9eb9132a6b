"""Others' recorded runs, played back: hashes alone, and the timeline and the divergences are there all the same."""

from __future__ import annotations

import gzip
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwatch.playback.errors import RecordedError
from runwatch.playback.executor import Replay
from runwatch.playback.record import Record
from runwatch.playback.sources import from_file
from runwatch.playback.timeline import timeline
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.json_form import RunOrder, parse_line
from runwatch.schemas.opaque import Opaque

FILES = ("tau2.jsonl.gz", "sweagent_gpt4.jsonl.gz", "intercode.jsonl.gz")


def records(path: Path) -> Iterator[Record]:
    runs: dict[str, list[AgentEvent]] = defaultdict(list)
    order = RunOrder()
    with gzip.open(path) as lines:
        for line in lines:
            event = parse_line(line, order)
            runs[event.run_id].append(event)
    for run_id, events in runs.items():
        yield Record(run_id, events)


def play(replay: Replay, calls: list[AgentEvent]) -> list[object]:
    """Makes these calls again, whatever their arguments were, and gives what came of each."""
    answers: list[object] = []
    for call in calls:
        try:
            answers.append(replay.call_tool(call.tool or "", Opaque(call.args_sha or "")))
        except RecordedError as error:
            answers.append(error)
    return answers


@pytest.mark.parametrize("name", FILES)
def test_every_run_is_played_back(shared_data: Path, name: str) -> None:
    runs = 0
    for record in records(shared_data / name):
        replay = Replay(record)
        answers = play(replay, record.calls)
        assert replay.report().same, record.run_id
        for call, answer in zip(record.calls, answers, strict=True):
            if call.status == "error":
                assert (call.error or "Error") == type(answer).__name__
            elif record.content(call.result_sha) is None:
                assert Opaque(call.result_sha or "") == answer
        assert len(record.events) == len(timeline(record))
        runs += 1
    assert runs > 500


def test_a_call_that_was_left_out_or_put_in_is_found_at_its_place(shared_data: Path) -> None:
    chance = random.Random(1)
    for record in records(shared_data / "tau2.jsonl.gz"):
        calls = record.calls
        if len(calls) < 3:
            continue
        at = chance.randrange(len(calls))
        # Where the same call comes again, one that is left out is not missed before the last of them.
        where = next((n for n in range(at, len(calls) - 1) if key(calls[n]) != key(calls[n + 1])), len(calls) - 1)
        without = Replay(record)
        play(without, calls[:at] + calls[at + 1 :])
        assert where == without.report().first.place
        put_in = Replay(record, not_recorded=lambda tool, args: "mine")
        put_in.call_tool("no such tool", 1) if at == 0 else play(put_in, calls[:at])
        assert (at == 0) == (put_in.divergence is not None)
        if at:
            assert "mine" == put_in.call_tool("no such tool", 1)
        assert at == put_in.divergence.place


def key(call: AgentEvent) -> tuple[str | None, str | None]:
    return call.tool, call.args_sha


def test_one_run_from_the_file(shared_data: Path) -> None:
    first = next(records(shared_data / "tau2.jsonl.gz"))
    record = from_file(shared_data / "tau2.jsonl.gz", first.run_id)
    assert first.events == record.events
    assert (6, 6) == (record.parts()["calls"], record.parts()["results_unknown"])
