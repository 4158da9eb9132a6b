"""Which commands are in force: the last of each scope, the strictest of several, until they expire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.state import STRICTNESS, ControlState
from runwatch.schemas.controls import Control, Mode

NOW = 1_000_000


def command(scope: str, mode: Mode = "stop", ts_ms: int = 0, expires_ms: int | None = None) -> Control:
    return Control(f"{scope}/{ts_ms}/{mode}", scope, mode, ts_ms, "a test", "somebody", expires_ms)


def state_of(*commands: Control) -> ControlState:
    state = ControlState()
    for one in commands:
        state.apply(one)
    return state


def test_the_last_command_of_a_scope_stands() -> None:
    state = state_of(command("fleet", "stop", 1), command("fleet", "allow", 2))
    assert command("fleet", "allow", 2) == state.standing("fleet", NOW)
    assert state.strictest(["fleet"], NOW) is None


def test_of_the_same_instant_the_later_in_the_log_stands() -> None:
    state = state_of(command("fleet", "stop", 1), command("fleet", "allow", 1))
    assert "allow" == state.standing("fleet", NOW).mode  # type: ignore[union-attr]


def test_an_older_command_changes_nothing() -> None:
    state = state_of(command("fleet", "allow", 2))
    before = state.version
    assert not state.apply(command("fleet", "stop", 1))
    assert before == state.version
    assert "allow" == state.standing("fleet", NOW).mode  # type: ignore[union-attr]


def test_an_expired_command_does_not_stand() -> None:
    state = state_of(command("fleet", "stop", 1, NOW))
    assert state.standing("fleet", NOW) is None
    assert state.strictest(["fleet"], NOW) is None
    assert [] == state.commands(NOW)
    assert [command("fleet", "stop", 1, NOW)] == state.expired(NOW)
    assert "stop" == state.strictest(["fleet"], NOW - 1).mode  # type: ignore[union-attr]


def test_a_narrower_allow_does_not_lift_a_wider_stop() -> None:
    state = state_of(command("fleet", "stop"), command("agent:a", "allow"))
    assert "fleet" == state.strictest(["fleet", "agent:a"], NOW).scope  # type: ignore[union-attr]


def test_what_was_taken_away_is_as_if_never_said() -> None:
    state = state_of(command("fleet", "stop"))
    before = state.version
    state.forget("fleet")
    state.forget("agent:never")
    assert before + 1 == state.version
    assert state.strictest(["fleet"], NOW) is None
    assert 0 == len(state)


SCOPES = ["fleet", "agent:a", "tool:t", "run:r"]
commands = st.builds(
    command,
    st.sampled_from(SCOPES),
    st.sampled_from(sorted(STRICTNESS)),
    st.integers(0, 5),
    st.one_of(st.none(), st.sampled_from([NOW - 1, NOW, NOW + 1])),
)


@given(st.lists(commands, unique_by=lambda one: (one.scope, one.ts_ms)), st.randoms())
def test_any_order_gives_the_same_state(given_commands: list[Control], random: object) -> None:
    shuffled = list(given_commands)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert state_of(*given_commands).commands(NOW) == state_of(*shuffled).commands(NOW)


@given(st.lists(commands))
def test_the_strictest_is_the_strictest_of_those_that_stand(given_commands: list[Control]) -> None:
    state = state_of(*given_commands)
    last: dict[str, Control] = {}
    for one in given_commands:
        if one.scope not in last or one.ts_ms >= last[one.scope].ts_ms:
            last[one.scope] = one
    alive = [one for one in last.values() if one.expires_ms is None or one.expires_ms > NOW]
    expected = max((STRICTNESS[one.mode] for one in alive), default=0)
    found = state.strictest(SCOPES, NOW)
    assert expected == (STRICTNESS[found.mode] if found else 0)
