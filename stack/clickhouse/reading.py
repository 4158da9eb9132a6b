"""What the reading user may ask, told from the engine's own parse of its statement.

Three fences, each of which would do alone against most of what comes:

1. the engine's rights (roles.py): SELECT and SHOW on one database, no other database, no source beyond it;
2. ``readonly = 1``, after the limits: no statement and no URL can lift them;
3. what this module does, since the engine lets anybody read `system` and call a few functions that reach the machine
   (`file`), a service (`ai…`) or the engine's inside. It goes by lists of what is allowed wherever there can be one:
   kinds of statements, nodes of the parsed tree, table functions, and the engine's own categories of functions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .errors import ClickHouseError, raised

STATEMENT_BYTES: Final = 64 << 10


class Limit(NamedTuple):
    """A setting: what holds where the request names none, and the highest value that it may name."""

    usual: int
    highest: int


LIMITS: Final[Mapping[str, Limit]] = {
    "max_execution_time": Limit(15, 60),
    "max_memory_usage": Limit(512 << 20, 512 << 20),
    "max_rows_to_read": Limit(2_000_000_000, 2_000_000_000),
    "max_result_rows": Limit(1_000_001, 1_000_001),
    "max_result_bytes": Limit(512 << 20, 512 << 20),
}
FIXED: Final[Mapping[str, str]] = {
    # A result that is too long is cut after the block in which it became so, hence small blocks.
    "result_overflow_mode": "break",
    "max_block_size": "8192",
    # The rest is for what has to be stored meanwhile.
    "max_threads": str(max(1, (os.cpu_count() or 2) // 2)),
    "read_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": "0",
    "max_bytes_before_external_group_by": str(256 << 20),
    "max_bytes_before_external_sort": str(256 << 20),
    "max_temporary_data_on_disk_size_for_query": str(2 << 30),
}

_TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateseries", "generate_series", "values",
     "sqlstandardvalues", "view", "null"}
)  # fmt: skip
_CATEGORIES: Final = frozenset(
    {"Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times",
     "Distance", "Encoding", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map",
     "Mathematical", "Null", "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String",
     "String Replacement", "String Search", "String Splitting", "Time Window", "Tuple", "Type Conversion", "URL",
     "UUID", "Window Functions"}
)  # fmt: skip
# Of the other categories, by name.
_FUNCTIONS: Final = frozenset(
    {"_cast", "bar", "bytesize", "casewithexpression", "countdigits", "currentdatabase", "defaultvalueofargumenttype",
     "defaultvalueoftypename", "digits", "errorcodetoname", "finalizeaggregation", "formatreadabledecimalsize",
     "formatreadablequantity", "formatreadablesize", "formatreadabletimedelta", "identity", "ignore", "isconstant",
     "isdecimaloverflow", "lowcardinalityindices", "lowcardinalitykeys", "materialize", "neighbor",
     "parsereadablesize", "parsereadablesizeornull", "parsereadablesizeorzero", "parsetimedelta",
     "rownumberinallblocks", "rownumberinblock", "runningaccumulate", "runningdifference",
     "runningdifferencestartingwithfirstvalue", "seriesdecomposestl", "seriesoutliersdetecttukey", "tocolumntypename",
     "totypename", "transform", "varianttype", "variantelement", "version"}
)  # fmt: skip
# Of the allowed categories, those that are not: formats read schemas, and this one the engine's stack.
_NOT: Final = frozenset({"formatrow", "formatrownonewline", "flamegraph"})
_OWN_FUNCTIONS: Final = "runwatch_"

# Nodes that show all that is below them. Of others, such as `APPLY (function)`, the tree hides a part.
_NODES: Final = frozenset(
    {"SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "ExpressionList", "WithElement", "Subquery",
     "TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression", "TableJoin", "ArrayJoin", "SampleRatio",
     "Literal", "Identifier", "TableIdentifier", "Function", "Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher",
     "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher", "ColumnsTransformerList",
     "ColumnsExceptTransformer", "ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement",
     "OrderByElement", "InterpolateElement", "WindowDefinition", "WindowListElement", "Set", "DescribeQuery",
     "Explain"}
)  # fmt: skip
_ROOTS: Final = frozenset({"SelectWithUnionQuery", "DescribeQuery", "Explain"})
_EXPLAINS: Final = frozenset({"", "AST", "SYNTAX", "QUERY TREE", "PLAN", "PIPELINE", "ESTIMATE"})
_LINE: Final = re.compile(r"( *)(\S+)(?: (.*?))??(?: \(alias .*?\))?(?: \(children \d+\))?$")
_NAME: Final = r"(?:[A-Za-z_]\w*|`[^`\\]+`|\"[^\"\\]+\")"
# What SHOW looks for, the tree does not tell; so its text must be of one of these forms.
_SHOW: Final = re.compile(
    rf"""\s*SHOW\s+(?:
        (?:FULL\s+)?TABLES (?:\s+(?:FROM|IN)\s+(?P<tables>{_NAME}))?
      | (?:FULL\s+)?COLUMNS\s+(?:FROM|IN)\s+(?:(?P<columns>{_NAME})\.)?{_NAME}
      | CREATE\s+(?:TABLE\s+|VIEW\s+)?(?:(?P<create>{_NAME})\.)?{_NAME}
    )(?:\s+(?:NOT\s+)?I?LIKE\s+'[^'\\]*')?(?:\s+LIMIT\s+\d+)?(?:\s+FORMAT\s+\w+)?[\s;]*""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Known:
    """What the engine itself offers, by lower-case name: each function's category, and the table functions."""

    categories: Mapping[str, str]
    table_functions: frozenset[str]

    @classmethod
    def read(cls, functions: Iterable[Sequence[str]], table_functions: Iterable[str]) -> Known:
        """From rows (name, alias_to, category) of system.functions, and names of system.table_functions."""
        rows = [tuple(row) for row in functions]
        by_name = {name: category for name, _, category in rows}
        categories = {name.lower(): category or by_name.get(alias, "") for name, alias, category in rows}
        return cls(categories, frozenset(name.lower() for name in table_functions))


