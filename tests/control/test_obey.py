"""Which messages of the control topic are obeyed where commands are signed, and which are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.obey import Obedience
from runwatch.control.read import BadControl
from runwatch.control.replays import Replays
from runwatch.control.signers import FRESH_MS, Signers, SignersError, parse_signers
from runwatch.control.signing import HEADER, Signer, make_pair
from runwatch.schemas.avro import load
from runwatch.schemas.controls import Control
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.wire import encode

TOPIC = "agent.control"
NOW = 1_795_000_000_000
REGISTRY = LocalRegistry()
PAIRS = {name: make_pair() for name in ("mia", "policy", "stranger")}
STOP = Control("c1", "fleet", "stop", NOW, "a test", "mia")
ALLOW = replace(STOP, control_id="c2", mode="allow")

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]] | None]


def value(control: Control) -> bytes:
    schema = load("control")
    return encode(control.to_record(), schema, schema.schema_id)


def signed(name: str, control: Control | None, at_ms: int = NOW, scope: str = "", topic: str = TOPIC) -> Message:
    key, data = (scope or control.scope).encode() if control else scope.encode(), control and value(control)
    return key, data, Signer(PAIRS[name][1], lambda: at_ms).headers(topic, key, data)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "signers"
    path.write_text(f"# who may\nmia {PAIRS['mia'][0]}\npolicy {PAIRS['policy'][0]} run,agent,dry # the worker\n")
    return path


@pytest.fixture
def its(file: Path) -> Obedience:
    return Obedience(TOPIC, Signers(file))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    path = tmp_path_factory.mktemp("signers") / "signers"
    path.write_text(f"mia {PAIRS['mia'][0]}\n")
    return Signers(path)


def take(its: Obedience, message: Message, log_ms: int | None = NOW) -> str:
    """The word for why a message is not obeyed; empty where it is."""
    try:
        its.take(*message, log_ms, REGISTRY.schema_of)
    except BadControl as bad:
        return bad.reason
    return ""


def overwritten(its: Obedience, by: str = "mia") -> list[Control]:
    return its.overwritten(NOW, Signer(PAIRS[by][1], lambda: NOW).key_id)


def mode(its: Obedience, scope: str = "fleet") -> str | None:
    found = its.state.standing(scope, NOW)
    return found.mode if found else None


def test_a_signed_command_is_obeyed_and_its_signer_known(its: Obedience) -> None:
    assert "" == take(its, signed("mia", STOP))
    assert ("stop", "mia", []) == (mode(its), its.signed_by("fleet"), overwritten(its))


def test_an_unsigned_command_binds_nobody(its: Obedience) -> None:
    assert "unsigned" == take(its, (b"fleet", value(STOP), None))
    assert "unsigned" == take(its, (b"fleet", value(STOP), [("traceparent", b"1")]))
    assert mode(its) is None


@pytest.mark.parametrize(
    "message",
    [
        signed("stranger", STOP),
        (b"fleet", value(ALLOW), signed("mia", STOP)[2]),
        (b"agent:a", value(STOP), signed("mia", STOP)[2]),
        (b"fleet", None, signed("mia", STOP)[2]),
        (b"fleet", value(STOP), [(HEADER, signed("mia", STOP)[2][0][1][:-1] + b"\xff")]),  # type: ignore[index]
        (b"fleet", value(STOP), [(HEADER, b"")]),
        signed("mia", STOP, topic="staging.agent.control"),
    ],
)
def test_what_was_changed_or_made_up_binds_nobody(its: Obedience, message: Message) -> None:
    assert "signature" == take(its, message)
    assert mode(its) is None


def test_what_is_signed_and_makes_no_sense_is_still_no_command(its: Obedience) -> None:
    assert "forged" == take(its, signed("mia", STOP, scope="agent:a"))
    assert "key" == take(its, signed("mia", None, scope="everyone"))


def test_who_may_command_runs_may_not_command_the_fleet(its: Obedience) -> None:
    assert "" == take(its, signed("policy", replace(STOP, scope="run:r1")))
    assert "" == take(its, signed("policy", replace(STOP, scope="dry:run:r1")))
    assert "signature" == take(its, signed("policy", STOP))
    assert "signature" == take(its, signed("policy", None, scope="fleet"))


def test_without_signers_all_is_as_ever() -> None:
    its = Obedience(TOPIC)
    assert "" == take(its, (b"fleet", value(STOP), None))
    assert "" == take(its, signed("stranger", replace(STOP, control_id="c3")))
    assert ("stop", None, []) == (mode(its), its.signed_by("fleet"), overwritten(its))


# -- sent again ------------------------------------------------------------------------------------


def test_an_older_command_that_is_sent_again_does_not_win(its: Obedience) -> None:
    old = signed("mia", replace(ALLOW, ts_ms=NOW - 10), at_ms=NOW - 10)
    assert "" == take(its, old)
    assert "" == take(its, signed("mia", STOP))
    assert "stale" == take(its, old)
    assert "stop" == mode(its)


def test_neither_does_a_deletion_that_is_sent_again(its: Obedience) -> None:
    gone = signed("mia", None, at_ms=NOW - 10, scope="fleet")
    assert ["", "", "stale"] == [take(its, one) for one in (gone, signed("mia", STOP), gone)]
    assert "stop" == mode(its)


def test_neither_does_a_command_that_was_taken_away_since(its: Obedience) -> None:
    stop = signed("mia", STOP, at_ms=NOW - 10)
    assert ["", "", "stale"] == [take(its, one) for one in (stop, signed("mia", None, scope="fleet"), stop)]
    assert mode(its) is None


def test_who_starts_after_the_compaction_knows_an_old_command_by_the_brokers_time(its: Obedience) -> None:
    """The newer command is gone from the topic; there is the old one alone, which somebody sent again."""
    assert "stale" == take(its, signed("mia", ALLOW), NOW + FRESH_MS + 1)
    assert "stale" == take(its, signed("mia", ALLOW, at_ms=NOW + FRESH_MS + 1))  # made for later
    assert "" == take(its, signed("mia", ALLOW), NOW + FRESH_MS)


def test_the_same_topic_read_once_more_is_no_replay(its: Obedience) -> None:
    told = [signed("mia", replace(ALLOW, ts_ms=NOW - 10), at_ms=NOW - 10), signed("mia", STOP)]
    for _ in range(2):
        its.begin()
        assert [""] == [take(its, told[0])] and "" == take(its, told[1])
        assert "stop" == mode(its)
    assert [] == overwritten(its)


def test_what_compaction_will_forget_is_known(its: Obedience) -> None:
    take(its, signed("mia", STOP))
    assert "unsigned" == take(its, (b"fleet", None, None))
    assert "unsigned" == take(its, (b"agent:a", None, None))  # behind which nothing stood
    assert ([STOP], [], []) == tuple(overwritten(its, by) for by in ("mia", "policy", "stranger"))
    again = replace(STOP, control_id="c9")
    assert "" == take(its, signed("mia", again, at_ms=NOW + 1), NOW + 1)
    assert ([], "stop") == (overwritten(its), mode(its))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * FRESH_MS), st.integers(0, FRESH_MS)), max_size=60))
def test_replays_are_told_by_what_was_said_since_however_little_is_remembered(told: list[tuple[str, int, int]]) -> None:
    """Against a memory that forgets nothing: each message is fresh when it arrives, and arrives in the log's order."""
    replays, last = Replays(), dict[str, int]()
    for scope, log_ms, age in sorted(told, key=lambda one: one[1]):
        signed_ms = log_ms - age
        late = signed_ms < last.get(scope, -1_000_000_000)
        assert late == replays.is_late(scope, signed_ms, log_ms)
        if not late:
            last[scope] = signed_ms


