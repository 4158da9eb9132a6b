"""The spool between the sender and a fake broker that comes and goes."""

import errno
import json
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.control.guardrails import NO_BUDGETS, Guardrails, KillSwitch
from runwatch.control.spool import Spool, SpoolError
from runwatch.producers import connection
from runwatch.producers.connection import connect
from runwatch.producers.spool import claims, disk, segments, spooled


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


def spools(folder):
    return sorted(path for path in (folder / "agent.events").iterdir())


def seqs(sink, run_id="r"):
    return [event.seq for event in sink.events if event.run_id == run_id]


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def calls(run, count, start=0):
    for number in range(start, start + count):
        run.call_tool("t", [number], int)


def test_with_a_broker_nothing_goes_to_disk(make_watch, sink, folder):
    watch = make_watch(spool=folder)
    run = watch.run("r", budgets=NO_BUDGETS)
    calls(run, 100)
    run.stop()
    assert watch.flush(5.0)
    assert list(range(102)) == seqs(sink)
    assert (0, 102) == (watch.spool_stats()["written"], watch.stats()["delivered"])
    assert (102, 102) == (watch.spool_stats()["saved"], watch.spool_stats()["synced"])
    assert watch.close(5.0)
    assert [] == spools(folder)


@pytest.mark.parametrize("fsync", ["never", "every", "each"])
def test_always_writes_first_and_sends_once(make_watch, sink, folder, fsync):
    watch = make_watch(spool=Spool(folder, mode="always", fsync=fsync, fsync_every_ms=10))
    run = watch.run("r", budgets=NO_BUDGETS)
    calls(run, 1000)
    run.stop()
    assert watch.flush(5.0)
    assert list(range(1002)) == seqs(sink)
    stats = watch.spool_stats()
    assert (1002, 0, 0) == (stats["written"], stats["waiting"], stats["dropped"])
    assert (1002, 1002) == (stats["saved"], stats["synced"])
    assert {"sent": 1002, "delivered": 1002, "queued": 0, "dropped": 0, "failed": 0} == watch.stats()
    assert watch.close(5.0)
    assert [] == spools(folder)


@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_what_waits_for_a_broker_is_sent_in_order_when_it_is_back(make_watch, sink, folder, mode):
    sink.is_away, sink.room = True, 0
    watch = make_watch(spool=Spool(folder, mode=mode), queue_size=200)
    run = watch.run("r", budgets=NO_BUDGETS)
    for start in range(0, 3000, 100):
        calls(run, 100, start)
        wait_for(lambda: watch.room() > 0.9)
    assert not watch.flush(0.2)
    assert 3001 == watch.stats()["queued"]
    sink.is_away, sink.room = False, 10**9
    calls(run, 50, 3000)
    run.stop()
    assert watch.flush(5.0)
    assert list(range(3052)) == seqs(sink)
    assert 0 == watch.stats()["dropped"]


@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_a_later_process_sends_what_an_earlier_one_could_not(make_watch, new_sink, folder, mode, caplog):
    away = new_sink()
    away.is_away, away.room = True, 0
    first = make_watch(transport=away, spool=Spool(folder, mode=mode))
    run = first.run("r", budgets=NO_BUDGETS)
    calls(run, 500)
    run.stop()
    assert not first.close(0.2)
    assert any(
        "502 events could not be delivered before the end, and wait on disk" in r.getMessage() for r in caplog.records
    )
    assert 502 == first.stats()["queued"]
    assert 1 == len(spools(folder))
    back = new_sink()
    second = make_watch(transport=back, spool=folder)
    second.run("s").stop()
    wait_for(lambda: len(back.messages) == 504)
    assert list(range(502)) == seqs(back)
    assert [0, 1] == seqs(back, "s")
    assert second.close(5.0)
    assert [] == spools(folder)


def test_what_is_still_in_memory_at_the_end_goes_to_disk(make_watch, new_sink, folder):
    away = new_sink()
    away.is_away, away.room = True, 0
    first = make_watch(transport=away, spool=folder)
    run = first.run("r", budgets=NO_BUDGETS)
    calls(run, 3_000)
    run.stop()
    assert not first.close(0.0)
    assert {"sent": 3_002, "delivered": 0, "queued": 3_002, "dropped": 0, "failed": 0} == first.stats()
    back = new_sink()
    second = make_watch(transport=back, spool=folder)
    second.run("s").stop()
    wait_for(lambda: len(back.messages) == 3_004)
    assert list(range(3_002)) == seqs(back)


