"""The whole sink between the real Kafka and the real ClickHouse: nothing lost, nothing twice."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.control.signers import FRESH_MS
from runwatch.control.signing import Signer, make_pair
from runwatch.schemas import topics
from runwatch.schemas.avro import AvroSchema, load
from runwatch.schemas.wire import encode, header
from runwatch.sinks.app import run_sink
from runwatch.sinks.batch import Limits
from runwatch.sinks.insert import INSERT_SETTINGS
from runwatch.sinks.stats import Stats

pytestmark = pytest.mark.stack
Make = Callable[..., Any]
SOON_S = 60.0


@pytest.fixture
def fleet(stack: Any) -> Iterator[Settings]:
    """Topics and a database of their own."""
    settings = stack.unique()
    topics.ensure_topics(settings.kafka, settings.prefix, partitions=4)
    yield settings
    connect(settings).command(f"DROP DATABASE IF EXISTS {settings.database}")


class Running:
    """A sink in a thread of its own."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self.stats = Stats()
        self.stop = threading.Event()
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings, limits))
        self._thread.start()

    def _run(self, settings: Settings, limits: Limits | None) -> None:
        try:
            run_sink(settings, self.stop, limits=limits, stats=self.stats)
        except BaseException as error:
            self.failed = error

    def end(self) -> None:
        self.stop.set()
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()
        if self.failed is not None:
            raise self.failed


@contextmanager
def sink(settings: Settings, limits: Limits | None = None) -> Iterator[Running]:
    running = Running(settings, limits)
    try:
        yield running
    finally:
        running.end()


def until(truth: Callable[[], bool], what: str, within_s: float = SOON_S) -> None:
    end = time.monotonic() + within_s
    while not truth():
        assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)


class Ledger:
    """Sends to a fleet's topics and remembers what it sent."""

    def __init__(self, settings: Settings, schema: AvroSchema, an_event: Make) -> None:
        self._settings = settings
        self._schema = schema
        self._an_event = an_event
        self._producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True})
        self.event_ids: set[str] = set()

    def events(self, count: int) -> None:
        for _ in range(count):
            number = len(self.event_ids)
            event_id, run_id = f"e{number}", f"r{number // 10}"
            record = self._an_event(event_id=event_id, run_id=run_id, seq=number % 10)
            self.raw("events", encode(record, self._schema, self._schema.schema_id), run_id)
            self.event_ids.add(event_id)
        self._producer.flush()

    def raw(self, topic: str, value: bytes | None, key: str = "k", **more: Any) -> None:
        while True:
            try:
                self._producer.produce(self._settings.topic(topic), value=value, key=key, **more)
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self) -> None:
        self._producer.flush()


@pytest.fixture
def ledger(fleet: Settings, event_schema: AvroSchema, an_event: Make) -> Ledger:
    return Ledger(fleet, event_schema, an_event)


def ask(settings: Settings, query: str) -> list[Any]:
    client = connect(settings)
    try:
        client.database = settings.database
        return [tuple(row) for row in client.query(query).result_rows]
    finally:
        client.close()


def event_ids(settings: Settings) -> list[str]:
    return [row[0] for row in ask(settings, "SELECT event_id FROM events")]


def stored(settings: Settings, count: int) -> Callable[[], bool]:
    return answered(settings, "SELECT count() FROM events", lambda rows: bool(rows[0][0] >= count))


def answered(settings: Settings, query: str, does: Callable[[list[Any]], bool]) -> Callable[[], bool]:
    """Whether the answer does; it does not as long as the sink has not made the tables."""

    def truth() -> bool:
        with suppress(RuntimeError, Exception):
            return does(ask(settings, query))
        return False

    return truth


def read_all(settings: Settings, topic: str, count: int) -> list[Any]:
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": f"{settings.prefix}test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([settings.topic(topic)])
    found: list[Any] = []
    end = time.monotonic() + SOON_S
    while len(found) < count and time.monotonic() < end:
        found += [each for each in consumer.consume(100, 0.5) if each.error() is None]
    consumer.close()
    return found


