"""Rules from a YAML file: what it sets over the defaults, and every mistake in it as a sentence with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..schemas.errors import RunwatchError
from . import yaml_marks
from .rules import Rules
from .section import Section
from .settings import Setting, fields_of, nearest, sections, settings, shown
from .yaml_marks import Marked, Mistake

LARGEST = 2**53
"""Whole numbers beyond it are not exact in JSON, and in no rule of use."""


class RulesError(RunwatchError):
    """A rules file that does not do; `sentences` says of each mistake what, where, and what would do."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = tuple(sentences)


def load(path: str | Path | None) -> Rules:
    """The rules of the file; the defaults where there is none. Raises `RulesError`."""
    if path is None:
        return Rules()
    try:
        # One byte more than may be, so that a file without end is told from a small one.
        with Path(path).open("rb") as file:
            data = file.read(yaml_marks.MOST_BYTES + 1)
    except OSError as error:
        raise RulesError([f"The rules file {path} cannot be read: {error.strerror or error}."]) from error
    return parse(data, str(path))


def parse(data: bytes, source: str) -> Rules:
    """The rules of a file's bytes; `source` is its name, for what is told. Raises `RulesError` with all mistakes."""
    marked = yaml_marks.read(data)
    rules = _checked(marked)
    if rules is None:
        found = sorted(set(marked.mistakes))
        raise RulesError([f"{source}:{one.line}:{one.column}: {_ended(one.what)}" for one in found])
    return rules


def _checked(marked: Marked) -> Rules | None:
    """The rules, or None where there are mistakes, which are then noted."""
    known = _known(marked, Rules, marked.value, ())
    rules = None
    try:
        # As JSON, since of Python's own kinds pydantic takes `true` for 1, or else, if strict, no list for a tuple.
        rules = Rules.model_validate_json(json.dumps(known), strict=True)
    except ValidationError as error:
        by_path = {one.path: one for one in settings()}
        for one in error.errors(include_url=False):
            marked.mistakes.append(_of_pydantic(marked, one, by_path))
    return None if marked.mistakes else rules


def _known(marked: Marked, section: type[Section], value: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """What of a section's values can be checked further; mistakes in its keys are noted."""
    if value is None:  # all that was in it is commented out
        return {}
    inner = sections(section)
    fields = fields_of(section)
    if not isinstance(value, dict):
        what = f"{'.'.join(path)} is {_kind(value)}" if path else f"the file holds {_kind(value)}"
        wanted = f"it is to hold {'sections' if inner else 'settings'} such as `{next(iter(fields))}:`, a line each"
        marked.mistakes.append(marked.values[path].mistake(f"{what}; {wanted}"))
        return {}
    known: dict[str, Any] = {}
    for key, one in value.items():
        here = (*path, key)
        if key in inner:
            known[key] = _known(marked, inner[key], one, here)
        elif key not in fields:
            what = f"{'.'.join(here)} is not a setting; {nearest(here, section)}"
            marked.mistakes.append(marked.keys[here].mistake(what))
        elif wrong := _plainly_wrong(Setting(here, fields[key]), one):
            marked.mistakes.append(marked.values[here].mistake(wrong))
        else:
            known[key] = one
    return known


def _plainly_wrong(setting: Setting, value: Any) -> str | None:
    """What pydantic would not say, or not as people understand it."""
    if value is None and not setting.may_be_empty:
        return f"{setting.name} has no value; give it one, or leave the line out"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not (math.isfinite(value) and abs(value) <= LARGEST):
        return f"{setting.name} is {shown(value)}; it must be {setting.wanted or 'a smaller number'}"
    if setting.is_duration and value != 0:
        return f"{setting.name} is {shown(value)} without a unit; it must be {setting.wanted}"
    return None


def _of_pydantic(marked: Marked, error: Any, by_path: Mapping[tuple[Any, ...], Setting]) -> Mistake:
    """What pydantic says, in our words where we know better."""
    loc = tuple(error["loc"])
    place = next((marked.values[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in marked.values), None)
    place = place or yaml_marks.Place(1, 1)
    name = ".".join(map(str, loc))
    setting = by_path.get(loc)
    if error["type"] == "value_error":
        own = str(error["ctx"]["error"])
        if setting is None:
            return place.mistake(own if not name or own.startswith(name) else f"{name}: {own}")
        if not setting.is_duration:
            return place.mistake(f"{name} is {_given(marked, error)}: {own}")
    if setting is not None and setting.wanted:
        return place.mistake(f"{name} is {_given(marked, error)}; it must be {setting.wanted}")
    told = error["msg"]
    return place.mistake(f"{name} is {_given(marked, error)}: {told[:1].lower()}{told[1:]}")


def _given(marked: Marked, error: Any) -> str:
    """The value as it stands in the file: validators may have made something else of it."""
    value = marked.value
    for step in error["loc"]:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return shown(error["input"])
    return shown(value)


def _kind(value: Any) -> str:
    return shown(value) if isinstance(value, dict | list) else f"the value {shown(value)}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?")) else sentence + "."