def test_what_is_under_way_too_long_is_written(make_watch, sink, folder, monkeypatch):
    monkeypatch.setattr(spooled, "SLOW_S", 0.05)
    monkeypatch.setattr(sink, "counts", lambda: (0, 0, len(sink.messages)))
    monkeypatch.setattr(sink, "recall", lambda: sink.messages[1:])
    watch = make_watch(spool=folder)
    watch.run("r").stop()
    wait_for(lambda: any(path.stat().st_size for path in folder.rglob("*.seg")))
    assert [0, 1] == seqs(sink)
    assert not watch.close(0.2)
    later = make_watch(spool=folder, transport=(back := type(sink)()))
    later.run("s").stop()
    wait_for(lambda: len(back.messages) == 3)
    assert [1] == seqs(back)


def small(folder, **more):
    return Spool(folder, most_bytes=1 << 20, **more)


def losses(sink):
    return [json.loads(event.labels) for event in sink.events if event.stop_reason == "events_dropped"]


def test_a_full_spool_drops_the_oldest_and_an_event_says_how_many(make_watch, sink, folder):
    sink.is_away, sink.room = True, 0
    watch = make_watch(spool=small(folder))
    run = watch.run("r", budgets=NO_BUDGETS)
    for start in range(0, 12_000, 1000):
        calls(run, 1000, start)
        wait_for(lambda: watch.room() > 0.95)
    wait_for(lambda: 12_001 == watch.stats()["queued"] + watch.stats()["dropped"] and watch.room() == 1.0)
    assert watch.spool_stats()["bytes"] <= 1 << 20
    assert sum(path.stat().st_size for path in folder.rglob("*.seg")) <= 1 << 20
    dropped = watch.spool_stats()["dropped"]
    assert 2_000 < dropped < 12_000
    assert dropped == watch.stats()["dropped"]
    sink.is_away, sink.room = False, 10**9
    run.stop()
    assert watch.flush(5.0)
    assert list(range(dropped, 12_002)) == seqs(sink)
    wait_for(lambda: losses(sink))
    assert dropped == sum(one["dropped_events"] for one in losses(sink))
    assert 1 == len({event.agent for event in sink.events})


def test_a_full_spool_keeps_what_it_has_where_the_newest_are_to_be_dropped(make_watch, sink, folder):
    sink.is_away, sink.room = True, 0
    watch = make_watch(spool=small(folder, when_full="newest"), queue_size=2_000)
    run = watch.run("r", budgets=NO_BUDGETS)
    for start in range(0, 12_000, 500):
        calls(run, 500, start)
        time.sleep(0.02)
    wait_for(lambda: 12_001 == watch.stats()["queued"] + watch.stats()["dropped"])
    stats = watch.stats()
    assert 0 < stats["dropped"]
    assert 0 == watch.spool_stats()["dropped"]
    assert watch.room() < 0.9, "what finds no room on disk waits in memory"
    assert sum(path.stat().st_size for path in folder.rglob("*.seg")) <= 1 << 20
    sink.is_away, sink.room = False, 10**9
    assert watch.flush(5.0)
    assert seqs(sink) == sorted(seqs(sink))
    assert 12_001 - stats["dropped"] == len(seqs(sink))
    run.stop()
    wait_for(lambda: losses(sink))
    assert stats["dropped"] == sum(one["dropped_events"] for one in losses(sink))


def test_a_loss_that_nobody_told_of_is_told_by_the_next_process(make_watch, new_sink, folder):
    away = new_sink()
    away.is_away, away.room = True, 0
    first = make_watch(transport=away, spool=small(folder))
    first.run("r").stop()
    wait_for(lambda: first.spool_stats()["waiting"] == 2)
    first._sender._keeper._report_after = time.monotonic() + 60
    first._sender._keeper._disk.own.lose(7)
    assert not first.close(0.1)
    back = new_sink()
    second = make_watch(transport=back, spool=folder)
    second.run("s").stop()
    wait_for(lambda: losses(back))
    assert [7] == [one["dropped_events"] for one in losses(back)]
    assert second.close(5.0)
    assert [] == spools(folder)


