"""`runwatch alerts`, `silence` and `alert`, as a person meets them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runwatch.alerts.choose import sent_silences
from runwatch.control.follow import Follower
from runwatch.schemas.registry import open_registry
from runwatch.schemas.topics import ensure_topics

SECRET = "hunter2s3cret"


@pytest.fixture
def server() -> Iterator[str]:
    """A web server that takes what is posted to /good, and nothing else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.path.startswith("/good") else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    its = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=its.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{its.server_address[1]}"
    its.shutdown()
    its.server_close()
    thread.join(5)


@pytest.fixture
def file(home: Path, server: str) -> Path:
    path = home / "runwatch.yaml"
    path.write_text(
        f"""alerts:
  receivers:
    - {{name: good, kind: webhook, url: '{server}/good/{SECRET}'}}
    - {{name: bad, kind: slack, url: '{server}/bad/${{TOKEN}}', rules: [loop.*]}}
  silences: [{{rule: fleet.*, why: moving}}]
"""
    )
    return path


def test_a_test_says_of_each_whether_it_arrived(cli: Callable[..., Any], file: Path) -> None:
    said = cli("alerts", "test", RUNWATCH_CONFIG=str(file), TOKEN=SECRET)
    good, bad = said.out.splitlines()
    assert (1, "") == (said.code, said.err)
    assert good.startswith("good: told, at http://127.0.0.1:")
    assert bad.startswith("bad: http://127.0.0.1:")
    assert bad.endswith("answers 403 Forbidden; is its token right?")
    assert SECRET not in said.out


def test_a_test_of_one(cli: Callable[..., Any], file: Path) -> None:
    said = cli("alerts", "test", "good", "--format", "json", RUNWATCH_CONFIG=str(file))
    ((row,), code) = json.loads(said.out), said.code
    assert (0, "good", True) == (code, row["receiver"], row["sent"])
    assert 1 == cli("alerts", "test", "bad", RUNWATCH_CONFIG=str(file)).code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("alerts", "test", "nobody"), "There is no receiver 'nobody'; there are good, bad."),
        (("alerts", "tset"), "'tset' is neither"),
        (("silence", "drift.*", "--why", "x"), "Say for how long: --for 2h."),
        (("silence", "drift.*", "--why", "x", "--for", "soon"), "--for: a duration is a number"),
        (("silence", "drift.*", "--why", "x", "--for", "2h", "--lift"), "Give one of --for and --lift."),
        (("silence", "drift.*", "--why", " ", "--for", "2h"), "Say why"),
        (("silence", "drift.*", "--agent", "a@b", "--why", "x", "--for", "2h"), "without an @"),
    ],
)
def test_wrong_use_is_told(cli: Callable[..., Any], file: Path, arguments: tuple[str, ...], said: str) -> None:
    found = cli(*arguments, RUNWATCH_CONFIG=str(file))
    assert 2 == found.code
    assert said in found.err


def test_without_receivers_there_is_nobody_to_test(cli: Callable[..., Any]) -> None:
    found = cli("alerts", "test")
    assert (2, "There are no receivers to test: alerts.receivers of the config file has them.\n") == (
        found.code, found.err,
    )  # fmt: skip


def test_the_config_is_printed_without_secrets(cli: Callable[..., Any], file: Path) -> None:
    assert SECRET not in cli("config", RUNWATCH_CONFIG=str(file)).out


@pytest.mark.stack
def test_a_silence_is_sent_shown_and_lifted(cli: Callable[..., Any], file: Path, stack: Any) -> None:
    its = stack.unique()
    ensure_topics(its.kafka, its.prefix)
    where = {"RUNWATCH_CONFIG": str(file), "RUNWATCH_KAFKA": its.kafka, "RUNWATCH_PREFIX": its.prefix}
    words = ("silence", "drift.*", "--agent", "nightly-*", "--why", "the new model")
    said = cli(*words, "--for", "2h", **where)
    assert (0, "") == (said.code, said.err)
    assert said.out.startswith("alerts:drift.*@nightly-*: stop until ")
    listed = cli("alerts", **where)
    assert 0 == listed.code
    assert SECRET not in listed.out
    rows = json.loads(cli("alerts", "--format", "json", **where).out)
    assert [("receiver", "good"), ("receiver", "bad")] == [(row["entry"], row["receiver"]) for row in rows[:2]]
    assert [("fleet.*", "*", "moving"), ("drift.*", "nightly-*", "the new model")] == [
        (row["rule"], row["agent"], row["why"]) for row in rows[2:]
    ]
    assert 0 == cli(*words, "--lift", **where).code
    follower = Follower({"bootstrap.servers": its.kafka}, its.topic("control"), lambda: open_registry(None))
    follower.start()
    try:
        assert follower.wait_loaded(15)
        assert [] == sent_silences(follower.state)
    finally:
        follower.close()
