"""Labels: what Prometheus takes, and no more of them than are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from runwatch.metrics.families import named
from runwatch.metrics.labels import MOST_LETTERS, NONE, OTHER, Places, clean
from runwatch.metrics.names import ALERTS_SENT


class One:
    """A collector of one family."""

    def __init__(self, name: str) -> None:
        self._name = name

    def collect(self) -> list[object]:
        return [named(ALERTS_SENT, {self._name: 1.0})]


@given(st.text(st.characters(exclude_categories=())))
def test_any_name_comes_through_a_scrape_as_one_line(name: str) -> None:
    text = generate_latest(One(name)).decode()  # type: ignore[arg-type]
    assert 3 == len(text.splitlines())
    (family,) = text_string_to_metric_families(text)
    assert [{"receiver": clean(name)}] == [sample.labels for sample in family.samples]
    assert 1 <= len(clean(name)) <= MOST_LETTERS


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("support", "support"),
        ("größe 東京 🙂", "größe 東京 🙂"),
        ("a\ufffdb\ufffdc", "a\nb\x00c"),
        ("\ufffd", "\ud800"),
        (NONE, ""),
        ("x" * MOST_LETTERS, "x" * MOST_LETTERS),
        ("x" * (MOST_LETTERS - 1) + "…", "x" * 10_000),
    ],
)
def test_what_becomes_of_names(label: str, name: str) -> None:
    assert label == clean(name)


def test_the_first_names_have_places_and_all_others_share_the_last() -> None:
    place = Places(3)
    assert [0, 1, 0, 2, 3, 3, 1] == [place(name) for name in ("a", "b", "a", "c", "d", "e", "b")]
    assert (["a", "b", "c"], True) == (place.used, place.overflowing)


def test_names_that_look_alike_share_a_place_and_are_not_kept_without_end() -> None:
    place = Places(2)
    assert {0} == {place("x" * 1000 + str(number)) for number in range(100)}
    assert 1 == len(place.used)
    assert len(place._by_raw) <= 4
    assert 2 == place(OTHER)
    assert 1 == len(place.used)