@pytest.mark.parametrize("what", ["a file in its place", "read-only"])
def test_a_folder_that_does_not_do_is_told_and_disturbs_nobody(make_watch, sink, folder, what, caplog, monkeypatch):
    if what == "read-only":
        monkeypatch.setattr(claims.os, "open", refusing(errno.EROFS))
    else:
        folder.write_text("")
    watch = make_watch(spool=Spool(folder, mode="always"))
    run = watch.run("r", budgets=NO_BUDGETS)
    calls(run, 100)
    run.stop()
    assert watch.flush(5.0)
    assert list(range(102)) == seqs(sink)
    told = [record.getMessage() for record in caplog.records]
    assert 1 == len(told)
    assert "the spool cannot make a folder" in told[0]


def refusing(number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_disk_that_is_full_holds_events_in_memory_until_there_is_room(make_watch, sink, folder, caplog, monkeypatch):
    sink.is_away, sink.room = True, 0
    watch = make_watch(spool=Spool(folder, mode="always"))
    run = watch.run("r", budgets=NO_BUDGETS)
    calls(run, 100)
    wait_for(lambda: watch.spool_stats()["waiting"] == 101)
    with monkeypatch.context() as patched:
        patched.setattr(disk, "FULL_S", 0.05)
        patched.setattr(segments.os, "write", refusing(errno.ENOSPC))
        calls(run, 100, 100)
        wait_for(lambda: caplog.records)
        time.sleep(0.2)
        assert (101, 201) == (watch.spool_stats()["waiting"], watch.stats()["queued"])
    wait_for(lambda: watch.spool_stats()["waiting"] == 201)
    sink.is_away, sink.room = False, 10**9
    run.stop()
    assert watch.flush(5.0)
    assert list(range(202)) == seqs(sink)
    assert 1 == len(caplog.records)
    assert "No space left on device" in caplog.records[0].getMessage()


@pytest.mark.parametrize("fsync", ["never", "every", "each"])
def test_what_waits_is_synced_as_it_is_asked_for(make_watch, sink, folder, fsync):
    sink.is_away, sink.room = True, 0
    watch = make_watch(spool=Spool(folder, mode="always", fsync=fsync, fsync_every_ms=20))
    run = watch.run("r")
    calls(run, 50)
    wait_for(lambda: watch.spool_stats()["saved"] == 51)
    time.sleep(0.2)
    assert (0 if fsync == "never" else 51) == watch.spool_stats()["synced"]


def test_a_full_disk_does_not_keep_events_from_a_broker_that_answers(make_watch, sink, folder, caplog, monkeypatch):
    monkeypatch.setattr(segments.os, "write", refusing(errno.ENOSPC))
    watch = make_watch(spool=Spool(folder, mode="always"))
    run = watch.run("r", budgets=NO_BUDGETS)
    calls(run, 100)
    run.stop()
    assert watch.flush(5.0)
    assert list(range(102)) == seqs(sink)
    assert (0, 102, 1) == (watch.spool_stats()["written"], watch.spool_stats()["saved"], len(caplog.records))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 80), min_size=1, max_size=4), st.sampled_from(["overflow", "always"]), st.integers(0, 60)
)
def test_threads_and_a_broker_that_comes_and_goes_keep_the_order(tmp_path_factory, new_sink, counts, mode, room):
    sink = new_sink()
    sink.room = room
    watch = connect("a", transport=sink, spool=Spool(tmp_path_factory.mktemp("s"), mode=mode))
    run = watch.run("r", budgets=NO_BUDGETS)

    def work(count):
        for number in range(count):
            run.call_tool("t", [number], int)
            sink.is_away = number % 3 == 0
            sink.room += 1

    threads = [threading.Thread(target=work, args=[count]) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.stop()
    sink.room, sink.is_away = 10**9, False
    assert watch.close(5.0)
    assert list(range(2 + sum(counts))) == seqs(sink)


def test_a_forked_child_has_a_spool_of_its_own_and_does_not_hold_its_parents(make_watch, new_sink, folder):
    away = new_sink()
    away.is_away, away.room = True, 0
    watch = make_watch(transport=away, spool=folder)
    watch.run("parents")
    wait_for(lambda: watch.spool_stats()["waiting"] == 1)
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run = watch.run("childs")
            watch.flush(0.1)
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            assert run is not None
        finally:
            os._exit(0)
    try:
        os.read(ready[0], 1)
        assert 2 == len(spools(folder))
        watch._sender._keeper._disk.abandon()  # the parent is killed
        back = new_sink()
        later = make_watch(transport=back, spool=folder)
        later.run("s").stop()
        wait_for(lambda: seqs(back, "parents"))
        assert [] == seqs(back, "childs"), "its process lives"
    finally:
        os.write(go[1], b"1")
        os.waitpid(child, 0)
    assert 1 <= len(spools(folder))
    later.close(5.0)
    last = new_sink()
    make_watch(transport=last, spool=folder).run("t").stop()
    wait_for(lambda: seqs(last, "childs"))


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"folder": "x", "mode": "sometimes"}, "overflow, always"),
        ({"folder": "x", "fsync": "often"}, "never, every, each"),
        ({"folder": "x", "when_full": "all"}, "oldest, newest"),
        ({"folder": "x", "most_bytes": 10}, "from 1,048,576"),
        ({"folder": "x", "fsync_every_ms": 0}, "from 1"),
        ({"folder": "x", "size": 1}, "spool.size is not a setting"),
        ({"mode": "always"}, "RUNWATCH_SPOOL"),
        (7, "a spool is a folder"),
    ],
)
def test_settings_that_do_not_do_are_told(make_watch, given, wrong):
    with pytest.raises(SpoolError, match=wrong):
        make_watch(spool=given)


