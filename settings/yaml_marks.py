"""YAML as plain values, each with the place where it stands; what is wrong with it, with the place as well.

Scalars are read as YAML 1.2's core schema has them, which is what people expect: `1e3` is a number, `010` is ten,
`1:30` and `2026-03-01` are texts, and so are `yes` and `off`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and places in lists, from the root."""

MOST_BYTES = 256 << 10
MOST_VALUES = 10_000
"""Aliases can make a short text a long one."""
MOST_DEPTH = 32


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """What is wrong, and where: line and column from 1."""

    line: int
    column: int
    what: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, from 1."""

    line: int
    column: int

    def mistake(self, what: str) -> Mistake:
        return Mistake(self.line, self.column, what)


def named(path: Path) -> str:
    """A path as people are told of it: `policy.rules[2].action`, where lists count from 0."""
    name = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return name.removeprefix(".")


@dataclass(slots=True)
class Marked:
    """The values of a text, and where each stands."""

    value: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    """Where a key stands, and for the others where the value does."""
    values: dict[Path, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def read(data: bytes) -> Marked:
    """The values of a YAML text of one document; with a mistake in its syntax, that mistake and no value."""
    if len(data) > MOST_BYTES:
        return _refused(Place(1, 1), f"the file is larger than {MOST_BYTES >> 10} KiB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _refused(Place(1, 1), "the file is UTF-16 text; save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        return _refused(_at(before, len(before)), f"the byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8")
    try:
        root = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _refused(Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1), _told(error))
    except yaml.reader.ReaderError as error:
        # Newer typings lack what the class has.
        place = _at(text, error.position)
        return _refused(place, f"the character {chr(error.character)!r} is not allowed in YAML")
    except RecursionError:
        return _refused(Place(1, 1), "brackets are nested too deeply")
    marked = Marked()
    if root is not None:
        try:
            marked.value = _Walk(marked).value(root, ())
        except _TooMuch as error:
            return _refused(_place(error.node), error.what)
    return marked


class _Loader(yaml.SafeLoader):
    """Finds out what a scalar is by the core schema alone."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  # so it is in PyYAML


_CORE = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
)


def know_core(reader_or_writer: Any) -> None:
    """Has a class of PyYAML's know what the core schema takes a scalar for, beside what it knows already."""
    for tag, pattern, first in _CORE:
        reader_or_writer.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), ["" if one == "\0" else one for one in first]
        )


know_core(_Loader)


class _TooMuch(Exception):
    def __init__(self, node: Any, what: str) -> None:
        super().__init__(what)
        self.node = node
        self.what = what


class _Walk:
    """Nodes → values. Aliases are followed, within bounds."""

    def __init__(self, marked: Marked) -> None:
        self._marked = marked
        self._left = MOST_VALUES

    def value(self, node: Any, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch(node, f"there are more than {MOST_VALUES:,} values")
        if len(path) > MOST_DEPTH:
            raise _TooMuch(node, "values are nested too deeply")
        self._marked.values.setdefault(path, _place(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(one, (*path, key)) for key, one in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*path, at)) for at, one in enumerate(node.value)]
        return self._scalar(node)

    def _entries(self, node: Any, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._marked.mistakes.append(place.mistake("a key is a name, not a list or a mapping"))
                continue
            key = str(key_node.value)
            name = named((*path, key))
            if key in seen:
                self._marked.mistakes.append(place.mistake(f"{name} stands here again; it is set in line {seen[key]}"))
                continue
            seen[key] = place.line
            self._marked.keys[(*path, key)] = place
            yield key, value_node

    def _scalar(self, node: Any) -> Any:
        text: str = node.value
        kind = node.tag.rpartition(":")[2]
        try:
            return _VALUES[kind](text)
        except KeyError:
            what = f"the tag {node.tag} is not known here; leave it out"
        except ValueError:
            what = f"{text[:40]!r} is no {kind}; leave the tag out"
        self._marked.mistakes.append(_place(node).mistake(what))
        return text


def _int(text: str) -> int | float:
    if text[:2] in ("0x", "0o"):
        return int(text, 0)
    # Python refuses to read longer ones, since they take it long.
    return int(text) if len(text) <= 1000 else float("inf")


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_VALUES: Mapping[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
    "str": str,
}


def _refused(place: Place, what: str) -> Marked:
    return Marked(mistakes=[place.mistake(what)])


def _place(node: Any) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _at(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _told(error: Any) -> str:
    """A mistake in the syntax, in our words where we know what people mean by it."""
    problem = error.problem or error.context or "this is not YAML"
    if "'\\t'" in problem:
        return "a tab stands here; indent by spaces"
    if problem.startswith("mapping values are not allowed"):
        return "a second `:`, or a line that is indented deeper than the one above; put texts with `:` in quotes"
    if "single document" in (error.context or ""):
        return "`---` begins a second document; one is all that is read"
    if "scanning an alias" in (error.context or ""):
        return "`*` begins an alias in YAML; put a text that begins with it in quotes"
    if "undefined alias" in problem:
        return problem.removeprefix("found ").replace("undefined alias", "there is no anchor") + " for this alias"
    if "end of stream" in problem or "<stream end>" in problem:
        begun = error.context_mark
        where = f" that line {begun.line + 1} begins" if begun else ""
        return f"the file ends within something{where}: a quote or a bracket is not closed"
    if "cannot start any token" in problem:
        return f"{problem.removeprefix('found ').split(' that ')[0]} cannot begin a value; put it in quotes"
    if "expected <block end>" in problem:
        return "this line is not indented like those above it"
    return f"this is not YAML ({problem})"
