"""The SDK as a process of its own sees it: imports, a broker that is away, the end of the process."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

AWAY = "127.0.0.1:1"


def python(code, timeout=30, **env):
    """Runs code in a fresh interpreter: its exit code, output and errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=timeout, env={**kept, **env}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_an_agent_imports_nothing_of_the_servers():
    code, out, err = python("""
        import sys

        def others(before):
            return sorted({name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))

        before = set(sys.modules)
        import runwatch
        print(others(before))
        # These two are what an agent has besides; what they bring along is theirs.
        import confluent_kafka, fastavro
        before = set(sys.modules)
        watch = runwatch.connect("a", kafka="127.0.0.1:1")
        with watch.run() as run:
            run.call_tool("t", {}, dict)
        watch.flush(0.2)
        print(others(before))
    """)
    assert (0, "['runwatch']\n['runwatch']") == (code, out), err


def test_every_public_name_is_there():
    code, out, err = python("""
        import runwatch
        print(all(hasattr(runwatch, name) and name in dir(runwatch) for name in runwatch.__all__))
        try:
            runwatch.nonsense
        except AttributeError as error:
            print(error)
    """)
    assert (0, "True\nmodule 'runwatch' has no attribute 'nonsense'") == (code, out), err


def test_a_broker_that_is_away_costs_an_agent_nothing():
    began = time.monotonic()
    code, out, err = python(
        """
        import time, runwatch
        began = time.perf_counter()
        watch = runwatch.connect("a")
        run = watch.run(budgets=runwatch.Budgets(steps=None, tool_calls=None))
        slowest = 0
        for number in range(2000):
            before = time.perf_counter()
            assert number == run.call_tool("t", [number], int)
            slowest = max(slowest, time.perf_counter() - before)
        print(run.stop()["status"], time.perf_counter() - began < 3, slowest < 0.2)
        print(watch.stats()["delivered"], watch.flush(0.3))
        """,
        RUNWATCH_KAFKA=AWAY,
    )
    assert (0, "stopped True True\n0 False") == (code, out), err
    assert time.monotonic() - began < 12, "the end of the process waits for the broker, but not for long"
    lines = err.splitlines()
    assert 2 == len(lines), err
    assert "no Kafka broker answers at 127.0.0.1:1" in lines[0]
    assert "2002 events could not be delivered" in lines[1]


@pytest.mark.parametrize(("ending", "exit_code"), [("", 0), ("raise ValueError('x')", 1), ("raise SystemExit(3)", 3)])
def test_runs_alive_at_the_end_of_a_process_are_stopped(ending, exit_code):
    code, out, err = python(f"""
        import runwatch
        from runwatch.schemas import avro, wire

        class Sink:
            sent = 0
            def send(self, messages):
                self.sent += len(messages)
                for _, value in messages:
                    record = wire.decode_body(wire.split(value)[1], avro.load("agent_event"))
                    print(record["kind"], record["stop_reason"], flush=True)
                return len(messages)
            def serve(self, timeout_s): pass
            def flush(self, timeout_s): return 0
            def counts(self): return self.sent, 0, 0
            def away(self): return False
            def abandon(self): pass

        run = runwatch.connect("a", transport=Sink()).run()
        {ending}
    """)
    assert (exit_code, "run_start None\nstop cancelled") == (code, out), err


def test_a_fork_of_a_connected_agent_ends_by_itself():
    """The child may not touch the parent's connection: to close that would wait for threads it does not have."""
    code, out, err = python(
        """
        import os, sys, runwatch
        watch = runwatch.connect("a")
        run = watch.run()
        watch.flush(0.2)
        child = os.fork()
        if child == 0:
            run.call_tool("t", {}, dict)
            watch.flush(0.2)
            print("child", watch.stats()["sent"], flush=True)
            sys.exit(0)
        print("parent", os.waitpid(child, 0)[1], watch.stats()["sent"], flush=True)
        """,
        RUNWATCH_KAFKA=AWAY,
    )
    assert (0, "child 2\nparent 0 1") == (code, out), err


@pytest.mark.parametrize(
    ("given", "variable", "local", "expected"),
    [
        ("given:1", "env:1", "local:1", "given:1"),
        (None, "env:1", "local:1", "env:1"),
        (None, None, "local:1", "local:1"),
        (None, None, None, "127.0.0.1:9092"),
    ],
)
def test_where_the_broker_is(tmp_path, monkeypatch, given, variable, local, expected):
    from runwatch.producers import connection

    seen = []
    monkeypatch.setattr(connection, "KafkaTransport", lambda bootstrap, topic, **_: seen.append((bootstrap, topic)))
    monkeypatch.setenv("RUNWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("RUNWATCH_PREFIX", "fleet1.")
    monkeypatch.delenv("RUNWATCH_KAFKA", raising=False)
    if variable:
        monkeypatch.setenv("RUNWATCH_KAFKA", variable)
    if local:
        (tmp_path / "endpoints.json").write_text(json.dumps({"kafka": local}))
    watch = connection.connect("a", kafka=given)
    watch._sender._open_transport()
    assert [(expected, "fleet1.agent.events")] == seen
