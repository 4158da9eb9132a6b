import gzip
import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.producers import reading
from runwatch.producers.reading import CutOffError, ReadingError, chunks, lines, values


def split(data, cuts):
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(st.lists(st.text("ab é\t", max_size=8)), st.sampled_from(["\n", "\r\n"]), st.booleans(), CUTS)
def test_lines_are_the_same_however_they_are_split(texts, end, closed, cuts):
    data = (end.join(texts) + (end if closed else "")).encode()
    expected = [(number, text.encode().strip()) for number, text in enumerate(texts, 1) if text.encode().strip()]
    assert expected == [(piece.line, piece.data) for piece in lines(split(data, cuts))]


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9) | st.integers() | st.lists(st.none()))),
    st.sampled_from([None, 1]),
    st.booleans(),
    CUTS,
)
def test_values_are_the_same_however_they_are_split_and_laid_out(objects, indent, in_array, cuts):
    if in_array:
        data = json.dumps(objects, indent=indent, ensure_ascii=False)
    else:
        data = "\n".join(json.dumps(item, indent=indent, ensure_ascii=False) for item in objects)
    pieces = list(values(split(data.encode(), cuts)))
    assert objects == [piece.value for piece in pieces]
    assert objects == [json.loads(piece.data) for piece in pieces]
    assert not any(piece.fault for piece in pieces)
    text_lines = data.split("\n")
    assert all(text_lines[piece.line - 1].strip(" [").startswith("{") for piece in pieces)


def test_values_longer_than_a_chunk(monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 16)
    items = [{"a": "x" * 300}, {"b": "y" * 40}]
    data = json.dumps(items).encode()
    assert items == [piece.value for piece in values(data[i : i + 7] for i in range(0, len(data), 7))]


@pytest.mark.parametrize(
    ("data", "good", "line", "fault"),
    [
        (b'[{"a":1},\n{"b":}, {"c":1}]', 1, 2, "not JSON"),
        (b'[{"a":1},\n{"b":2}', 2, 2, "the array does not end"),
        (b'[{"a":1},\n{"b":', 1, 2, "not JSON"),
        (b"[" * 100_000, 0, 1, "not JSON"),
    ],
)
def test_broken_values_are_told_after_the_good_ones(data, good, line, fault):
    *before, last = values([data])
    assert good == len(before)
    assert last.line == line
    assert fault in last.fault


@pytest.mark.parametrize("data", [b"", b"  \n", b"[]", b"[ ]\n"])
def test_nothing_is_no_fault(data):
    assert [] == list(values([data]))


@pytest.mark.parametrize("read", [lines, values])
def test_too_long_a_piece_is_refused_and_not_kept(monkeypatch, read):
    monkeypatch.setattr(reading, "MAX_PIECE", 1000)
    monkeypatch.setattr(reading, "CHUNK", 100)
    parts = [b'"' + b"x" * 99] + [b"x" * 100] * 50
    (piece,) = read(parts)
    assert "longer than" in piece.fault
    assert len(piece.data) <= 2200


def test_lines_go_on_after_one_too_long(monkeypatch):
    monkeypatch.setattr(reading, "MAX_PIECE", 1000)
    parts = [b"a\n" + b"x" * 900, b"x" * 900, b"x" * 900 + b"\nb\n", b"c"]
    assert [(1, None), (2, "the line"), (3, None), (4, None)] == [
        (piece.line, piece.fault and piece.fault[:8]) for piece in lines(parts)
    ]


class Drip(io.RawIOBase):
    """A pipe that gives a byte at a time."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(min(size, 1))


@pytest.mark.parametrize("wrap", [lambda data: data, gzip.compress, lambda data: b"\xef\xbb\xbf" + data])
@pytest.mark.parametrize("source", [io.BytesIO, Drip])
def test_plain_and_gzip_and_byte_order_mark(wrap, source):
    data = b"one\ntwo\n" * 1000
    packed = wrap(data)
    counted = []
    assert data == b"".join(chunks(source(packed), "f", counted.append))
    assert len(packed) == sum(counted)


def test_utf16_is_named():
    with pytest.raises(ReadingError, match=r"f is UTF-16 text: save it as UTF-8\."):
        list(chunks(io.BytesIO("{}".encode("utf-16")), "f", id))


@given(st.integers(10, 2000))
def test_what_stands_before_a_cut_is_read(cut):
    data = b"".join(b'{"n":%d}\n' % number for number in range(3000))
    packed = bytearray(gzip.compress(data, 1))
    del packed[-cut:]
    got = b""
    with pytest.raises(CutOffError, match="gzip"):
        for chunk in chunks(io.BytesIO(packed), "f", id):
            got += chunk
    assert data.startswith(got)
    *good, last = lines(chunks(io.BytesIO(packed), "f", id))
    assert got.count(b"\n") == len(good)
    assert "cut off" in last.fault
    assert len(good) + 1 == last.line