class Reading:
    """Judges statements of the reading user; `database` is the one that it may read."""

    def __init__(self, database: str, known: Known, user_defined: Callable[[], frozenset[str]] = frozenset) -> None:
        """`user_defined` tells the lower-case names of functions that somebody made, as of now."""
        self.database = database
        self._known = known
        self._user_defined = user_defined
        self._refused = frozenset(name for name in known.categories if not self._allowed(name))

    def settings(self, asked: Mapping[str, str]) -> dict[str, str]:
        """All settings of a request that asks for `asked`; a 4xx error for one that is not to be had."""
        values = {name: limit.usual for name, limit in LIMITS.items()}
        for name, text in asked.items():
            if name not in LIMITS:
                raise raised(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode")
            highest = LIMITS[name].highest
            if not text.isdecimal() or not 0 < int(text) <= highest:
                raise raised(452, "SETTING_CONSTRAINT_VIOLATION", f"Setting {name} is a number from 1 to {highest}")
            values[name] = int(text)
        return {**{name: str(value) for name, value in values.items()}, **FIXED}

    def check_show(self, sql: str) -> bool:
        """Whether `sql` is a SHOW that is allowed; an error if it is one that is not; False if it is none."""
        if not re.match(r"\s*SHOW\b", sql, re.IGNORECASE):
            return False
        match = _SHOW.fullmatch(sql)
        if match is None:
            raise _refused("of SHOW there are SHOW TABLES, SHOW COLUMNS FROM and SHOW CREATE VIEW")
        for name in match.groupdict().values():
            if name is not None and name.strip('`"') != self.database:
                raise self._elsewhere(name.strip('`"'))
        return True

    def check_tree(self, tree: str) -> None:
        """An error unless everything in `tree`, what EXPLAIN AST says of the statement, is allowed."""
        made = frozenset(name for name in self._user_defined() if not name.startswith(_OWN_FUNCTIONS))
        # Per level, what stands there: the table functions are the functions right below a TableExpression.
        path: list[str] = []
        for number, line in enumerate(tree.rstrip("\n").split("\n")):
            match = _LINE.fullmatch(line)
            if match is None or match[2] not in _NODES:
                raise _refused(f"it has a part that is not served to this user ({_shown(line)})")
            depth, node, text = len(match[1]), match[2], match[3] or ""
            if number == 0 and node not in _ROOTS:
                raise _refused("it may be a SELECT, WITH, SHOW, DESCRIBE or EXPLAIN")
            del path[depth:]
            parent = path[-1] if path else ""
            path.append(node)
            if node == "Function":
                self._check_function(text, parent == "TableExpression", made)
            elif node in ("TableIdentifier", "Identifier"):
                self._check_name(text, node == "TableIdentifier", made)
            elif node == "Literal" and depth <= 1 and parent != "ExpressionList":
                raise _refused("INTO OUTFILE is not served to this user")
            elif node == "Set" and (depth > 1 or parent != "Explain"):
                # In a sub-query the engine takes them without a look at its own constraints.
                raise raised(164, "READONLY", "SETTINGS are not served to this user: its limits stand")
            elif node == "Explain" and text.removeprefix("EXPLAIN").strip() not in _EXPLAINS:
                raise _refused(f"{text} is not served to this user")

    def _check_function(self, text: str, is_table: bool, made: frozenset[str]) -> None:
        name = text.split(" (", 1)[0].lower()
        if is_table and name not in _TABLE_FUNCTIONS:
            raise _refused(f"the table function {_shown(text)} is not served to this user")
        # `x IN f()` takes table functions too, and shows them as any other function.
        is_other_table = name in self._known.table_functions - _TABLE_FUNCTIONS
        is_known = name in self._known.categories
        if not is_table and (name in self._refused or (not is_known and (is_other_table or name in made))):
            raise _refused(f"the function {_shown(text)} is not served to this user")

    def _check_name(self, text: str, is_table: bool, made: frozenset[str]) -> None:
        first, dot, _ = text.partition(".")
        if first.lower() in ("system", "information_schema") or (is_table and dot and first != self.database):
            raise self._elsewhere(first)
        # A function's bare name is a function where one is expected: arrayMap(file, …).
        if not is_table and not dot and (first.lower() in self._refused or first.lower() in made):
            raise _refused(f"{_shown(text)} is the name of a function that is not served to this user")

    def _allowed(self, name: str) -> bool:
        return name not in _NOT and (self._known.categories[name] in _CATEGORIES or name in _FUNCTIONS)

    def _elsewhere(self, name: str) -> ClickHouseError:
        return _refused(f"this user may read the database {_shown(self.database)} alone, and not {_shown(name)}")


def _shown(text: str) -> str:
    return text.strip().encode("unicode_escape").decode()[:80]


def _refused(why: str) -> ClickHouseError:
    return raised(497, "ACCESS_DENIED", f"Not enough privileges: {why}")
