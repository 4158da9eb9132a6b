"""Whether files lie in the order of time, told from their times alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from runwatch.producers.order import disorder_ms
from runwatch.producers.reading import ReadingError


def lines(*times: object) -> bytes:
    return "".join(f'{{"run_id": "r", "ts_ms": {one}, "agent": "a"}}\n' for one in times).encode()


def test_how_far_behind_the_latest_an_event_lies(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(lines(1000, 1000, 2500, 2000, 9000))
    packed.write_bytes(gzip.compress(lines(9001, 9400, 9100)))
    assert 500 == disorder_ms([str(plain)])
    assert 300 == disorder_ms([str(packed)])
    assert 500 == disorder_ms([str(plain), str(packed)])
    # Files are read one after the other.
    assert 8400 == disorder_ms([str(packed), str(plain)])


@pytest.mark.parametrize(
    "data",
    [b'{"ts_ms": "2026-03-01T12:00:00Z"}\n', b'{"run_id": "r"}\n', b'{"ts_ms": 1, "args": {"ts_ms": 2}}\n', b"bad\n"],
)
def test_where_it_cannot_be_told(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(1) + data)
    assert disorder_ms([str(path)]) is None
    assert disorder_ms(["-"]) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadingError, match="No such file"):
        disorder_ms([str(tmp_path / "none")])
