"""The store held against the ledgers: nothing lost, nothing twice, nothing committed that is not stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Consumer, KafkaException, TopicPartition

from runwatch.clickhouse import StoreError, connect
from runwatch.config import Settings
from runwatch.schemas.topics import DEADLETTER, EVENTS

from .clean import loops_of_the_log
from .ledger import Noted, Sent
from .spoil import KEY

AGAIN_S = 60.0
LETTERS = 100_000
"""More dead letters are never on their way: two minutes without ClickHouse bring a quarter of it."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


class Store:
    """Questions to ClickHouse."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = connect(settings, timeout_s=600)

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What it answers, `{db}` standing for the database."""
        return list(self._client.query(query.replace("{db}", self._settings.database), parameters).result_rows)

    def one(self, query: str, **parameters: Any) -> Any:
        """The one value that it answers."""
        ((value,),) = self.rows(query, **parameters)
        return value

    def frame(self, query: str) -> pl.DataFrame:
        """The same as a table."""
        found = self._client.query(query.replace("{db}", self._settings.database), column_oriented=True)
        return pl.DataFrame(dict(zip(found.column_names, found.result_columns, strict=True)))


def committed_ahead(settings: Settings, proven: dict[int, int] | None = None) -> int:
    """Messages of the event topic below the sinks' committed offsets that are neither stored nor dead letters.

    `proven`: up to which offset of each partition that was looked at before and held; brought up to date. Second
    copies of an event are counted too, since of two one row stays: `twice_in_topic` tells how many. Who is only just up
    again is asked again.
    """
    deadline = time.monotonic() + AGAIN_S
    while True:
        try:
            return _committed_ahead(settings, {} if proven is None else proven)
        except (StoreError, KafkaException, ClickHouseError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _committed_ahead(settings: Settings, proven: dict[int, int]) -> int:
    topic = settings.topic(EVENTS.name)
    places = [TopicPartition(topic, number) for number in range(settings.partitions)]
    consumer = Consumer(settings.kafka_client(**{"group.id": f"{settings.prefix}runwatch-sink", "log_level": 0}))
    try:
        # Asked before the store is: what is committed meanwhile does not count.
        committed = {place.partition: max(0, place.offset) for place in consumer.committed(places, timeout=20)}
    finally:
        consumer.close()
    store = Store(settings)
    missing = 0
    for partition, end in committed.items():
        first = proven.get(partition, 0)
        where = f"kafka_partition = {partition} AND kafka_offset >= {first} AND kafka_offset < {end}"
        stored = store.one(f"SELECT uniqExact(kafka_offset) FROM {{db}}.events_stored WHERE {where}")
        dead = {
            offset
            for (offset,) in store.rows(
                "SELECT offset FROM {db}.dead_letters_stored "
                f"WHERE topic = %(topic)s AND partition = {partition} AND offset >= {first} AND offset < {end}",
                topic=topic,
            )
        }
        wanting = max(0, end - first) - stored
        if wanting > len(dead):
            # A dead letter is in its topic before the offset is committed, and in the store a little later.
            dead |= _dead_on_the_way(settings, topic, partition, range(first, end))
        wanting -= len(dead)
        if wanting <= 0:
            proven[partition] = max(first, end)
        missing += wanting
    return missing


def _dead_on_the_way(settings: Settings, topic: str, partition: int, offsets: range) -> set[int]:
    """Which of these messages have a dead letter among the last in the topic of these."""
    consumer = Consumer(
        settings.kafka_client(**{"group.id": "chaos-letters", "enable.auto.commit": False, "log_level": 0})
    )
    place = TopicPartition(settings.topic(DEADLETTER.name), 0)
    found = set()
    deadline = time.monotonic() + AGAIN_S
    try:
        high = consumer.get_watermark_offsets(place, timeout=20)[1]
        at = max(0, high - LETTERS)
        consumer.assign([TopicPartition(place.topic, 0, at)])
        while at < high and time.monotonic() < deadline:
            for message in consumer.consume(5_000, 1.0):
                at = max(at, (message.offset() or 0) + 1)
                headers = dict(message.headers() or ())
                if headers.get("topic") == topic.encode() and headers.get("partition") == str(partition).encode():
                    offset = int(headers["offset"])
                    if offset in offsets:
                        found.add(offset)
    finally:
        consumer.close()
    return found


def events(store: Store, sent: Sent, noted: list[Noted]) -> tuple[list[Check], dict[str, int]]:
    """Every event of the ledgers once, and no other; and the figures."""
    found = store.frame(
        "SELECT run_id, count() AS rows, uniqExact(event_id) AS ids, uniqExact(seq) AS seqs, "
        "min(seq) AS first, max(seq) AS last FROM {db}.events GROUP BY run_id"
    )
    # The load's: so many, none missing.
    load = sent.runs.join(found, on="run_id", how="left").fill_null(0)
    lost = int((load["events"] - load["seqs"]).clip(lower_bound=0).sum())
    twice = int((load["rows"] - load["seqs"]).sum())
    # The agents': no gap below what must be there, nothing that was not taken.
    agents = pl.DataFrame(
        {"run_id": [one.run_id for one in noted], "safe": [one.safe for one in noted],
         "taken": [one.taken for one in noted]},
        schema={"run_id": pl.String, "safe": pl.Int64, "taken": pl.Int64},
    ).join(found, on="run_id", how="left").fill_null(0)  # fmt: skip
    by_run: dict[str, set[int]] = {}
    for run_id, seq in store.rows(
        "SELECT run_id, seq FROM {db}.events WHERE run_id IN %(runs)s",
        runs=agents.filter(pl.col("seqs") < pl.col("taken"))["run_id"].to_list() or [""],
    ):
        by_run.setdefault(run_id, set()).add(seq)
    agents_lost = unsynced = 0
    for run_id, safe, taken, seqs in agents.select("run_id", "safe", "taken", "seqs").iter_rows():
        if seqs < taken:
            missing = [seq for seq in range(taken) if seq not in by_run.get(run_id, set())]
            agents_lost += sum(seq < safe for seq in missing)
            unsynced += sum(seq >= safe for seq in missing)
    agents_twice = int((agents["rows"] - agents["seqs"]).sum())
    strangers = found.join(sent.runs, on="run_id", how="anti").join(agents, on="run_id", how="anti")
    stray = found.join(sent.runs, on="run_id").filter(pl.col("last") >= pl.col("events"))
    figures = {
        "load_events": int(sent.runs["events"].sum()),
        "agent_events_taken": int(agents["taken"].sum()),
        "agent_events_unsynced": unsynced,
        "lost": lost + agents_lost,
        "duplicated": twice + agents_twice,
    }
    return [
        Check("no event of the load is lost", lost == 0, f"{lost} of {figures['load_events']:,}"),
        Check("no event of the load is there twice", twice == 0, f"{twice}"),
        Check(
            "no event of an agent is lost that was safe", agents_lost == 0,
            f"{agents_lost} of {figures['agent_events_taken']:,}; {unsynced} were not safe yet when their agent died",
        ),
        Check("no event of an agent is there twice", agents_twice == 0, f"{agents_twice}"),
        Check(
            "nothing is stored that nobody sent", strangers.height + stray.height == 0,
            f"{strangers.height} runs unknown, {stray.height} longer than sent",
        ),
    ], figures  # fmt: skip


def dead_letters(store: Store, corrupt: int) -> Check:
    """Every corrupt message once in the dead letters, and nothing else there."""
    ours, rows = store.rows(
        "SELECT uniqExactIf(key, startsWith(key, %(ours)s)), count() FROM {db}.dead_letters", ours=KEY.decode()
    )[0]
    return Check(
        "every corrupt message is a dead letter once", ours == rows == corrupt,
        f"{corrupt:,} sent, {ours:,} of them there, {rows:,} dead letters in all",
    )  # fmt: skip


def windows(store: Store) -> Check:
    """What the agents' own window parts count, summed up, is what is stored."""
    parts = dict(store.rows("SELECT agent, sum(events) FROM {db}.window_parts WHERE tool IS NULL GROUP BY agent"))
    stored = dict(store.rows("SELECT agent, count() FROM {db}.events GROUP BY agent"))
    wrong = {agent for agent in stored.keys() | parts.keys() if stored.get(agent, 0) != parts.get(agent, 0)}
    some = ", ".join(f"{agent} {parts.get(agent, 0):,} for {stored.get(agent, 0):,}" for agent in sorted(wrong)[:3])
    return Check(
        "windows count every event once", not wrong,
        f"{sum(parts.values()):,} in windows, {sum(stored.values()):,} stored" + (f": {some}" if some else ""),
    )  # fmt: skip


def control(store: Store) -> Check:
    """No command of the policy is there twice."""
    rows, ids = store.rows("SELECT count(), uniqExact(control_id) FROM {db}.control_log")[0]
    return Check("no command is there twice", rows == ids, f"{rows} commands, {ids} different")


def anomalies(store: Store, settings: Settings, sent: Sent) -> list[Check]:
    """What was found live is what a clean run over the same events finds, each once."""
    live = store.rows("SELECT anomaly_id, rule, run_id FROM {db}.anomalies")
    ids = [one[0] for one in live]
    loops = {(one[0], one[1]) for one in live if one[1].startswith("loop.")}
    told = {one[2] for one in live if one[1].startswith("loop.")}
    rest = {(one[0], one[1]) for one in live if not one[1].startswith("loop.")}
    untold = sent.looping - told
    clean_loops = {one for one in loops_of_the_log(settings) if one[1].startswith("loop.")}
    clean_rest = {one for one in _backtest(settings) if not one[1].startswith("loop.")}
    return [
        Check("every planted loop is told of", not untold, f"{len(untold)} of {len(sent.looping):,} not"),
        Check("no anomaly is there twice", len(ids) == len(set(ids)), f"{len(ids):,} anomalies"),
        Check(
            "the loops are those of a clean run", loops == clean_loops,
            f"{len(loops):,} live, {len(clean_loops):,} clean, {len(clean_loops - loops)} missing, "
            f"{len(loops - clean_loops)} too many",
        ),
        Check(
            "drift and fleet are those of a clean run", rest >= clean_rest,
            f"{len(rest)} live, {len(clean_rest)} clean, missing {sorted(clean_rest - rest)[:4]}, "
            f"more {sorted(rest - clean_rest)[:4]}",
        ),
    ]  # fmt: skip


def _backtest(settings: Settings) -> set[tuple[str, str]]:
    """(id, rule) of what `runwatch backtest` finds in the stored events."""
    env = {
        f"RUNWATCH_{name.upper()}": str(getattr(settings, name))
        for name in ("home", "kafka", "clickhouse", "database", "prefix", "partitions")
    }
    done = subprocess.run(
        [sys.executable, "-m", "runwatch", "backtest", "--from", "6h", "--format", "jsonl"],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=1_800,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"runwatch backtest failed: {done.stderr.strip().splitlines()[-1:]}")
    found = map(json.loads, done.stdout.splitlines())
    return {(one["anomaly_id"], one["rule"]) for one in found}


def twice_in_topic(settings: Settings, stored: int, dead: int) -> int:
    """Second copies of events in the topic: what resending brought."""
    topic = settings.topic(EVENTS.name)
    consumer = Consumer(settings.kafka_client(**{"group.id": "chaos-ends", "log_level": 0}))
    try:
        end = sum(
            consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
            for number in range(settings.partitions)
        )
    finally:
        consumer.close()
    return end - stored - dead
