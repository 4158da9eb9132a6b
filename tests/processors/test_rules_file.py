"""Rules from YAML: what is set over the defaults, every mistake with its place, and printing as reading's inverse."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.rules import Rules
from runwatch.processors.rules_file import load, parse
from runwatch.processors.windows import WindowRules
from runwatch.settings.load import SettingsError
from runwatch.settings.setting import Setting, differing, sections, settings
from runwatch.settings.text import text


def rules(content: str) -> Rules:
    return parse(content.encode(), "rules.yaml")


def mistakes(content: str | bytes) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        parse(content.encode() if isinstance(content, str) else content, "rules.yaml")
    return list(raised.value.sentences)


# -- what is set -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "# nothing\n", "windows:\n  # length: 5m\n", "---\n", "{}", "\ufeff"])
def test_what_is_not_set_is_at_its_default(content: str) -> None:
    assert Rules() == rules(content)


def test_what_is_set_is_set_and_the_rest_is_at_its_default() -> None:
    found = rules("windows: {length: 2m, grace: 0, buffer_events: 0x10}\nmerge:\n  quiet: 1.5s\n")
    assert WindowRules(length=120_000, grace=0, buffer_events=16) == found.windows
    assert 1_500 == found.merge.quiet
    assert Rules().loops == found.loops
    assert ["windows.length", "windows.grace", "windows.buffer_events", "merge.quiet"] == differing(found)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("windows:\n  length: 2m\n")
    assert 120_000 == load(path).windows.length
    assert Rules() == load(None)
    path.write_text("windows:\n  lenght: 2m\n")
    with pytest.raises(
        SettingsError, match=rf"^{path}:2:3: windows.lenght is not a setting; did you mean windows.length"
    ):
        load(path)
    for place, why in ((tmp_path, "Is a directory"), (tmp_path / "none.yaml", "No such file or directory")):
        with pytest.raises(SettingsError, match=f"^The rules file {place} cannot be read: {why}.$"):
            load(place)


# -- what is wrong -----------------------------------------------------------------------------------


def test_every_mistake_is_told_in_the_files_order() -> None:
    length = "it must be a duration from 1s to 1h, such as 90s, 10m or 1.5h (the default is 1m)."
    assert [
        f"rules.yaml:2:11: windows.length is 600 without a unit; {length}",
        "rules.yaml:3:3: windows.graze is not a setting; did you mean windows.grace?",
        "rules.yaml:4:8: windows.idle has no value; give it one, or leave the line out.",
        "rules.yaml:5:18: windows.buffer_events is true; it must be a whole number from 1 to 4194304 "
        "(the default is 65536).",
        "rules.yaml:6:1: merg is not a setting; did you mean merge?",
    ] == mistakes("windows:\n  length: 600\n  graze: 1s\n  idle:\n  buffer_events: true\nmerg: {quiet: 1s}\n")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("10x", "'10x'"), ("1ms", "'1ms'"), ("2h", "'2h'"), ("-1m", "'-1m'"), ("9999999d", "'9999999d'"),
        ("[1m]", "a list"), ("{a: 1m}", "a section"), ("yes", "'yes'"), ("true", "true"), ("1:30", "'1:30'"),
        ("9" * 400 + "d", f"'{'9' * 57}...'"),
    ],
)  # fmt: skip
def test_a_duration_that_does_not_do(value: str, shown: str) -> None:
    assert [
        f"rules.yaml:1:19: windows.length is {shown}; it must be a duration from 1s to 1h, such as 90s, 10m or 1.5h "
        "(the default is 1m)."
    ] == mistakes(f"windows: {{length: {value}}}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0"), ("1.5", "1.5"), ("'7'", "'7'"), ("true", "true"), (".nan", "nan"), (".inf", "inf"),
        ("[7]", "a list"), ("99999999999999999999", "99999999999999999999"),
        ("1" + "0" * 5000, "inf"), ("1e300", "1e+300"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_do(value: str, shown: str) -> None:
    assert [
        f"rules.yaml:1:26: windows.buffer_events is {shown}; it must be a whole number from 1 to 4194304 "
        "(the default is 65536)."
    ] == mistakes(f"windows: {{buffer_events: {value}}}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("tools_every: 1s", "1:1: tools_every is not a setting; did you mean windows.tools_every?"),
        ("windows: {creep_hours: 9}", "1:11: windows.creep_hours is not a setting; did you mean drift.creep_hours?"),
        ("loops: {repaet: {}}", "1:9: loops.repaet is not a setting; did you mean loops.repeat?"),
        ("repeat: {warning: 3}", "1:1: repeat is not a setting; did you mean loops.repeat?"),
        ("windows: {qqqq: 1}",
         f"1:11: windows.qqqq is not a setting; windows has {', '.join(WindowRules.model_fields)}."),
        ("5: x", f"1:1: 5 is not a setting; the file has {', '.join(Rules.model_fields)}."),
        ("windows: {<<: {grace: 1s}}",
         f"1:11: windows.<< is not a setting; windows has {', '.join(WindowRules.model_fields)}."),
        ("windows: 4", "1:10: windows is the value 4; it is to hold settings such as `length:`, a line each."),
        ("windows: [grace]", "1:10: windows is a list; it is to hold settings such as `length:`, a line each."),
        ("- a", "1:1: the file holds a list; it is to hold sections such as `loops:`, a line each."),
        ("hello", "1:1: the file holds the value 'hello'; it is to hold sections such as `loops:`, a line each."),
        ("windows: {grace: 1s, grace: 2s}", "1:22: windows.grace stands here again; it is set in line 1."),
        ("windows: {grace: 1s}\nwindows: {idle: 5s}", "2:1: windows stands here again; it is set in line 1."),
        ("? [a]\n: 1", "1:3: a key is a name, not a list or a mapping."),
        ("loops:\n  repeat:\n    warning: 9", "3:5: loops.repeat: warning (9) comes before critical (4), or with it."),
    ],
)  # fmt: skip
def test_keys_and_shapes(content: str, expected: str) -> None:
    assert [f"rules.yaml:{expected}"] == mistakes(content)


# -- printing ----------------------------------------------------------------------------------------


def test_every_setting_has_a_sentence_and_a_safe_default() -> None:
    for one in settings(Rules):
        assert one.field.description, f"{one.name} has no description"
        assert one.wanted or isinstance(one.default, list | tuple | dict), f"nobody can say what {one.name} must be"
    for section in (Rules, *sections(Rules).values()):
        for name in sections(section):
            assert section.model_fields[name].description, f"{section.__name__}.{name} has no description"


def test_the_defaults_as_text() -> None:
    lines = text(Rules()).splitlines()
    at = lines.index("windows:")
    assert [
        "windows:", "  # Length of a window of event time.", "  length: 1m",
        "  # How long after a window's end, by event time, its last events may still come.", "  grace: 10s",
    ] == lines[at : at + 5]  # fmt: skip
    assert max(map(len, lines)) <= 100
    assert not lines[0].startswith("\n")
    # And any YAML reader takes it.
    assert set(Rules.model_fields) == set(yaml.safe_load(text(Rules())))


def test_what_is_not_at_its_default_says_so() -> None:
    lines = text(rules("windows: {length: 90s, grace: 0}")).splitlines()
    assert "  length: 90s  # default: 1m" in lines
    assert "  grace: 0s  # default: 10s" in lines


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    """Any rules that hold: each setting within its own bounds; sections that refuse the whole are left as they are."""
    found: dict[str, Any] = {}
    for name, section in sections(Rules).items():
        try:
            found[name] = draw(_section(section))
        except ValueError:
            continue
    return Rules(**found)


def _section(section: Any) -> st.SearchStrategy[Any]:
    inner = sections(section)
    own = {one.path[-1]: _value(one) for one in settings(section) if one.path[0] not in inner}
    nested = {name: _section(one) for name, one in inner.items()}
    return st.fixed_dictionaries({}, optional={**own, **nested}).map(lambda given: section(**given))


def _value(setting: Setting) -> st.SearchStrategy[Any]:
    bounds = {type(one): one for one in setting.field.metadata}
    least = bounds[Ge].ge if Ge in bounds else bounds[Gt].gt if Gt in bounds else 0
    most = bounds[Le].le if Le in bounds else bounds[Lt].lt if Lt in bounds else least + 1_000_000_000
    open_ = {"exclude_min": Gt in bounds, "exclude_max": Lt in bounds}
    annotation = setting.field.annotation
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    simple = {
        bool: st.booleans(), int: st.integers(least + (Gt in bounds), most - (Lt in bounds)),
        float: st.floats(least, most, **open_), str: st.text(),
    }  # fmt: skip
    kinds = [one for one in get_args(annotation) if one in simple] or [annotation]
    if kinds[0] in simple and get_origin(annotation) not in (list, tuple, set, frozenset, dict):
        some = simple[kinds[0]]
        return st.none() | some if setting.may_be_empty else some
    return st.just(setting.default)


@given(some_rules())
def test_what_is_printed_reads_as_the_same_rules(one: Rules) -> None:
    assert one == parse(text(one).encode(), "printed")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_more_than_rules_or_sentences(data: bytes) -> None:
    try:
        found = parse(data, "it")
    except SettingsError as error:
        assert error.sentences
        assert all(one.startswith("it:") for one in error.sentences)
    else:
        assert isinstance(found, Rules)
