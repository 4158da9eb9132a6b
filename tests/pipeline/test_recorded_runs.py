"""Runs that others recorded: every event once, every loop found, live as over the files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stack

EVENTS, RUNS = 25_715, 2_764
FILES = ("tau2", "sweagent_gpt4", "intercode")


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[Path]:
    return [shared_data / f"{name}.jsonl.gz" for name in FILES]


@pytest.fixture(scope="module")
def expected(pipeline: Any, files: list[Path]) -> set[tuple[str, str]]:
    """(id, rule) of each anomaly in the files."""
    done = pipeline.run("backtest", *files)
    assert (0, "") == (done.returncode, done.stderr)
    return {(one["anomaly_id"], one["rule"]) for one in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def imported(pipeline: Any, files: list[Path]) -> subprocess.CompletedProcess[str]:
    done = pipeline.run("import", *files)
    pipeline.settled()
    return done


OURS = "match(agent, '^(tau2/|swe-agent|intercode-)')"


def stored(pipeline: Any) -> tuple[Any, ...]:
    """Events, runs, calls and loops. What windows show is told seconds after they are over, and not counted here."""
    (counts,) = pipeline.rows(
        f"""
        SELECT
            (SELECT count() FROM events WHERE {OURS}),
            (SELECT uniqExact(event_id) FROM events WHERE {OURS}),
            (SELECT count() FROM runs WHERE {OURS}),
            (SELECT sum(tool_calls) FROM runs WHERE {OURS}),
            (SELECT count() FROM anomalies WHERE {OURS} AND startsWith(rule, 'loop.'))
        """
    )
    return tuple(counts)


def test_the_import_says_what_it_sent(imported: subprocess.CompletedProcess[str]) -> None:
    assert (0, "") == (imported.returncode, imported.stderr)
    assert imported.stdout.startswith(f"{EVENTS:,} events of {RUNS:,} runs sent to agent.events in ")


def test_every_event_is_stored_once(pipeline: Any, imported: Any) -> None:
    assert (EVENTS, EVENTS, RUNS, 5_271 + 8_792 + 8_888) == stored(pipeline)[:4]


def test_the_six_runs_that_ran_out_have_a_loop(pipeline: Any, imported: Any) -> None:
    found = pipeline.rows(
        """
        SELECT run_id, arrayExists(rule -> startsWith(rule, 'loop.'), anomaly_rules) FROM runs
        WHERE startsWith(agent, 'tau2/') AND stop_reason IN ('max_steps', 'too_many_errors')
        """
    )
    assert [True] * 6 == [bool(looped) for _, looped in found]


def test_live_is_as_over_the_files(pipeline: Any, imported: Any, expected: set[tuple[str, str]]) -> None:
    # Runs one after the other, in no order of time: what windows show live depends on how fast they come in.
    loops = {one for one in expected if one[1].startswith("loop.")}
    assert loops == set(
        pipeline.rows(f"SELECT anomaly_id, rule FROM anomalies WHERE {OURS} AND startsWith(rule, 'loop.')")
    )


def test_the_same_again_changes_nothing(pipeline: Any, imported: Any, files: list[Path]) -> None:
    before = stored(pipeline)
    assert 0 == pipeline.run("import", *files).returncode
    pipeline.settled()
    assert before == stored(pipeline)


def test_chat_transcripts(pipeline: Any, shared_data: Path) -> None:
    path = shared_data / "openai_messages.json"
    done = pipeline.run("import", "--format", "openai-messages", "--agent", "chats", path)
    assert (0, "") == (done.returncode, done.stderr)
    pipeline.settled()
    assert (25, 144) == pipeline.rows("SELECT count(), sum(tool_calls) FROM runs WHERE agent = 'chats'")[0]
    assert 144 == pipeline.one("SELECT countIf(kind = 'tool_result') FROM events WHERE agent = 'chats'")