def test_every_topic_is_stored_and_bad_bytes_are_kept_apart(
    fleet: Settings, ledger: Ledger, event_schema: AvroSchema, an_event: Make
) -> None:
    anomaly, control = load("anomaly"), load("control")
    good = encode(an_event(), event_schema, event_schema.schema_id)
    spoilt = {
        "empty": None,
        "short": b"\x00\x01",
        "magic": b"\x07" + good[1:],
        "schema": header(12345) + good[5:],
        "avro": good[:-9],
    }
    with sink(fleet) as running:
        ledger.events(500)
        for value in spoilt.values():
            ledger.raw("events", value, key="bad")
        ledger.events(500)
        episode = {
            "anomaly_id": "a", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 1,
            "onset_ms": 1, "agent": "x", "value": 1.0, "message": "m", "run_id": "r1",
        }  # fmt: skip
        ledger.raw("anomalies", encode(episode, anomaly, anomaly.schema_id))
        command = {"control_id": "c", "scope": "fleet", "mode": "stop", "ts_ms": 1, "why": "w", "by": "b"}
        ledger.raw("control", encode(command, control, control.schema_id), key="fleet")
        ledger.raw("control", None, key="fleet")
        ledger.flush()
        until(stored(fleet, 1000), "1,000 events in ClickHouse")
        until(lambda: ask(fleet, "SELECT count() FROM dead_letters") == [(len(spoilt),)], "the dead letters as rows")
        until(lambda: ask(fleet, "SELECT control_id FROM control_log") == [("c",)], "the command in the log")
        until(lambda: ask(fleet, "SELECT anomalies FROM runs WHERE run_id = 'r1'") == [(1,)], "the run's anomaly")

    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))
    assert dict.fromkeys(spoilt, 1) == running.stats.dead_letters
    letters = read_all(fleet, "deadletter", len(spoilt))
    assert spoilt == {dict(each.headers())["reason"].decode(): each.value() for each in letters}
    assert {b"bad"} == {each.key() for each in letters}
    assert {fleet.topic("events").encode()} == {dict(each.headers())["topic"] for each in letters}
    kept = ask(fleet, "SELECT reason, hex(value) FROM dead_letters")
    assert {reason: (value or b"").hex().upper() for reason, value in spoilt.items()} == {
        reason: value or "" for reason, value in kept
    }


def test_a_forged_command_is_no_part_of_the_audit_and_kept_apart(fleet: Settings, ledger: Ledger) -> None:
    schema = load("control")
    now_ms = int(time.time() * 1000)
    given = {"control_id": "c", "scope": "run:r1", "mode": "stop", "ts_ms": now_ms, "why": "w", "by": "b"}
    forged = {
        "another": ("fleet", given),
        "nameless": ("run:r1", given | {"by": ""}),
        "ahead": ("run:r1", given | {"ts_ms": now_ms + 86_400_000}),
        "nobody": ("everyone", given | {"scope": "everyone"}),
    }
    with sink(fleet) as running:
        for key, command in forged.values():
            ledger.raw("control", encode(command, schema, schema.schema_id), key=key)
        ledger.raw("control", b"stop everything", key="fleet")
        ledger.raw("control", encode(given, schema, schema.schema_id), key="run:r1")
        ledger.flush()
        audit = "SELECT scope, who, what FROM audit"
        until(answered(fleet, audit, lambda rows: rows == [("run:r1", "b", "stop")]), "the command")
        until(lambda: ask(fleet, "SELECT count() FROM dead_letters") == [(len(forged) + 1,)], "the dead letters")
    assert {"forged": 3, "key": 1, "magic": 1} == running.stats.dead_letters


