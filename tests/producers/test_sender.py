import gc
import logging
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.control.guardrails import NO_BUDGETS
from runwatch.producers import sender as sender_module
from runwatch.producers.connection import connect


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def test_events_go_out_by_themselves(watch, sink):
    watch.run("r").stop()
    wait_for(lambda: len(sink.messages) == 2)
    time.sleep(0.05)  # the thread sleeps by now, and must be woken
    watch.run("s").stop()
    wait_for(lambda: len(sink.messages) == 4)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=5), st.integers(1, 50))
def test_threads_on_one_run_keep_its_order(new_sink, calls_of_threads, room):
    sink = new_sink()
    sink.room = room
    watch = connect("a", transport=sink)
    run = watch.run("r", budgets=NO_BUDGETS)

    def work(calls):
        for number in range(calls):
            run.call_tool("t", [number], lambda x: x)
            sink.room += 1

    threads = [threading.Thread(target=work, args=[calls]) for calls in calls_of_threads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.stop()
    sink.room = 10**9
    assert watch.close(5.0)
    assert list(range(2 + sum(calls_of_threads))) == [event.seq for event in sink.events]
    assert sum(calls_of_threads) == sink.events[-1].tool_calls
    assert len({event.step_id for event in sink.events[1:-1]}) == sum(calls_of_threads)


def test_a_full_queue_drops_and_counts(make_watch, sink, caplog):
    sink.room = 0
    watch = make_watch(queue_size=10)
    run = watch.run("r", budgets=NO_BUDGETS)
    wait_for(lambda: watch.room() == 1.0 and watch.stats()["queued"] == 1)  # one event waits encoded
    began = time.perf_counter()
    for _ in range(500):
        run.call_tool("t", {}, lambda: 1)
    assert time.perf_counter() - began < 1.0, "a full queue must not slow the agent"
    stats = watch.stats()
    assert {"sent": 11, "delivered": 0, "queued": 11, "dropped": 490, "failed": 0} == stats
    assert 1 == sum("dropped" in record.getMessage() for record in caplog.records)
    sink.room = 10**9
    assert watch.flush(5.0)
    run.stop()
    assert watch.flush(5.0)
    assert [*range(11), 501] == [event.seq for event in sink.events], "the gap is to be seen"


def test_what_does_not_fit_is_left_out_and_counted(watch, sink):
    run = watch.run("r")
    run._log.tool("t", "s", None, None, None, "purple", None, None, None)
    run.stop()
    assert watch.flush(5.0)
    assert [0, 2] == [event.seq for event in sink.events]
    assert 1 == watch.stats()["failed"]


def test_a_way_out_that_does_not_open_is_tried_again(monkeypatch, sink, caplog):
    monkeypatch.setattr(sender_module, "RETRY_S", 0.05)
    tries = []

    class Registry:
        def id_of(self, schema, topic):
            tries.append(topic)
            if len(tries) < 3:
                raise OSError("the registry is away")
            return schema.schema_id

    watch = connect("a", transport=sink, registry=Registry(), prefix="p.")
    watch.run("r").stop()
    assert not watch.flush(0.01)
    assert watch.flush(5.0)
    assert 3 * ["p.agent.events"] == tries
    assert 2 == len(sink.messages)
    assert 1 == sum("the registry is away" in record.getMessage() for record in caplog.records)
    watch.close()


def test_close_stops_runs_and_then_takes_nothing(make_watch, sink):
    watch = make_watch()
    run = watch.run("r")
    assert watch.close(5.0)
    assert [None, "cancelled"] == [event.stop_reason for event in sink.events]
    run.call_tool("t", {}, lambda: 1)
    assert 1 == watch.stats()["dropped"]
    assert watch.close(5.0)
    assert 2 == len(sink.messages)


def test_two_agents_on_one_connection(make_watch, sink):
    first = make_watch()
    second = first.agent("billing", "2.0", labels={"b": 1})
    runs = [first.run("r"), second.run("s")]
    assert second.close(5.0)
    assert [("r", "support", None), ("s", "billing", None), ("s", "billing", "cancelled")] == [
        (event.run_id, event.agent, event.stop_reason) for event in sink.events
    ]
    runs[0].stop()
    assert first.close(5.0)
    assert {"sent": 4, "delivered": 4, "queued": 0, "dropped": 0, "failed": 0} == second.stats()


def test_a_forgotten_connection_delivers_and_ends_its_thread(sink):
    threads = threading.active_count()
    connect("a", transport=sink).run("r")
    gc.collect()
    wait_for(lambda: threading.active_count() == threads)
    assert [None, "cancelled"] == [event.stop_reason for event in sink.events]


def test_close_does_not_wait_long_for_what_is_away(make_watch, sink, monkeypatch, caplog):
    monkeypatch.setattr(sender_module, "AWAY_S", 0.1)
    sink.room = 0
    sink.is_away = True
    watch = make_watch()
    watch.run("r")
    began = time.monotonic()
    assert not watch.close()
    assert time.monotonic() - began < 3.0
    assert any("2 events could not be delivered" in record.getMessage() for record in caplog.records)


def test_close_waits_as_long_as_it_is_told_to_for_what_is_away(make_watch, sink, monkeypatch):
    monkeypatch.setattr(sender_module, "AWAY_S", 0.1)
    sink.room = 0
    sink.is_away = True
    watch = make_watch()
    watch.run("r")

    def come_back():
        sink.is_away = False
        sink.room = 1_000

    timer = threading.Timer(0.5, come_back)
    timer.start()
    assert watch.close(20.0)
    timer.join()
    assert [None, "cancelled"] == [event.stop_reason for event in sink.events]


def test_each_kind_of_trouble_is_told_once(watch, caplog):
    with caplog.at_level(logging.WARNING, "runwatch"):
        for _ in range(3):
            watch._notices.tell("kind", "trouble %d", 7)
    assert ["runwatch: trouble 7"] == [record.getMessage() for record in caplog.records]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_a_queue_and_a_run_of_its_own(make_watch, sink):
    watch = make_watch()
    sink.room = 0
    run = watch.run("parents")
    idle = watch.run("idle")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of pytest's may run on in here.
        try:
            sink.room = 10**9
            run.call_tool("in-child", {}, lambda: 1)
            idle.stop()
            watch.close(5.0)
            lines = [f"{e.run_id}|{e.parent_run_id}|{e.seq}|{e.kind}|{e.stop_reason}" for e in sink.events]
            os.write(write, "\n".join([*lines, str(watch.stats()["delivered"])]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        got = answer.read().splitlines()
    os.waitpid(child, 0)
    # A fake sink's transport was given by the user: the child keeps that one.
    assert "3" == got.pop()
    ids = {line.split("|")[0] for line in got}
    assert 1 == len(ids), got
    assert "parents" not in ids
    assert ["parents|0|run_start|None", "parents|1|tool_result|None", "parents|2|stop|cancelled"] == [
        line.split("|", 1)[1] for line in got
    ]
    sink.room = 10**9
    run.stop("success")
    idle.stop("success")
    assert watch.flush(5.0)
    assert [("parents", 0), ("idle", 0), ("parents", 1), ("idle", 1)] == [(e.run_id, e.seq) for e in sink.events]
