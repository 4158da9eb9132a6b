"""When a topic is not read on: by share, in a row, and on trial."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runwatch.deadletters.limit import Limit, Tally

SMALL = Limit(ratio=0.9, window=100, in_a_row=50)


def test_a_few_bad_ones_pass_for_ever() -> None:
    tally = Tally(Limit())
    assert {None} == {tally.judge(1_000, range(0, 1_000, 100)) for _ in range(100)}


def test_four_bad_ones_to_each_good_one_pass_by_default() -> None:
    tally = Tally(Limit())
    bad = [at for at in range(1_000) if at % 5]
    assert {None} == {tally.judge(1_000, bad) for _ in range(1_250)}  # a million bad ones


def test_so_many_in_a_row_are_too_much_also_over_several_batches() -> None:
    tally = Tally(SMALL)
    assert tally.judge(49, range(49)) is None
    assert "50 messages in a row" == tally.judge(1, [0])


def test_a_good_one_ends_a_row() -> None:
    tally = Tally(SMALL)
    assert tally.judge(49, range(49)) is None
    assert tally.judge(1, []) is None
    assert tally.judge(49, range(49)) is None


def test_a_row_within_a_batch_is_seen_though_good_ones_follow() -> None:
    assert "60 messages in a row" == Tally(SMALL).judge(1_000, range(100, 160))


def test_a_share_is_too_much_once_the_window_is_full() -> None:
    tally = Tally(SMALL)
    bad = [at for at in range(33) if at not in (10, 20, 30)]
    assert [None, None, None] == [tally.judge(33, bad) for _ in range(3)]
    assert "120 of the last 132 messages (91%)" == tally.judge(33, bad)


def test_what_was_too_much_is_judged_the_same_again_and_passes_once_it_can_be_read() -> None:
    tally = Tally(SMALL)
    assert tally.judge(40, range(40)) is None
    assert tally.judge(20, range(20)) == tally.judge(20, range(20)) == "60 messages in a row"
    assert tally.judge(20, []) is None


def test_on_trial_nothing_passes_on_credit() -> None:
    tally = Tally(SMALL)
    tally.on_trial = True
    assert "1 of the last 1 messages (100%)" == tally.judge(1, [0])
    assert tally.on_trial
    assert tally.judge(10, [3, 4]) is None
    assert not tally.on_trial


def test_no_message_is_no_verdict_on_trial() -> None:
    tally = Tally(SMALL)
    tally.on_trial = True
    assert tally.judge(0, []) is None
    assert tally.on_trial


def test_without_the_limit_everything_passes() -> None:
    tally = Tally(Limit(stop=False, in_a_row=1))
    tally.on_trial = True
    assert tally.judge(1_000, range(1_000)) is None


def test_forgetting_begins_anew() -> None:
    tally = Tally(SMALL)
    tally.judge(49, range(49))
    tally.forget()
    assert tally.judge(49, range(49)) is None


@given(st.lists(st.booleans(), max_size=200), st.lists(st.integers(1, 199), max_size=8))
def test_rows_are_the_same_however_the_messages_are_cut(bad: list[bool], cuts: list[int]) -> None:
    limit = Limit(ratio=1.0, window=10_000_000, in_a_row=5)
    told = []
    for edges in ([0, len(bad)], [0, *sorted({cut for cut in cuts if cut < len(bad)}), len(bad)]):
        tally = Tally(limit)
        verdicts = [
            tally.judge(end - first, [at for at in range(end - first) if bad[first + at]])
            for first, end in pairwise(edges)
        ]
        told.append(any(verdict is not None for verdict in verdicts))
    assert told[0] == ("xxxxx" in "".join("x" if one else "." for one in bad))