def test_what_was_said_long_ago_is_not_remembered() -> None:
    replays = Replays()
    for at in range(1_000):
        assert not replays.is_late(f"run:{at}", at * 10_000, at * 10_000)
    assert 61 > len(replays)


@given(st.binary(max_size=30), st.none() | st.binary(max_size=60), st.binary(max_size=100))
def test_noise_is_refused_and_does_no_harm(lasting: Signers, key: bytes, data: bytes | None, header: bytes) -> None:
    its = Obedience(TOPIC, lasting)
    with pytest.raises(BadControl):
        its.take(key, data, [(HEADER, header)], NOW, REGISTRY.schema_of)
    assert 0 == len(its.state)


# -- the file of signers ---------------------------------------------------------------------------


def test_who_is_taken_out_is_obeyed_no_longer_and_who_is_put_in_is_heard(its: Obedience, file: Path) -> None:
    take(its, signed("mia", STOP))
    take(its, signed("policy", replace(STOP, scope="run:r1")))
    assert not its.signers_changed()
    file.write_text(f"policy {PAIRS['policy'][0]}\nstranger {PAIRS['stranger'][0]}\n")
    assert its.signers_changed()
    assert (None, "stop") == (mode(its), mode(its, "run:r1"))
    assert ["signature", ""] == [take(its, signed(one, STOP)) for one in ("mia", "stranger")]


def test_a_file_that_is_broken_while_it_is_used_changes_nothing(its: Obedience, file: Path) -> None:
    take(its, signed("mia", STOP))
    for broken in ("", "mia ctl-pub-x\n"):
        file.write_text(broken)
        with pytest.raises(SignersError):
            its.signers_changed()
    file.unlink()
    with pytest.raises(SignersError, match="cannot be read: No such file"):
        its.signers_changed()
    assert ("stop", "") == (mode(its), take(its, signed("mia", STOP)))


def test_a_new_file_that_says_the_same_is_no_change(its: Obedience, file: Path) -> None:
    file.write_text(file.read_text() + "# nothing\n")
    assert not its.signers_changed()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no signer: nobody could command"),
        ("# mia\n", "names no signer"),
        ("mia\n", r"f:1: a signer is a name, a public key and"),
        ("\nmia ctl-pub-x\n", r"f:2: the key of mia does not do: a public key is ctl-pub- and 43 letters"),
        (f"mia {PAIRS['mia'][1]}\n", r"f:1: the key of mia does not do: it is a private key"),
        (f"mi/a {PAIRS['mia'][0]}\n", r"f:1: 'mi/a' is no name"),
        (f"mia {PAIRS['mia'][0]} runs\n", r"f:1: 'runs' is no kind of scope; there are agent, alerts, approval, "),
        (f"mia {PAIRS['mia'][0]}\nmax {PAIRS['mia'][0]}\n", r"f:2: that key stands in the file already"),
    ],
    # Named, since the keys are made anew by each process that runs tests.
    ids=["empty", "comment", "no key", "short key", "private", "no name", "no kind", "twice"],
)
def test_a_mistake_is_told_with_its_line_and_shows_no_key(text: str, told: str) -> None:
    with pytest.raises(SignersError, match=told) as caught:
        parse_signers(text, "f")
    assert all(private[8:] not in str(caught.value) for _, private in PAIRS.values())


def test_a_name_may_have_two_keys() -> None:
    known: dict[bytes, Any] = parse_signers(f"mia {PAIRS['mia'][0]}\nmia {PAIRS['policy'][0]}\n", "f")
    assert ["mia", "mia"] == [one.name for one in known.values()]
