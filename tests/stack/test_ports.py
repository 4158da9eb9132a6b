"""Which ports are chosen."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.stack.errors import StackError
from runwatch.stack.ports import USUAL, any_free, choose, is_free


def test_the_usual_ports_when_free() -> None:
    assert USUAL == choose({}, {}, free=lambda _: True)


def test_last_times_ports_when_free() -> None:
    assert {**USUAL, "kafka": 5000} == choose({}, {"kafka": 5000}, free=lambda _: True)


def test_another_port_where_the_usual_is_taken() -> None:
    found = choose({}, {"kafka": 5000}, free=lambda port: port not in (5000, 9092), another=lambda: 6000)
    assert {**USUAL, "kafka": 6000} == found


def test_a_port_that_was_asked_for_is_given_or_refused() -> None:
    assert 7000 == choose({"kafka": 7000}, {"kafka": 5000}, free=lambda _: True)["kafka"]
    with pytest.raises(StackError, match="Port 7000, asked for kafka, is taken"):
        choose({"kafka": 7000}, {}, free=lambda port: port != 7000)
    with pytest.raises(StackError, match="Port 7000"):
        choose({"kafka": 7000, "clickhouse": 7000}, {}, free=lambda _: True)


PORT = st.one_of(st.sampled_from(list(USUAL.values())), st.integers(1024, 1040))
NAME = st.sampled_from(list(USUAL))


@given(
    st.dictionaries(NAME, PORT),
    st.sets(PORT),
    st.dictionaries(NAME, PORT).filter(lambda d: len({*d.values()}) == len(d)),
)
def test_no_port_is_given_twice(last: dict[str, int], taken: set[int], asked: dict[str, int]) -> None:
    others = iter(range(20_000, 21_000))
    found = choose(asked, last, free=lambda port: port not in taken - {*asked.values()}, another=lambda: next(others))
    assert len(USUAL) == len({*found.values()})
    assert asked.items() <= found.items()


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])
    assert is_free(any_free())


def test_a_free_port_is_given_once_and_is_none_that_a_connection_may_take() -> None:
    # The system's own choice went to connections of other processes before the server that it was meant for listened.
    given_ports = [any_free() for _ in range(300)]
    assert 300 == len({*given_ports})
    assert 32_768 > max(given_ports)
