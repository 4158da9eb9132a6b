"""`runwatch console`: started, ended, and given new tokens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from runwatch.console.access import tokens
from runwatch.console.access.roles import Role
from runwatch.stack.ports import any_free

TOKEN = "operator-token-of-the-tests"


def started(home: Path, port: int, **settings: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    env |= {"RUNWATCH_HOME": str(home), "RUNWATCH_KAFKA": "127.0.0.1:1", "RUNWATCH_CLICKHOUSE": "http://127.0.0.1:1"}
    env |= {"RUNWATCH_METRICS_PORT": "0"} | settings
    command = [sys.executable, "-m", "runwatch", "console", "--port", str(port)]
    return subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(process.communicate(timeout=5)[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_with_pages_open(number: signal.Signals, tmp_path: Path) -> None:
    port = any_free()
    process = started(tmp_path, port, RUNWATCH_CONSOLE_OPERATOR_TOKEN=TOKEN)
    try:
        wait(process, port)
        url = f"ws://127.0.0.1:{port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        with connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as page:
            assert str(page.recv(5)).startswith("0{")
            began = time.monotonic()
            process.send_signal(number)
            said, _ = process.communicate(timeout=20)
            assert 5 > time.monotonic() - began
        assert 0 == process.returncode, said
        assert f"The console is at http://127.0.0.1:{port}\n" == said
    finally:
        process.kill()
        process.wait()


def test_it_ends_soon_with_a_question_to_a_store_that_hangs(tmp_path: Path) -> None:
    port = any_free()
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        process = started(tmp_path, port, RUNWATCH_CLICKHOUSE=url, RUNWATCH_CONSOLE_OPERATOR_TOKEN=TOKEN)
        try:
            wait(process, port)
            asking = httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=0.5)
            with asking, pytest.raises(httpx.ReadTimeout):
                asking.get(f"http://127.0.0.1:{port}/api/fleet")
            process.terminate()
            began = time.monotonic()
            said, _ = process.communicate(timeout=20)
            assert 5 > time.monotonic() - began
            assert 0 == process.returncode and "Traceback" not in said
        finally:
            process.kill()
            process.wait()


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = started(tmp_path, port)
        said, _ = process.communicate(timeout=60)
    assert 3 == process.returncode
    assert f"Port {port} of 127.0.0.1 is taken" in said and "Traceback" not in said


def test_an_address_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    process = started(tmp_path, any_free(), RUNWATCH_CONSOLE_URL="runwatch.example.org")
    said, _ = process.communicate(timeout=60)
    assert 3 == process.returncode
    assert "RUNWATCH_CONSOLE_URL is 'runwatch.example.org'" in said and "Traceback" not in said


def test_a_token_that_is_too_short_is_a_sentence_without_it(tmp_path: Path) -> None:
    process = started(tmp_path, any_free(), RUNWATCH_CONSOLE_VIEWER_TOKEN="hush")
    said, _ = process.communicate(timeout=60)
    assert 3 == process.returncode
    assert "RUNWATCH_CONSOLE_VIEWER_TOKEN is too short" in said and "hush" not in said


def test_into_a_log_no_tokens_are_printed(tmp_path: Path) -> None:
    port = any_free()
    process = started(tmp_path, port)
    try:
        wait(process, port)
    finally:
        process.terminate()
    assert f"The console is at http://127.0.0.1:{port}\n" == process.communicate(timeout=20)[0]
    assert not tokens.stored(tmp_path).hashes


def test_new_tokens_are_printed_once_as_addresses(cli: Callable[..., Any], home: Path) -> None:
    said = cli("console", "--new-tokens", "--port", "9000", COLUMNS="60", RUNWATCH_HOME=str(home))
    assert 0 == said.code
    found = re.findall(r"http://127\.0\.0\.1:9000/login#token=([\w-]{43})\n", said.out)
    known = tokens.stored(home)
    assert [Role.operator, Role.viewer] == [known.role_of(one) for one in found]


def test_tokens_of_the_environment_are_not_changed_here(cli: Callable[..., Any], home: Path) -> None:
    said = cli("console", "--new-tokens", RUNWATCH_HOME=str(home), RUNWATCH_CONSOLE_OPERATOR_TOKEN=TOKEN)
    assert 2 == said.code
    assert "change them there" in said.err and TOKEN not in said.err


def test_other_commands_do_not_load_it() -> None:
    code = (
        "import sys, contextlib\nfrom runwatch import cli\n"
        "with contextlib.suppress(SystemExit): cli.app(['console', '--help'])\n"
        "print([one for one in ('nicegui', 'fastapi', 'uvicorn', 'starlette') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.splitlines()[-1]
