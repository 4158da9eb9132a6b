"""Settings from a YAML file: what it sets over the defaults, and every mistake in it as a sentence with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..schemas.errors import RunwatchError
from . import yaml_marks
from .section import Section, WrongAt
from .setting import Held, Setting, Shape, fields_of, find, held, may_be_empty, nearest, sections, shown
from .yaml_marks import Marked, Mistake, named

MASK = "**********"
"""What is printed of a secret."""
LARGEST = 2**53
"""Whole numbers beyond it are not exact in JSON, and in no setting of use."""

S = TypeVar("S", bound=Section)


class SettingsError(RunwatchError):
    """A file of settings that does not do; `sentences` says of each mistake what, where, and what would do."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = tuple(sentences)


def load(section: type[S], path: str | Path | None, called: str, prepare: Callable[[Marked], None] | None = None) -> S:
    """The settings of the file; the defaults where there is none. Raises `SettingsError`.

    `called`: what the file is to people, such as "rules file". `prepare` may put the file's values elsewhere.
    """
    if path is None:
        return section()
    try:
        # One byte more than may be, so that a file without end is told from a small one.
        with Path(path).open("rb") as file:
            data = file.read(yaml_marks.MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError([f"The {called} {path} cannot be read: {error.strerror or error}."]) from error
    return parse(section, data, str(path), prepare)


def parse(section: type[S], data: bytes, source: str, prepare: Callable[[Marked], None] | None = None) -> S:
    """The settings of a file's bytes; `source` is its name, for what is told. Raises `SettingsError` with all
    mistakes."""
    marked = yaml_marks.read(data)
    if prepare is not None:
        prepare(marked)
    found = _Check(marked, section).checked()
    if marked.mistakes or not isinstance(found, section):
        mistakes = sorted(set(marked.mistakes))
        raise SettingsError([f"{source}:{one.line}:{one.column}: {_ended(one.what)}" for one in mistakes])
    return found


class _Check:
    """A file's values against a section; mistakes are noted beside the values."""

    def __init__(self, marked: Marked, root: type[Section]) -> None:
        self._marked = marked
        self._root = root
        self._spoilt: set[yaml_marks.Path] = set()
        """What was left out for a mistake: it need not be told again that it is not there."""

    def checked(self) -> Section | None:
        known = self._section(self._root, self._marked.value, ())
        try:
            # As JSON, since of Python's own kinds pydantic takes `true` for 1, or else, if strict, no list for a tuple.
            return self._root.model_validate_json(json.dumps(known), strict=True)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                loc = tuple(one["loc"])
                if not (self._is_spoilt(loc) or (one["type"] == "value_error" and self._holds_spoilt(loc))):
                    self._marked.mistakes.append(self._of_pydantic(one, loc))
            return None

    def _is_spoilt(self, loc: yaml_marks.Path) -> bool:
        return any(loc[:end] in self._spoilt for end in range(1, len(loc) + 1))

    def _holds_spoilt(self, loc: yaml_marks.Path) -> bool:
        """Whether something was left out of it, so that its own checks may miss just that."""
        return any(path[: len(loc)] == loc for path in self._spoilt)

    def _section(self, section: type[Section], value: Any, path: yaml_marks.Path) -> dict[str, Any]:
        """What of a section's values can be checked further; mistakes in its keys are noted."""
        if value is None:  # all that was in it is commented out
            return {}
        fields = fields_of(section)
        if not isinstance(value, dict):
            self._misshapen(value, path, f"it is to hold {_such_as(section)}, a line each")
            return {}
        known: dict[str, Any] = {}
        for key, one in value.items():
            here = (*path, key)
            if key not in fields:
                what = f"{named(here)} is not a setting; {nearest(here, section, self._root)}"
                self._marked.mistakes.append(self._marked.keys[here].mistake(what))
            elif inner := held(fields[key]):
                if one is not None or inner.shape is Shape.ONE:
                    known[key] = self._held(inner, fields[key], one, here)
            elif wrong := _plainly_wrong(Setting(here, fields[key]), one):
                self._marked.mistakes.append(self._marked.values[here].mistake(wrong))
                self._spoilt.add(here)
            else:
                known[key] = one
        return known

    def _held(self, inner: Held, field: FieldInfo, value: Any, path: yaml_marks.Path) -> Any:
        """The same of the sections that a field holds."""
        if inner.shape is Shape.ONE:
            return None if value is None and may_be_empty(field) else self._section(inner.section, value, path)
        if inner.shape is Shape.MANY:
            if isinstance(value, list):
                return [self._section(inner.section, one, (*path, at)) for at, one in enumerate(value)]
            self._misshapen(value, path, f"it is to be a list, each entry with {_such_as(inner.section)}")
            return []
        if isinstance(value, dict):
            return {key: self._section(inner.section, one, (*path, key)) for key, one in value.items()}
        self._misshapen(value, path, f"it is to hold names, each with {_such_as(inner.section)}")
        return {}

    def _misshapen(self, value: Any, path: yaml_marks.Path, wanted: str) -> None:
        what = f"{named(path)} is {_kind(value)}" if path else f"the file holds {_kind(value)}"
        self._marked.mistakes.append(self._marked.values[path].mistake(f"{what}; {wanted}"))
        self._spoilt.add(path)

    def _of_pydantic(self, error: Any, loc: yaml_marks.Path) -> Mistake:
        """What pydantic says, in our words where we know better."""
        values = self._marked.values
        place = next((values[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in values), None)
        place = place or yaml_marks.Place(1, 1)
        name = named(loc)
        setting = find(self._root, loc)
        wanted = f"; it must be {setting.wanted}" if setting is not None and setting.wanted else ""
        if error["type"] == "missing":
            return place.mistake(f"{name} is missing{wanted}")
        given = "not shown, since it is a secret" if setting is not None and setting.is_secret else self._given(error)
        if error["type"] == "value_error":
            cause = error["ctx"]["error"]
            own = str(cause)
            if isinstance(cause, WrongAt):
                return values.get(cause.path, place).mistake(own)
            if setting is None:
                return place.mistake(own if not name or own.startswith(name) else f"{name}: {own}")
            if not (setting.is_duration or setting.is_seconds):
                return place.mistake(f"{name} is {given}: {own}")
        of_text = error["type"].startswith("string_") and error["type"] != "string_type"
        if wanted and not of_text:
            return place.mistake(f"{name} is {given}{wanted}")
        told = error["msg"]
        return place.mistake(f"{name} is {given}: {told[:1].lower()}{told[1:]}")

    def _given(self, error: Any) -> str:
        """The value as it stands in the file: validators may have made something else of it."""
        value = self._marked.value
        for step in error["loc"]:
            try:
                value = value[step]
            except (LookupError, TypeError):
                return shown(error["input"])
        return shown(value)


def _plainly_wrong(setting: Setting, value: Any) -> str | None:
    """What pydantic would not say, or not as people understand it."""
    if value is None and not setting.may_be_empty:
        return f"{setting.name} has no value; give it one, or leave the line out"
    if setting.is_secret and (value == MASK or (isinstance(value, dict) and MASK in value.values())):
        return f"{setting.name} is masked, as it was printed; put the secret here"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not (math.isfinite(value) and abs(value) <= LARGEST):
        return f"{setting.name} is {shown(value)}; it must be {setting.wanted or 'a smaller number'}"
    if setting.is_duration and value != 0:
        return f"{setting.name} is {shown(value)} without a unit; it must be {setting.wanted}"
    return None


def _such_as(section: type[Section]) -> str:
    return f"{'sections' if sections(section) else 'settings'} such as `{next(iter(fields_of(section)))}:`"


def _kind(value: Any) -> str:
    return shown(value) if isinstance(value, dict | list) else f"the value {shown(value)}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?")) else sentence + "."