def test_the_audit_says_who_signed_a_command_and_has_none_that_nobody_did(
    fleet: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    (public, private), (_, other) = make_pair(), make_pair()
    signers = tmp_path / "signers"
    signers.write_text(f"mia {public}\n")
    schema, topic = load("control"), fleet.topic("control")
    now_ms = int(time.time() * 1000)

    def say(scope: str, key: str | None, at_ms: int = now_ms) -> None:
        command = {"control_id": scope, "scope": scope, "mode": "stop", "ts_ms": now_ms, "why": "w", "by": "b"}
        value = encode(command, schema, schema.schema_id)
        headers = Signer(key, lambda: at_ms).headers(topic, scope.encode(), value) if key else []
        ledger.raw("control", value, key=scope, headers=headers)

    with sink(fleet.model_copy(update={"control_signers": signers})) as running:
        say("run:unsigned", None)
        say("run:made-up", other)
        say("run:replayed", private, now_ms - 2 * FRESH_MS)
        say("run:good", private)
        ledger.raw("control", None, key="run:gone")
        ledger.flush()
        query = "SELECT scope, signed_by FROM audit"
        until(answered(fleet, query, lambda rows: rows == [("run:good", "mia")]), "the command")
        until(lambda: ask(fleet, "SELECT count() FROM dead_letters") == [(4,)], "the dead letters")
    assert {"unsigned": 2, "signature": 1, "stale": 1} == running.stats.dead_letters
    assert [("run:good", "mia")] == ask(fleet, "SELECT scope, signed_by FROM control_log")


def test_what_is_stored_is_not_stored_again_when_offsets_were_not_committed(fleet: Settings, ledger: Ledger) -> None:
    ledger.events(2000)
    with sink(fleet):
        until(stored(fleet, 2000), "2,000 events in ClickHouse")
    admin = AdminClient({"bootstrap.servers": fleet.kafka})
    for future in admin.delete_consumer_groups([f"{fleet.prefix}runwatch-sink"]).values():
        future.result()
    ledger.events(100)
    with sink(fleet) as again:
        until(stored(fleet, 2100), "2,100 events in ClickHouse")
        until(lambda: again.stats.skipped == 2000, "2,000 messages skipped")
    assert [(2100,)] == ask(fleet, "SELECT count() FROM events_stored")
    assert 100 == again.stats.stored[fleet.topic("events")]


def test_a_topic_made_anew_is_not_taken_for_the_old_one(fleet: Settings, ledger: Ledger) -> None:
    ledger.events(300)
    with sink(fleet):
        until(stored(fleet, 300), "300 events in ClickHouse")
    admin = AdminClient({"bootstrap.servers": fleet.kafka})
    for future in admin.delete_topics([fleet.topic("events")]).values():
        future.result()
    until(lambda: fleet.topic("events") not in admin.list_topics(timeout=5).topics, "the topic gone")
    time.sleep(1)
    topics.ensure_topics(fleet.kafka, fleet.prefix, partitions=4)
    ledger.events(300)
    with sink(fleet) as again:
        until(stored(fleet, 600), "600 events in ClickHouse")
    assert again.stats.skipped == 0
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))


def test_sinks_that_come_and_go_store_everything_once(fleet: Settings, ledger: Ledger) -> None:
    with sink(fleet, Limits(records=200)) as one:
        ledger.events(1000)
        until(stored(fleet, 500), "500 events in ClickHouse")
        with sink(fleet, Limits(records=200)) as two:
            until(lambda: (ledger.events(50), two.stats.batches > 0)[1], "the second sink at work")  # type: ignore[func-returns-value]
            ledger.events(1000)
        ledger.events(1000)
        until(stored(fleet, len(ledger.event_ids)), "all events in ClickHouse")
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))
    assert [(len(ledger.event_ids),)] == ask(fleet, "SELECT count() FROM events_stored")
    assert one.stats.stored[fleet.topic("events")] + two.stats.stored[fleet.topic("events")] == len(ledger.event_ids)


def start_process(stack: Any, settings: Settings) -> subprocess.Popen[bytes]:
    code = "from runwatch import config; from runwatch.sinks.app import run_sink; run_sink(config.load())"
    return subprocess.Popen([sys.executable, "-c", code], env=stack.environ(settings), cwd=stack.home)


def test_a_killed_sink_leaves_nothing_out_and_nothing_twice(stack: Any, fleet: Settings, ledger: Ledger) -> None:
    process = start_process(stack, fleet)
    try:
        until(lambda: (ledger.events(500), stored(fleet, 2000)())[1], "2,000 events in ClickHouse")  # type: ignore[func-returns-value]
        ledger.events(5000)
    finally:
        process.kill()
        process.wait()
    process = start_process(stack, fleet)
    try:
        until(stored(fleet, len(ledger.event_ids)), "all events in ClickHouse")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))


