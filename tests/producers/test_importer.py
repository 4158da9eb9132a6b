import gzip
import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.producers import importer
from runwatch.producers.importer import ImportingError, import_files
from runwatch.producers.reading import ReadingError
from runwatch.producers.recorded import iter_events

GOOD = {"run_id": "r", "kind": "tool_result", "ts_ms": 1_760_000_000_000, "agent": "a", "tool": "t", "status": "ok"}


def line(**more):
    return json.dumps({**GOOD, **more})


def read(path, form="events", **more):
    rejects = []
    events = list(iter_events(path, form, on_reject=rejects.append, **more))
    return events, rejects


MIXED = "\n".join(
    [
        "\ufeff" + line(args={"x": 1}),
        "",
        "not json",
        line(ts_ms="yesterday") + "\r",
        line(run_id=7),
        "[1, 2]",
        line(kind="dance"),
        line() + "\r",
        '{"run_id": "r", "kind": "stop"',
        line(run_id="s"),
    ]
)


def test_good_lines_go_on_and_bad_ones_are_told(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED)
    events, rejects = read(path)
    assert [("r", 0), ("r", 1), ("s", 0)] == [(e.run_id, e.seq) for e in events]
    assert [3, 4, 5, 6, 7, 9] == [reject.line for reject in rejects]
    assert {str(path)} == {reject.source for reject in rejects}
    told = [reject.why for reject in rejects]
    for words, why in zip(["not JSON", "ts_ms", "run_id", "object", "kind", "not JSON"], told, strict=True):
        assert words in why
    assert f"{path}, line 3: not JSON" in str(rejects[0])


def test_an_import_sends_the_good_and_keeps_the_bad(tmp_path, sink):
    path = tmp_path / "mixed.jsonl.gz"
    path.write_bytes(gzip.compress(MIXED.encode()))
    seen = []
    report = import_files([path], kafka="", transport=sink, progress=lambda done, total: seen.append((done, total)))
    assert (3, 2, 3, 0, 6) == (report.events, report.runs, report.delivered, report.failed, report.rejected)
    assert not report.is_whole
    assert [("r", 0), ("r", 1), ("s", 0)] == [(e.run_id, e.seq) for e in sink.events]
    (kept,) = report.rejected_files
    assert tmp_path / "mixed.jsonl.gz.rejected.jsonl" == kept
    bad = [text.strip("\r") for text in MIXED.split("\n") if text]
    assert [bad[i] for i in (1, 2, 3, 4, 5, 7)] == kept.read_text().splitlines()
    assert (path.stat().st_size, path.stat().st_size) == seen[-1]


def test_mended_lines_can_be_imported(tmp_path, sink):
    path = tmp_path / "f.jsonl"
    path.write_text(line() + "\nnope\n")
    (kept,) = import_files([path], kafka="", transport=sink).rejected_files
    kept.write_text(line(run_id="mended"))
    report = import_files([kept], kafka="", transport=sink)
    assert report.is_whole
    assert ["r", "mended"] == [e.run_id for e in sink.events]
    assert not (tmp_path / "f.jsonl.rejected.jsonl.rejected.jsonl").exists()


def test_standard_input(tmp_path, sink, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(MIXED.encode()))))
    seen = []
    report = import_files(["-"], kafka="", transport=sink, progress=lambda done, total: seen.append(total))
    assert (3, 6) == (report.delivered, report.rejected)
    assert 6 == len((tmp_path / "stdin.rejected.jsonl").read_text().splitlines())
    assert "stdin, line 3" in str(report.rejects[0])
    assert {None} == set(seen)


def test_a_cut_off_gzip_file_keeps_what_was_before(tmp_path, sink):
    lines = [line(run_id=f"r{number}", args=number) for number in range(2000)]
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-200])
    report = import_files([path], kafka="", transport=sink)
    assert 1 == report.rejected
    assert "the gzip data is cut off here: copy or download the file again" == report.rejects[0].why
    assert report.rejects[0].line == report.delivered + 1
    assert 1500 < report.delivered < 2000


def test_the_same_file_twice_gives_the_same_events(tmp_path, sink):
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(line(args=number) for number in range(5)))
    import_files([path, path], kafka="", transport=sink)
    assert 5 == len({e.event_id for e in sink.events})
    assert 10 == len(sink.events)


