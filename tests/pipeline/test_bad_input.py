"""What should not be there: told, kept apart, counted; and everything around it stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runwatch.schemas.avro import load
from runwatch.schemas.wire import encode, header

pytestmark = pytest.mark.stack
PARTITION = 3


def line(number: int) -> str:
    event = {
        "run_id": f"lines-{number}", "kind": "tool_result", "ts_ms": 1_772_366_400_000, "agent": "lines", "tool": "t",
        "args": {"n": number}, "result": "r", "status": "ok",
    }  # fmt: skip
    return json.dumps(event)


def test_lines_that_hold_no_event(pipeline: Any, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    bad = ["not JSON", '{"run_id": "x", "kind": "stop"}', '{"run_id": "x", "kind": "dance", "ts_ms": 1, "agent": "a"}']
    path.write_text("\n".join([line(0), bad[0], line(1), bad[1], bad[2], line(2)]))
    done = pipeline.run("import", path)
    assert 1 == done.returncode
    assert done.stdout.startswith("3 events of 3 runs sent")
    assert [f"{path}, line 2", f"{path}, line 4", f"{path}, line 5"] == [
        told.rpartition(": ")[0].removesuffix(": `ts_ms` is missing") for told in done.stderr.splitlines()[:3]
    ]
    kept = Path(f"{path}.rejected.jsonl")
    assert f"3 lines held no event. Kept in {kept}: mend and import that." == done.stderr.splitlines()[3]
    assert bad == kept.read_text().splitlines()
    pipeline.settled()
    assert 3 == pipeline.one("SELECT count() FROM events WHERE agent = 'lines'")


def test_standard_input(pipeline: Any) -> None:
    done = pipeline.run("import", "-", stdin=f"{line(10)}\nbad\n".encode())
    assert 1 == done.returncode
    assert "bad\n" == (pipeline.folder / "stdin.rejected.jsonl").read_text()
    pipeline.settled()
    assert 1 == pipeline.one("SELECT count() FROM events WHERE run_id = 'lines-10'")


def good(seq: int) -> bytes:
    schema = load("agent_event")
    event = {
        "event_id": f"messages-{seq}", "run_id": "messages", "seq": seq, "kind": "tool_result",
        "ts_ms": 1_772_366_400_000 + seq, "agent": "messages", "tool": "t", "args_sha": f"{seq:024}", "status": "ok",
    }  # fmt: skip
    return encode(event, schema, schema.schema_id)


def bad_ones() -> dict[str, bytes]:
    whole = good(1000)
    return {
        "empty": b"",
        "plain text": b"hello, I am not Avro at all",
        "wrong magic byte": b"\x01" + whole[1:],
        "unknown schema id": header(12345) + whole[5:],
        "truncated": whole[: len(whole) // 2],
        "only a header": whole[:5],
        "too long": whole + b"\x00",
    }


@pytest.fixture(scope="module")
def produced(pipeline: Any) -> dict[int, str]:
    """Offset → what is wrong there; good ones stand between."""
    bad = bad_ones()
    names: dict[int, str] = {}
    offsets: list[int] = []
    producer = Producer({"bootstrap.servers": pipeline.settings.kafka, "log_level": 0})

    def note(name: str) -> Callable[[Any, Any], None]:
        def delivered(error: Any, message: Any) -> None:
            assert error is None
            offsets.append(message.offset())
            if name:
                names[message.offset()] = name

        return delivered

    seq = 0
    for name, value in [*bad.items(), ("", b"")]:
        for _ in range(5):
            producer.produce("agent.events", good(seq), b"messages", PARTITION, on_delivery=note(""))
            seq += 1
        if name:
            producer.produce("agent.events", value, b"messages", PARTITION, on_delivery=note(name))
    assert 0 == producer.flush(30)
    assert len(bad) == len(names)
    pipeline.settled()
    return names


def test_good_messages_around_bad_ones_are_stored(pipeline: Any, produced: dict[int, str]) -> None:
    seqs = pipeline.rows("SELECT seq FROM events WHERE run_id = 'messages' ORDER BY seq")
    assert list(range(5 * (len(produced) + 1))) == [seq for (seq,) in seqs]


def test_bad_messages_are_dead_letters_with_their_place(pipeline: Any, produced: dict[int, str]) -> None:
    letters = pipeline.rows("SELECT offset, topic, partition, reason, value FROM dead_letters ORDER BY offset")
    bad = bad_ones()
    assert sorted(produced) == [letter[0] for letter in letters]
    assert {("agent.events", PARTITION)} == {letter[1:3] for letter in letters}
    reasons = {produced[letter[0]]: letter[3] for letter in letters}
    assert all(reasons.values())
    assert reasons["wrong magic byte"] == reasons["plain text"] != reasons["unknown schema id"]
    assert reasons["truncated"] not in (reasons["wrong magic byte"], reasons["unknown schema id"])
    assert {"empty", *bad} == set(reasons)


def test_the_dead_letter_topic_has_the_bytes_as_they_were(pipeline: Any, produced: dict[int, str]) -> None:
    consumer = Consumer({"bootstrap.servers": pipeline.settings.kafka, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition("agent.deadletter", 0, 0)])
        end = consumer.get_watermark_offsets(TopicPartition("agent.deadletter", 0), timeout=10)[1]
        assert len(produced) == end
        messages = consumer.consume(end, timeout=20)
    finally:
        consumer.close()
    bad = bad_ones()
    for message in messages:
        headers = dict(message.headers())
        assert (b"agent.events", str(PARTITION).encode()) == (headers["topic"], headers["partition"])
        assert headers["reason"]
        assert b"messages" == message.key()
        assert bad[produced[int(headers["offset"])]] == (message.value() or b"")


def test_worker_and_sink_go_on(pipeline: Any, produced: dict[int, str]) -> None:
    services = pipeline.services()
    assert [("running", 0)] * 2 == [
        (services[name]["state"], services[name]["restarts"]) for name in ("processors", "sink")
    ]
