"""The server: on this machine alone, at a port that is free, and as long as it is wanted."""

from __future__ import annotations

import logging
import socket
import urllib.error
import urllib.request

import pytest

from runwatch.config import Settings
from runwatch.metrics import names, ports
from runwatch.metrics.families import single
from runwatch.metrics.serve import serving
from runwatch.stack.ports import any_free, is_free


class Skipped:
    def collect(self) -> list[object]:
        return [single(names.SKIPPED, 7)]


def read(port: int | None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return str(answer.read().decode())


def test_it_serves_what_is_collected_the_process_and_its_build_and_then_no_more() -> None:
    wanted = any_free()
    with serving(Settings(metrics_port=wanted), "sink", Skipped()) as port:  # type: ignore[arg-type]
        text = read(port)
        assert wanted == port
    assert "runwatch_skipped_messages_total 7.0" in text
    assert 'runwatch_build_info{part="sink",version="' in text
    assert "process_resident_memory_bytes" in text
    assert is_free(wanted)
    with pytest.raises(urllib.error.URLError):
        read(wanted)


def test_only_this_machine_reaches_it_unless_told_otherwise() -> None:
    with serving(Settings(metrics_port=any_free()), "sink") as port, socket.socket() as other:
        assert port is not None
        # Were it bound to every address, this one would be taken too.
        other.bind(("127.0.0.2", port))


def test_where_a_port_is_taken_the_next_one_is_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runwatch")
    settings = Settings(metrics_port=any_free())
    with serving(settings, "processors") as first, serving(settings, "processors") as second:
        assert first is not None and second is not None
        assert first < second <= first + ports.TRIED
        assert f"metrics of the processors are at http://127.0.0.1:{second}/metrics ({first} is taken)" in caplog.text
        assert read(second)


def test_where_all_are_taken_there_are_none_and_the_work_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwatch.metrics.serve.TRIED", 1)
    settings = Settings(metrics_port=any_free())
    with serving(settings, "sink"), serving(settings, "sink") as second:
        assert second is None
    assert "no metrics are served: the ports" in caplog.text


def test_an_address_that_is_not_ours_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Settings(metrics_port=any_free(), metrics_host="192.0.2.1"), "sink") as port:
        assert port is None
    assert "no metrics are served: 192.0.2.1 port" in caplog.text


def test_0_is_none_at_all() -> None:
    with serving(Settings(metrics_port=0), "sink") as port:
        assert port is None


def test_usual_ports_leave_room_for_each_others_next_ones() -> None:
    taken = [port + number for port in ports.USUAL.values() for number in range(ports.TRIED)]
    assert len(taken) == len(set(taken))
