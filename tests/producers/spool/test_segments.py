"""What was written is read again, in order, whatever happened to the files since."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.producers.spool import segments as segments_module
from runwatch.producers.spool.blocks import HEAD_BYTES, pack, read_head, unpack
from runwatch.producers.spool.claims import new_claim
from runwatch.producers.spool.cursor import START, Cursor, Place, Standing
from runwatch.producers.spool.drain import Drain
from runwatch.producers.spool.segments import Segments

messages = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)), min_size=1, max_size=20)


def read_all(segments, place=START):
    """All messages from a place on, and how many were missing."""
    out, damaged = [], 0
    while True:
        found = segments.read(place)
        damaged += found.damaged
        if not found.messages:
            return out, damaged
        out += [(found.start.number + at, message) for at, message in enumerate(found.messages)]
        place = found.end


def files(folder):
    return sorted(folder.glob("*.seg"))


@given(messages, st.integers(1, 2**60))
def test_a_block_is_what_was_put_into_it(batch, first):
    data = pack(batch, first)
    head = read_head(b"xx" + data, 2)
    assert (first, len(batch), len(data)) == (head.first, head.count, head.size)
    assert batch == unpack(head, data[HEAD_BYTES:])


@given(messages, st.data())
def test_a_block_with_a_wrong_bit_is_none(batch, data):
    block = bytearray(pack(batch, 7))
    at = data.draw(st.integers(0, len(block) * 8 - 1))
    block[at // 8] ^= 1 << at % 8
    head = read_head(bytes(block))
    assert head is None or unpack(head, bytes(block[HEAD_BYTES : head.size])) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=30), st.integers(1, 3000), st.data())
def test_what_is_cut_off_at_the_end_takes_nothing_else_along(tmp_path_factory, batches, segment_bytes, data):
    folder = tmp_path_factory.mktemp("s")
    segments = Segments(folder, segment_bytes, durable=False)
    for batch in batches:
        segments.append(batch)
    written = [message for batch in batches for message in batch]
    assert (list(enumerate(written, 1)), 0) == read_all(segments)
    segments.close()
    if not written:
        return
    last = files(folder)[-1]
    cut = data.draw(st.integers(0, last.stat().st_size))
    junk = data.draw(st.binary(max_size=50) | st.just(bytes(100)))
    last.write_bytes(last.read_bytes()[:cut] + junk)
    found, damaged = read_all(again := Segments(folder, segment_bytes, durable=False))
    again.close()
    assert list(enumerate(written, 1))[: len(found)] == found
    assert 0 == damaged
    whole = sum(len(batch) for batch in batches) - int(last.stem) + 1
    assert len(found) >= len(written) - whole


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, min_size=1, max_size=30), st.integers(1, 3000), st.data())
def test_damage_costs_the_blocks_it_is_in_and_is_counted(tmp_path_factory, batches, segment_bytes, data):
    folder = tmp_path_factory.mktemp("s")
    segments = Segments(folder, segment_bytes, durable=False)
    for batch in batches:
        segments.append(batch)
    written = list(enumerate((message for batch in batches for message in batch), 1))
    hit = data.draw(st.sampled_from(files(folder)))
    content = bytearray(hit.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    hit.write_bytes(content)
    found, damaged = read_all(segments)
    segments.close()
    assert found == [one for one in written if one in found], "in order, and nothing else"
    assert len(written) - len(found) == damaged
    assert damaged in {len(batch) for batch in batches}, "a wrong byte is in one block"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_a_process_did_before_it_was_killed_the_next_one_goes_on(tmp_path_factory, seed, steps):
    """Random work of a spool, killed in between again and again: all that is not settled is read again, in order."""
    rng = random.Random(seed)
    root = tmp_path_factory.mktemp("root")
    drain = Drain(new_claim(root), rng.choice([1, 500, 5000]), durable=rng.random() < 0.1)
    is_own, count, settled, saved, next_read = True, 0, 0, 0, 1
    for _ in range(steps):
        step = rng.choice(["append", "append", "hand", "settle", "save", "kill"])
        if step == "append" and is_own:
            batch = [(b"k", b"hhhhh%d" % (count + at + 1)) for at in range(rng.randint(1, 30))]
            drain.append(batch)
            count += len(batch)
        elif step == "hand":
            found = drain.peek()
            take = rng.randint(0, len(found))
            assert [b"hhhhh%d" % (next_read + at) for at in range(take)] == [value for _, value in found[:take]]
            drain.hand(take)
            next_read += take
        elif step == "settle":
            drain.settle()
            settled = next_read - 1
        elif step == "save":
            drain.save()
            saved = settled
        elif step == "kill":
            drain.abandon()  # as the system does it: files and the lock are closed, and nothing is written
            from runwatch.producers.spool.claims import abandoned

            (claim,) = abandoned(root)
            drain = Drain(claim, 1000, durable=False)
            is_own, next_read, settled = False, saved + 1, saved
    rest = []
    while found := drain.peek():
        rest += [value for _, value in found]
        drain.hand(len(found))
    assert [b"hhhhh%d" % number for number in range(next_read, count + 1)] == rest
    assert 0 == drain.dropped
    drain.settle()
    drain.leave()
    assert [] == list(root.iterdir())


def test_files_that_are_done_are_deleted(tmp_path):
    segments = Segments(tmp_path, 100, durable=True)
    for _ in range(10):
        segments.append([(b"k", b"v" * 90)])
    assert 10 == len(files(tmp_path))
    segments.let_go(Place(8, 0, 8))
    assert [f"{number:020d}" for number in (8, 9, 10)] == [path.stem for path in files(tmp_path)]
    assert segments.size == sum(path.stat().st_size for path in files(tmp_path))


def test_a_write_that_fails_leaves_no_trace(tmp_path, monkeypatch):
    segments = Segments(tmp_path, 10_000, durable=False)
    segments.append([(b"k", b"1")])
    write = os.write

    def half(fd, data):
        if len(data) > 20:
            return write(fd, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments_module.os, "write", half)
    with pytest.raises(OSError, match="No space"):
        segments.append([(b"k", b"2" * 100)])
    monkeypatch.setattr(segments_module.os, "write", write)
    segments.append([(b"k", b"3")])
    assert ([(1, (b"k", b"1")), (2, (b"k", b"3"))], 0) == read_all(segments)
    assert segments.size == files(tmp_path)[0].stat().st_size


def test_a_cursor_holds_the_last_that_was_written_whole(tmp_path):
    path = tmp_path / "cursor"
    cursor = Cursor(path)
    assert Standing() == cursor.standing
    cursor.write(Standing(Place(1, 2, 3), 4, 5))
    cursor.write(Standing(Place(6, 7, 8), 9, 10))
    cursor.close()
    data = path.read_bytes()
    assert Standing(Place(6, 7, 8), 9, 10) == Cursor(path).standing
    for at in range(52):  # the second write, cut short or garbled
        path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
        assert Standing(Place(1, 2, 3), 4, 5) == Cursor(path).standing
    path.write_bytes(b"nonsense")
    assert Standing() == Cursor(path).standing


def test_nobody_takes_over_what_is_someones(tmp_path):
    from runwatch.producers.spool.claims import abandoned

    first, second = new_claim(tmp_path), new_claim(tmp_path)
    assert [] == abandoned(tmp_path)
    second.release()
    (taken,) = abandoned(tmp_path)
    assert second.folder == taken.folder
    assert [] == abandoned(tmp_path)
    taken.remove()
    assert [first.folder] == list(tmp_path.iterdir())
    assert [] == abandoned(tmp_path / "is not there")
    first.release()
