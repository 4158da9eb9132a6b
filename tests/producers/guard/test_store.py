"""Writes that are remembered beyond the process: done ones are not done again, doubtful ones are refused."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import runwatch
from runwatch.control.guardrails import Guardrails, ToolPolicy, Writes
from runwatch.producers.guard.store import KEPT_DAYS, Kept, SqliteStore
from runwatch.schemas.canonical import sha
from runwatch.schemas.ids import derived_hex

FREE = Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(require_approval=False))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "writes.db"


@pytest.fixture
def restart(make_watch, path):
    """The run as a process that begins anew would have it."""
    return lambda run_id="r": make_watch(guardrails=FREE, store=SqliteStore(path)).run(run_id)


def test_what_is_done_is_done_after_a_restart(restart):
    done = []

    def send(to):
        done.append(to)
        return {"sent": [to, 1.5, None]}

    first = restart().call_tool("mail.send", {"to": "a"}, send, writes=True)
    assert first == restart().call_tool("mail.send", {"to": "a"}, send, writes=True)
    assert ["a"] == done
    restart("other").call_tool("mail.send", {"to": "a"}, send, writes=True)
    assert ["a", "a"] == done, "another run's write is another write"


def test_what_is_for_await_is_so_after_a_restart(restart):
    async def send():
        return "sent"

    assert "sent" == asyncio.run(restart().call_tool("t", {}, lambda: send(), writes=True))
    assert "sent" == asyncio.run(restart().call_tool("t", {}, lambda: 1 / 0, writes=True))


def test_a_failed_write_may_be_tried_after_a_restart(restart):
    with pytest.raises(ZeroDivisionError):
        restart().call_tool("t", {}, lambda: 1 / 0, writes=True)
    assert 1 == restart().call_tool("t", {}, lambda: 1, writes=True)


def test_a_result_that_is_no_json_is_not_made_up(restart):
    run = restart()
    result = object()
    assert result is run.call_tool("t", {}, lambda: result, writes=True)
    assert result is run.call_tool("t", {}, lambda: 1 / 0, writes=True)
    with pytest.raises(runwatch.ToolDenied, match="was done before this process began, and its result was not one"):
        restart().call_tool("t", {}, lambda: 1 / 0, writes=True)


def test_a_write_that_began_before_a_crash_is_refused(path, restart, tmp_path):
    code = """
        import os, sys, runwatch
        from runwatch.control.guardrails import *

        class Nowhere:
            def send(self, messages): return len(messages)
            def serve(self, timeout_s): pass
            def flush(self, timeout_s): return 0
            def counts(self): return 0, 0, 0
            def away(self): return False
            def abandon(self): pass

        free = Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(require_approval=False))
        watch = runwatch.connect("a", guardrails=free, store=runwatch.SqliteStore(sys.argv[1]), transport=Nowhere())
        run = watch.run("r")
        run.call_tool("t", {"n": 1}, lambda n: "whole", writes=True)
        run.call_tool("t", {"n": 2}, lambda n: os.kill(os.getpid(), 9), writes=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], timeout=60, check=False)
    assert -signal.SIGKILL == done.returncode
    run = restart()
    assert "whole" == run.call_tool("t", {"n": 1}, lambda n: 1 / 0, writes=True)
    with pytest.raises(runwatch.ToolDenied, match="a process that did not live to say how it ended"):
        run.call_tool("t", {"n": 2}, lambda n: 1 / 0, writes=True)
    assert "anew" == run.call_tool("t", {"n": 2}, lambda n: "anew", writes=True, idempotency_key="2nd")


class Broken:
    def __init__(self, *failing):
        self.failing = failing

    def known(self, run_id, key):
        self._maybe("known")

    def begin(self, run_id, key):
        self._maybe("begin")

    def done(self, run_id, key, result):
        self._maybe("done")

    def forget(self, run_id, key):
        self._maybe("forget")

    def _maybe(self, name):
        if name in self.failing:
            raise OSError("disk full")


def test_a_store_that_fails_before_the_write_prevents_it_and_after_it_does_not_hide_it(make_watch, caplog):
    for failing in ("known", "begin"):
        run = make_watch(guardrails=FREE, store=Broken(failing)).run()
        for _ in range(2):
            with pytest.raises(runwatch.ToolDenied, match=r"the store that remembers writes does not work \(disk full"):
                run.call_tool("t", {}, lambda: 1, writes=True)
        assert 2 == run.call_tool("t", {}, lambda: 2), "reads need no store"
    run = make_watch(guardrails=FREE, store=Broken("done", "forget")).run()
    assert 3 == run.call_tool("t", {}, lambda: 3, writes=True)
    with pytest.raises(ZeroDivisionError):
        run.call_tool("t", {"x": 1}, lambda x: 1 / 0, writes=True)
    assert 1 == sum("the store could not note it: disk full" in record.getMessage() for record in caplog.records)


def test_a_write_that_waits_for_its_approval_has_not_begun(make_watch, path):
    """A process that ends meanwhile leaves no doubt behind."""
    asked = []

    def ask(request):
        asked.append(SqliteStore(path).known("r", key))
        return True

    key = derived_hex("args", "t", sha({}))
    guardrails = Guardrails(tools=ToolPolicy("allow_all"))
    run = make_watch(guardrails=guardrails, store=SqliteStore(path), approve=ask).run("r")
    during = run.call_tool("t", {}, lambda: SqliteStore(path).known("r", key).done, writes=True)
    assert ([None], False, Kept(True, '{"awaited": false, "result": false}')) == (
        asked, during, SqliteStore(path).known("r", key),
    )  # fmt: skip


def test_two_processes_do_not_both_do_it(make_watch, path):
    other = SqliteStore(path)

    def ask(request):
        other.begin("r", derived_hex("args", "t", sha({})))
        return True

    run = make_watch(guardrails=Guardrails(tools=ToolPolicy("allow_all")), store=SqliteStore(path), approve=ask).run(
        "r"
    )
    with pytest.raises(runwatch.ToolDenied, match="is begun by another process now"):
        run.call_tool("t", {}, lambda: 1 / 0, writes=True)


def test_the_store_itself(path):
    store = SqliteStore(path)
    assert None is store.known("r", "k")
    assert None is store.begin("r", "k")
    assert Kept(False) == store.begin("r", "k") == store.known("r", "k")
    store.done("r", "k", "[1]")
    assert Kept(True, "[1]") == SqliteStore(path).begin("r", "k")
    assert None is store.begin("s", "k")
    store.forget("s", "k")
    assert None is store.begin("s", "k")
    store.close()
    store.close()
    assert Kept(True, "[1]") == store.begin("r", "k")


def test_what_is_old_is_forgotten(path):
    store = SqliteStore(path)
    store.begin("r", "k")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE writes SET began_s = ?", (int(time.time()) - KEPT_DAYS * 86_400 - 5,))
    assert None is SqliteStore(path).begin("r", "k")


def test_threads_and_forks_share_a_store(path):
    store = SqliteStore(path)
    news = []
    threads = [threading.Thread(target=lambda: news.append(store.begin("r", "k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == news.count(None)
    store._lock.acquire()  # as if another thread were in the middle of it
    child = os.fork()
    if child == 0:
        os._exit(0 if store.begin("r", "k") == Kept(False) and store.begin("child", "k") is None else 1)
    store._lock.release()
    assert 0 == os.waitpid(child, 0)[1]
    assert Kept(False) == store.begin("child", "k")
