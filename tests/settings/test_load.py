"""Sections, lists of sections and mappings of sections from YAML: every mistake with its place; and printed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from runwatch.settings.load import SettingsError, parse
from runwatch.settings.section import Duration, Section
from runwatch.settings.setting import differing, find
from runwatch.settings.text import text


class Rule(Section):
    when: str = Field(min_length=1, description="Which.")
    act: Literal["notify", "stop"] = Field(default="notify", description="What is done.")
    hold: Duration | None = Field(default=None, ge=1_000, description="How long.")
    tags: tuple[str, ...] = Field(default=(), description="Words.")
    token: SecretStr | None = Field(default=None, description="A secret.")


class Limits(Section):
    steps: int | None = Field(default=5, ge=1, description="Steps.")


class Root(Section):
    rules: tuple[Rule, ...] = Field(default=(), description="Rules, in their order.")
    places: Mapping[str, Rule] = Field(default={}, description="Rules by name.")
    limits: Limits | None = Field(default=None, description="Limits, if any.")
    heads: dict[str, SecretStr] = Field(default={}, description="Secrets by name.")
    only: tuple[Literal["a", "b"], ...] = Field(default=("a",), description="Which letters.")


def read(content: str) -> Root:
    return parse(Root, content.encode(), "it.yaml")


def mistakes(content: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(content)
    return list(raised.value.sentences)


FULL = """\
rules:
  - when: loop.*
    hold: 10m
  - {when: x, act: stop, tags: [p, q]}
places:
  here: {when: y}
limits: {steps: 7}
only: [b, a]
"""


def test_what_is_set() -> None:
    found = read(FULL)
    assert (Rule(when="loop.*", hold=600_000), Rule(when="x", act="stop", tags=("p", "q"))) == found.rules
    assert {"here": Rule(when="y")} == dict(found.places)
    assert Limits(steps=7) == found.limits
    assert ("b", "a") == found.only
    assert ["rules", "places", "limits.steps", "only"] == differing(found)


@pytest.mark.parametrize("content", ["", "rules:\nplaces:\nlimits: null\n", "rules: []\nplaces: {}\n"])
def test_what_is_not_set_is_at_its_default(content: str) -> None:
    assert Root() == read(content)


def test_a_section_that_is_there_though_empty() -> None:
    assert Limits() == read("limits: {}").limits


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rules:\n  - wehn: x\n",
         ["2:5: rules[0].wehn is not a setting; did you mean rules[0].when?",
          "2:5: rules[0].when is missing; it must be text."]),
        ("rules: [{when: x}, {when: y, act: explode}]",
         ["1:35: rules[1].act is 'explode'; it must be one of notify, stop (the default is 'notify')."]),
        ("rules: [{when: x, hold: 5}]",
         ["1:25: rules[0].hold is 5 without a unit; it must be a duration of at least 1s, such as 90s, 10m or 1.5h."]),
        ("rules: [{when: }]", ["1:15: rules[0].when has no value; give it one, or leave the line out."]),
        ("rules: [loop]",
         ["1:9: rules[0] is the value 'loop'; it is to hold settings such as `when:`, a line each."]),
        ("rules: {when: x}",
         ["1:8: rules is a section; it is to be a list, each entry with settings such as `when:`."]),
        ("places: [x]", ["1:9: places is a list; it is to hold names, each with settings such as `when:`."]),
        ("places: {here: {hold: 1s}}", ["1:16: places.here.when is missing; it must be text."]),
        ("places: {here: {when: x, tags: [1]}}", ["1:33: places.here.tags[0] is 1; it must be text."]),
        ("places: {here: {when: x, tags: p}}", ["1:32: places.here.tags is 'p'; it must be a list of texts."]),
        ("only: [a, c]", ["1:11: only[1] is 'c'; it must be one of a, b."]),
        ("only: a", ["1:7: only is 'a'; it must be a list of a, b."]),
        ("limits: {steps: 0}",
         ["1:17: limits.steps is 0; it must be a whole number of at least 1 (the default is 5)."]),
        ("rules: [{when: x, when: y}]", ["1:19: rules[0].when stands here again; it is set in line 1."]),
        ("rules: [{when: x, token: [abc]}]",
         ["1:26: rules[0].token is not shown, since it is a secret; it must be text."]),
        ("rules: [{when: x, token: '**********'}]",
         ["1:26: rules[0].token is masked, as it was printed; put the secret here."]),
        ("rules: [{when: ''}]", ["1:16: rules[0].when is '': string should have at least 1 character."]),
        ("heads: {a: {b: abc}}", ["1:12: heads.a is not shown, since it is a secret; it must be text."]),
        ("heads: abc", ["1:8: heads is not shown, since it is a secret; it must be names, each with text."]),
    ],
)  # fmt: skip
def test_mistakes(content: str, expected: list[str]) -> None:
    assert [f"it.yaml:{one}" for one in expected] == mistakes(content)


def test_a_secret_is_not_told_or_printed() -> None:
    assert "hush-hush" not in text(read("rules: [{when: x, token: hush-hush}]"))
    assert "abc" not in mistakes("rules: [{when: x, token: [abc]}]")[0]


def test_what_is_printed_reads_as_the_same() -> None:
    printed = text(read(FULL))
    assert read(FULL) == read(printed)
    assert "rules:  # default: []\n  - when: loop.*\n    hold: 10m\n  - when: x\n" in printed
    assert "places:  # default: {}\n  here:\n    when: y\n" in printed


@given(
    st.lists(st.text(max_size=20), max_size=4),
    st.dictionaries(st.text(max_size=8), st.text(min_size=1, max_size=20), max_size=3),
    st.text(min_size=1, max_size=30),
)
def test_any_text_is_printed_so_that_it_reads_as_the_same(tags: list[str], places: dict[str, str], when: str) -> None:
    one = Root(
        rules=(Rule(when=when, tags=tuple(tags)),), places={name: Rule(when=text) for name, text in places.items()}
    )
    assert one == read(text(one))


def test_a_variable_is_no_secret() -> None:
    one = Root(heads={"a, b": SecretStr("${HOOK}"), "x": SecretStr("a${HOOK}")})
    assert "heads: {'a, b': '${HOOK}', x: '**********'}  # default: {}\n" in text(one)


def test_a_setting_is_found_through_lists_and_names() -> None:
    for path, wanted in (
        (("rules", 0, "act"), "one of notify, stop (the default is 'notify')"),
        (("places", "x", "tags"), "a list of texts"),
        (("places", "x", "tags", 3), "text"),
        (("limits", "steps"), "a whole number of at least 1 (the default is 5)"),
    ):
        setting = find(Root, path)
        assert setting is not None
        assert wanted == setting.wanted
    assert find(Root, ("rules",)) is None
    assert find(Root, ("none", "x")) is None
