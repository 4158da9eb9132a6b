"""Records from files and from ClickHouse, and what is known of their payloads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import runwatch
from runwatch.playback.errors import ReplayError
from runwatch.playback.record import Content, Record, content_of
from runwatch.playback.sources import from_file, from_store
from runwatch.playback.timeline import ending, timeline
from runwatch.playback.token import find_token
from runwatch.schemas import avro
from runwatch.schemas.canonical import sha
from runwatch.schemas.opaque import Opaque
from runwatch.schemas.sealing import Sealer, WrongKey, make_pair

PUBLIC, PRIVATE = make_pair()
LINES = [
    {"run_id": "r1", "kind": "run_start", "ts_ms": 1_000, "agent": "a", "model": "m1"},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 2_500, "agent": "a", "tool": "get", "args": {"q": 1},
     "result": {"page": 1}, "status": "ok", "duration_ms": 12},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 3_000, "agent": "a", "tool": "get", "args": {"q": 1},
     "status": "error", "error": "TimeoutError"},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 3_500, "agent": "a", "tool": "pay", "args_sha": "d" * 24,
     "status": "error", "error": "ToolDenied", "stop_reason": "denied"},
    {"run_id": "r1", "kind": "stop", "ts_ms": 4_000, "agent": "a", "stop_reason": "success", "duration_ms": 3_000,
     "usage": {"tool_calls": 2, "cost_usd": 0.5}},
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES) + "\nnot json\n")
    return path


def test_a_file_of_one_run(file: Path) -> None:
    record = from_file(file)
    assert ("r1", 5, 3, 0) == (record.run_id, len(record.events), len(record.calls), record.missing_events)
    assert {"page": 1} == record.content(sha({"page": 1})).value
    expected = {"calls": 3, "args": 3, "args_unknown": 1, "results": 1, "results_unknown": 0, "sealed": 0}
    assert expected == {name: record.parts()[name] for name in expected}


def test_a_run_of_many_in_a_packed_file(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "runs.jsonl.gz"
    other = file.read_text().replace('"r1"', '"r2"')
    packed.write_bytes(gzip.compress((file.read_text() + other).encode()))
    assert "r2" == from_file(packed, "r2").run_id
    with pytest.raises(ReplayError, match="several runs: say which, such as r1, r2"):
        from_file(packed)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.write_text(""), "holds no events"),
        (lambda path: path.write_bytes(gzip.compress(b"x" * 1_000)[:-20]), "cannot be read"),
    ],
)
def test_a_file_that_does_not_do(tmp_path: Path, make: Any, told: str) -> None:
    path = tmp_path / "f.jsonl"
    make(path)
    with pytest.raises(ReplayError, match=told):
        from_file(path)


def test_a_run_that_is_not_in_the_file(file: Path) -> None:
    with pytest.raises(ReplayError, match="holds no event of run r9"):
        from_file(file, "r9")


def test_contents_under_anothers_hash_are_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(LINES[1] | {"result_sha": "e" * 24}))
    assert not from_file(path).content("e" * 24).is_whole


def test_replay_from_a_file(file: Path) -> None:
    replay = runwatch.replay(file=file)
    assert {"page": 1} == replay.call_tool("get", {"q": 1})
    with pytest.raises(TimeoutError):
        replay.tools["get"](q=1)
    assert replay.report().same


def test_the_timeline(file: Path) -> None:
    rows = timeline(from_file(file))
    assert [0.0, 1.5, 2.0, 2.5, 3.0] == [row["t_s"] for row in rows]
    assert [None, None, "again, as 1", "refused: denied", "stopped: success"] == [row["note"] for row in rows]
    assert ({"q": 1}, {"page": 1}, 0) == (rows[1]["args"], rows[1]["result"], rows[1]["result_redacted"])
    assert "args" not in rows[3]
    assert "It stopped after 3.0 s: success. Used: 2 tool calls, 0.5 USD." == ending(from_file(file))


def test_gaps_are_told(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "gap.jsonl"
    path.write_text("\n".join(json.dumps(line | {"seq": at * 3}) for at, line in enumerate(LINES[:2])))
    record = from_file(path)
    assert ("2 before it never arrived", 2) == (timeline(record)[1]["note"], record.missing_events)
    assert "It has not stopped, as far as is recorded." == ending(record)


def test_a_snapshot_is_whole_only_if_its_hash_says_so() -> None:
    assert content_of('{"a":1}', sha({"a": 1}), {}, False).is_whole
    assert not content_of('{"a":2}', sha({"a": 1}), {}, False).is_whole
    assert not content_of('{"a":"[email]"}', sha({"a": 1}), {"email": 1}, False).is_whole


def test_what_everybody_knows_is_known() -> None:
    record = Record("r", [])
    assert [Content(None), Content(True), Content([])] == [record.content(sha(value)) for value in (None, True, [])]
    assert record.content(sha("something else")) is None


def test_the_token_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWATCH_SNAPSHOT_TOKEN", raising=False)
    assert find_token() is None
    path = tmp_path / "key"
    path.write_text(PRIVATE + "\n")
    assert PRIVATE == find_token(path)
    monkeypatch.setenv("RUNWATCH_SNAPSHOT_TOKEN", f"@{path}")
    assert PRIVATE == find_token()
    monkeypatch.setenv("RUNWATCH_SNAPSHOT_TOKEN", PRIVATE)
    assert PRIVATE == find_token()
    with pytest.raises(ReplayError, match="The token cannot be read"):
        find_token(tmp_path / "no")


@pytest.mark.stack
def test_a_run_from_clickhouse(stack: Any) -> None:
    from runwatch.clickhouse import connect
    from runwatch.schemas.container import pack
    from runwatch.schemas.wire import encode, split
    from runwatch.sinks.insert import ClickHouseLanding
    from runwatch.sinks.lead import lead_bodies, lead_bytes
    from runwatch.sinks.migrate import migrate
    from runwatch.sinks.routes import LEAD

    its = stack.unique()
    client = connect(its)
    migrate(client, its)
    client.database = its.database
    landing = ClickHouseLanding(its, client)

    def insert(table: str, name: str, records: list[dict[str, Any]], first: int) -> None:
        schema = avro.load(name)
        bodies = [split(encode(record, schema, 1))[1] for record in records]
        places = list(range(first, first + len(bodies)))
        landing.insert(table, pack(lead_bodies(lead_bytes(1, 0), places, bodies, 0), schema, LEAD))

    def snapshot(payload: Any, text: str, public: str = PUBLIC, **fields: Any) -> dict[str, Any]:
        sealer = Sealer(public)
        digest = sha(payload)
        return {
            "sha": digest, "kind": "args", "ts_ms": 5, "agent": "a", "key_id": sealer.key_id, "truncated": False,
            "sealed": sealer.seal(digest, text), "payload_chars": 9, "kept_chars": len(text), **fields,
        }  # fmt: skip

    base = {"run_id": "r1", "kind": "tool_result", "agent": "a", "status": "ok", "tool": "t"}
    shas = [(sha({"q": 1}), sha("one")), (sha({"to": "ann@example.com"}), sha("two")), (sha("gone"), sha("other"))]
    events = [
        base | {"event_id": f"e{seq}", "seq": seq, "ts_ms": 1_000 * seq, "args_sha": args, "result_sha": result}
        for seq, (args, result) in enumerate(shas)
    ]
    try:
        insert("events_in", "agent_event", events, 0)
        other = make_pair()[0]
        insert(
            "snapshots_in",
            "snapshot",
            [
                snapshot({"q": 1}, '{"q":1}'),
                snapshot("one", '"one"'),
                snapshot({"to": "ann@example.com"}, '{"to":"[email]"}', redactions=["email"], redaction_counts=[1]),
                # Sealed for somebody else; and one that was put under another's hash.
                snapshot("two", '"two"', other),
                snapshot("other", '"x"') | {"sha": sha("gone")},
            ],
            0,
        )
        # Again, as a resend may be: still one row.
        insert("snapshots_in", "snapshot", [snapshot("one", '"one"')], 10)
        assert [(5,)] == client.query("SELECT count() FROM snapshots").result_rows
        record = from_store(its, "r1", PRIVATE)
        assert [0, 1, 2] == [event.seq for event in record.events]
        assert [0, 1_000, 2_000] == [event.ts_ms for event in record.events]
        expected = {"args": 3, "args_redacted": 1, "args_unknown": 1, "results": 3, "results_unknown": 2, "sealed": 2}
        assert expected == {name: record.parts()[name] for name in expected}
        replay = runwatch.replay("r1", settings=its, token=PRIVATE)
        assert "one" == replay.call_tool("t", {"q": 1})
        assert Opaque(sha("two")) == replay.call_tool("t", {"to": "ann@example.com"})
        closed = from_store(its, "r1")
        assert (5, 3) == (closed.sealed, closed.parts()["args_unknown"])
        client.command("DROP VIEW snapshots")
        assert {} == from_store(its, "r1", PRIVATE).contents
        with pytest.raises(ReplayError, match="No event of run r9 is stored"):
            from_store(its, "r9")
        with pytest.raises(WrongKey):
            from_store(its, "r1", PUBLIC)
    finally:
        client.command(f"DROP DATABASE {its.database}")
        client.close()