@given(st.binary(max_size=300))
def test_any_bytes_are_events_or_rejects(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "f"
    path.write_bytes(data)
    for form in ("events", "openai-messages"):
        try:
            events, _ = read(path, form)
        except ReadingError as error:
            assert "UTF-16" in str(error)
        else:
            assert not events or form == "openai-messages"


def test_recorded_runs(shared_data, sink):
    files = [shared_data / f"{name}.jsonl.gz" for name in ("tau2", "sweagent_gpt4", "intercode")]
    began = time.monotonic()
    report = import_files(files, kafka="", transport=sink)
    assert (25_715, 2_764, 25_715, 0) == (report.events, report.runs, report.delivered, report.rejected)
    assert report.is_whole
    assert time.monotonic() - began < 20


def test_recorded_conversations(shared_data, sink):
    path = shared_data / "openai_messages.json"
    report = import_files([path], kafka="", transport=sink, form="openai-messages")
    events = sink.events
    kinds = [e.kind for e in events]
    assert (25, 144, 25, 0) == (report.runs, kinds.count("tool_result"), kinds.count("stop"), report.rejected)
    assert {"openai_messages"} == {e.agent for e in events}
    assert 14 == sum(e.status == "error" for e in events)
    assert 6 == sum(e.stop_reason == "success" for e in events)


TALK = {"id": "t", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (json.dumps([TALK, {**TALK, "id": "u"}], indent=2), 2),
        (json.dumps(TALK) + "\n" + json.dumps({**TALK, "id": "u"}), 2),
        (json.dumps(TALK, indent=2), 1),
        (json.dumps(TALK["messages"]), 1),
        (json.dumps(TALK["messages"], indent=1), 1),
        (json.dumps(TALK["messages"]) + "\n" + json.dumps(TALK["messages"] * 2), 2),
    ],
)
def test_conversations_however_they_are_laid_out(tmp_path, text, runs):
    path = tmp_path / "talks.json"
    path.write_text(text)
    events, rejects = read(path, "openai-messages", agent="support")
    assert [] == rejects
    assert runs == len({e.run_id for e in events})
    assert {"support"} == {e.agent for e in events}


def test_a_bad_conversation_is_left_out_whole(tmp_path, sink):
    path = tmp_path / "talks.json"
    bad = {"id": "bad", "messages": [TALK["messages"][1], 7]}
    path.write_text(json.dumps([TALK, bad, {**TALK, "id": "u"}], indent=1))
    report = import_files([path], kafka="", transport=sink, form="openai-messages")
    assert {"t", "u"} == {e.run_id for e in sink.events}
    assert "message 1 is no object" == report.rejects[0].why
    assert bad == json.loads(report.rejected_files[0].read_text())


@pytest.mark.parametrize("name", ["missing.jsonl", ""])
def test_a_file_that_cannot_be_read_is_told_before_anything_is_sent(tmp_path, sink, name):
    good = tmp_path / "good.jsonl"
    good.write_text(line())
    with pytest.raises(ReadingError, match="cannot be read"):
        import_files([good, tmp_path / name], kafka="", transport=sink)
    assert [] == sink.messages


def test_an_unknown_format():
    with pytest.raises(ValueError, match="events, openai-messages"):
        read("f", "xml")


def test_rejects_that_cannot_be_kept_end_the_import(tmp_path, sink):
    path = tmp_path / "f.jsonl"
    path.write_text("nope\n")
    (tmp_path / "f.jsonl.rejected.jsonl").mkdir()
    with pytest.raises(ReadingError, match=r"f\.jsonl\.rejected\.jsonl.*line 1: not JSON"):
        import_files([path], kafka="", transport=sink)


def test_a_broker_that_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "CHECK_S", 0.5)
    path = tmp_path / "f.jsonl"
    path.write_text(line())
    began = time.monotonic()
    with pytest.raises(ImportingError, match=r"broker at 127\.0\.0\.1:1 does not answer"):
        import_files([path], kafka="127.0.0.1:1")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("room", [0, 1500])
def test_a_broker_that_goes_away(tmp_path, sink, monkeypatch, room):
    monkeypatch.setattr(importer, "STALL_S", 0.2)
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(line(run_id=f"r{number}") for number in range(3000)))
    sink.room = room
    with pytest.raises(ImportingError, match=f"{room:,} events had arrived before"):
        import_files([path], kafka="b:1", transport=sink)
