from hypothesis import given
from hypothesis import strategies as st

from runwatch.producers.current import CURRENT
from runwatch.producers.simulator.schedule import Schedule, nap

START = 1_760_000_000_000


def run_out(schedule):
    while schedule.next_ms is not None:
        schedule.step()


@given(st.lists(st.lists(st.floats(0, 100), max_size=5), max_size=6))
def test_coroutines_wake_in_the_order_of_their_time(naps):
    schedule = Schedule(START)
    woken = []

    async def sleeper(name, times):
        due = 0.0
        for seconds in times:
            due += seconds
            await nap(seconds)
            woken.append((schedule.monotonic(), due, name))

    for name, times in enumerate(naps):
        schedule.start(sleeper(name, times))
    run_out(schedule)
    assert sum(map(len, naps)) == len(woken)
    assert sorted(time for time, _, _ in woken) == [time for time, _, _ in woken]
    assert all(time == due for time, due, _ in woken)


def test_the_clock_moves_with_the_coroutines_only():
    schedule = Schedule(START)

    async def sleeper():
        await nap(1.5)

    schedule.start(sleeper())
    assert (START, 0.0) == (schedule.now_ms(), schedule.monotonic())
    run_out(schedule)
    assert (START + 1500, 1.5, None) == (schedule.now_ms(), schedule.monotonic(), schedule.next_ms)


def test_each_coroutine_has_a_context_of_its_own():
    schedule = Schedule(START)
    seen = []

    async def one(value):
        CURRENT.set(value)
        await nap(1.0)
        seen.append(CURRENT.get())

    for value in ("a", "b"):
        schedule.start(one(value))
    run_out(schedule)
    assert ["a", "b"] == seen
    assert CURRENT.get() is None


def test_close_ends_what_is_left():
    schedule = Schedule(START)
    ended = []

    async def endless():
        try:
            while True:
                await nap(1.0)
        finally:
            ended.append(schedule.monotonic())

    schedule.start(endless())
    schedule.step()
    schedule.step()
    schedule.close()
    assert [1.0] == ended
    assert schedule.next_ms is None