def test_a_registry_that_is_away_holds_nothing_up_but_the_sending(make_watch, sink, folder, monkeypatch):
    monkeypatch.setattr(spooled, "RETRY_S", 0.1)
    tries = []

    class Registry:
        def id_of(self, schema, topic):
            tries.append(topic)
            if len(tries) < 3:
                raise OSError("the registry is away")
            return schema.schema_id

    watch = make_watch(spool=folder, registry=Registry())
    watch.run("r").stop()
    wait_for(lambda: watch.spool_stats()["waiting"] == 2)
    assert watch.flush(5.0)
    assert [0, 1] == seqs(sink)
    assert ["agent.events"] * 3 == tries


@pytest.mark.parametrize(
    ("argument", "variable", "in_file", "expected"),
    [
        ("given", "variable", "in-file", ("given", "always")),
        (None, "variable", "in-file", ("variable", "always")),
        (None, None, "in-file", ("in-file", "always")),
        (None, "variable", None, ("variable", "always")),
        (Spool("whole"), "variable", "in-file", ("whole", "overflow")),
    ],
)
def test_where_the_spool_is(tmp_path, monkeypatch, argument, variable, in_file, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNWATCH_CONFIG", "runwatch.yaml")
    (tmp_path / "runwatch.yaml").write_text(
        "spool: {mode: always, fsync: each, fsync_every: 1s, most_mb: 2, when_full: newest"
        + (f", folder: {in_file}}}" if in_file else "}")
    )
    if variable:
        monkeypatch.setenv("RUNWATCH_SPOOL", variable)
    seen = []
    monkeypatch.setattr(connection, "SpooledTransport", lambda options, *_: seen.append(options))
    watch = connect(
        "a", kafka="127.0.0.1:1", guardrails=Guardrails(kill_switch=KillSwitch(enabled=False)), spool=argument
    )
    watch._sender._open_transport()
    (options,) = seen
    assert expected == (options.folder, options.mode)
    if options.mode == "always":
        assert Spool(options.folder, "always", "each", 1000, 2 << 20, "newest") == options


def test_a_simulated_way_out_is_not_spooled_unless_it_is_asked_for(make_watch, sink, folder, monkeypatch):
    monkeypatch.setenv("RUNWATCH_SPOOL", str(folder))
    watch = make_watch()
    watch.run("r").stop()
    assert watch.flush(5.0)
    assert not folder.exists()
    assert dict.fromkeys(watch.spool_stats(), 0) == watch.spool_stats()