def test_a_sink_that_was_taken_for_dead_goes_on_and_nothing_is_lost_or_shown_twice(
    stack: Any, fleet: Settings, ledger: Ledger
) -> None:
    first = start_process(stack, fleet)
    try:
        until(lambda: (ledger.events(500), stored(fleet, 1000)())[1], "1,000 events in ClickHouse")  # type: ignore[func-returns-value]
        ledger.events(3000)
        first.send_signal(signal.SIGSTOP)
        ledger.events(1000)
        with sink(fleet) as second:
            # What the first has had is given to the second, once the broker misses its heartbeats.
            until(stored(fleet, len(ledger.event_ids)), "all events in ClickHouse")
            assert second.stats.batches
            first.send_signal(signal.SIGCONT)
            ledger.events(3000)
            until(stored(fleet, len(ledger.event_ids)), "all events in ClickHouse")
            first.send_signal(signal.SIGTERM)
            assert first.wait(SOON_S) == 0
            ledger.events(500)
            until(stored(fleet, len(ledger.event_ids)), "all events in ClickHouse")
    finally:
        if first.poll() is None:
            first.kill()
            first.wait()
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))
    assert [(len(ledger.event_ids),)] == ask(fleet, "SELECT sum(events) FROM runs")


class Gate:
    """A port before ClickHouse that can be shut."""

    def __init__(self, to: str) -> None:
        host, port = to.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._listener: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            # Wakes the thread that waits in accept(), which close() alone would not.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for each in self._pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._to)
                self._pairs += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def test_clickhouse_may_come_late_and_go_away(
    fleet: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runwatch")
    gate = Gate(fleet.clickhouse)
    behind = fleet.model_copy(update={"clickhouse": gate.address})
    ledger.events(1000)
    try:
        with sink(behind):
            time.sleep(3)
            gate.open()
            until(stored(fleet, 1000), "the first 1,000 events")
            gate.shut()
            ledger.events(1000)
            time.sleep(8)
            gate.open()
            until(stored(fleet, 2000), "all events")
    finally:
        gate.shut()
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    away = [line for line in lines if line.startswith(f"ClickHouse does not answer at {gate.address}")]
    # One when it started without it, and one when it went away; not one a second.
    assert len(away) == 2, lines
    assert any("is back after" in record.getMessage() for record in caplog.records)


def test_a_sink_that_is_stopped_while_clickhouse_is_away_ends_soon(fleet: Settings, ledger: Ledger) -> None:
    gate = Gate(fleet.clickhouse)
    gate.open()
    behind = fleet.model_copy(update={"clickhouse": gate.address})
    try:
        with sink(behind) as running:
            ledger.events(100)
            until(stored(fleet, 100), "the first 100 events")
            gate.shut()
            ledger.events(100)
            time.sleep(2)
            began = time.monotonic()
            running.end()
            assert time.monotonic() - began < 15
        with sink(fleet):
            until(stored(fleet, 200), "all events")
    finally:
        gate.shut()
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))


def test_a_full_disk_is_waited_out_and_said(
    fleet: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "runwatch")
    with sink(fleet) as running:
        ledger.events(500)
        until(stored(fleet, 500), "the first 500 events")
        # More room asked for than any disk has: ClickHouse answers as it does when the disk is full.
        room = INSERT_SETTINGS["min_free_disk_bytes_to_perform_insert"]
        monkeypatch.setitem(INSERT_SETTINGS, "min_free_disk_bytes_to_perform_insert", 2**60)
        ledger.events(500)
        until(lambda: running.stats.in_trouble, "the sink waits")
        assert [] == [letter for letter, count in running.stats.dead_letters.items() if count]
        monkeypatch.setitem(INSERT_SETTINGS, "min_free_disk_bytes_to_perform_insert", room)
        until(stored(fleet, 1000), "all events once there is room")
        until(lambda: not running.stats.in_trouble, "the sink waits no more")
    assert sorted(ledger.event_ids) == sorted(event_ids(fleet))
    said = [record.getMessage() for record in caplog.records if "no disk space left" in record.getMessage()]
    assert len(said) == 1, said
    assert "make room and it goes on" in said[0]


def test_wrong_password_ends_at_once_with_a_sentence(fleet: Settings) -> None:
    wrong = fleet.model_copy(update={"clickhouse_user": "nobody-" + str(os.getpid())})
    running = Running(wrong)
    with pytest.raises(RuntimeError, match="does not let this user in"):
        running.end()
