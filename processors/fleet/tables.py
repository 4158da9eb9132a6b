"""Tables of what was counted: they take what comes in, add up rows of the same key, and stay bounded.

What is new is kept beside what was added up, until there is as much of it: each row then takes part in few additions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from .parts import SUMS
from .sample import SAMPLE


class Table:
    """Counts by key; `SUMS` that are never given are 0."""

    def __init__(self, names: Mapping[str, Any], loudest: pl.Expr, most: int) -> None:
        """`names`: what a key stands for beside its window, with types. Beyond `most` rows, half of them are forgotten:
        the least `loudest`."""
        self._names = tuple(names)
        self._loudest = loudest
        self._most = most
        sums = dict.fromkeys(SUMS, pl.Int64)
        self._table = pl.DataFrame(
            schema={"key": pl.UInt64, "window": pl.Int64, **names, **sums, "error": pl.String, "changed": pl.Boolean}
        )
        self._new: list[pl.DataFrame] = []

    def __len__(self) -> int:
        return self._table.height + sum(one.height for one in self._new)

    def add(self, rows: pl.DataFrame) -> None:
        """Adds rows: `key`, `window`, the names, and some of `SUMS` and `error`."""
        self._new.append(rows)
        if sum(one.height for one in self._new) > self._table.height:
            self.frame()

    def frame(self) -> pl.DataFrame:
        """All rows, each key once. `changed`: since it was sent."""
        if self._new:
            rows = pl.concat([self._table, *self._new], how="diagonal").group_by("key")
            self._new.clear()
            self._table = rows.agg(
                pl.col("window", *self._names).first(),
                pl.col(*SUMS).sum(),
                # Any of its errors, but the same in any order.
                pl.col("error").min(),
                pl.col("changed").fill_null(True).max(),
            )
            if self._table.height > self._most:
                order = (self._loudest, "calls", "window", "key")
                self._table = self._table.sort(*order, descending=True).head(self._most // 2)
        return self._table

    def sent(self, windows: Collection[int]) -> None:
        """Marks these windows' rows as sent."""
        changed = pl.col("changed") & ~pl.col("window").is_in(windows)
        self._table = self.frame().with_columns(changed=changed)


class RunSets:
    """Sets of runs (columns `set`, `run`, `agent`, `run_id`), of each the `SAMPLE` runs with the smallest hashes."""

    def __init__(self, most: int) -> None:
        """Beyond `most` rows, the smallest sets are forgotten."""
        self._most = most
        self._rows = pl.DataFrame(schema={"run": pl.Int64, "agent": pl.String, "run_id": pl.String, "set": pl.UInt64})
        self._new: list[pl.DataFrame] = []

    def __len__(self) -> int:
        return self._rows.height + sum(one.height for one in self._new)

    def add(self, rows: pl.DataFrame) -> None:
        """Adds runs to sets, where they are not in there yet."""
        self._new.append(rows)
        if sum(one.height for one in self._new) > self._rows.height:
            self.frame()

    def frame(self) -> pl.DataFrame:
        """The runs of all sets, each once."""
        if self._new:
            rows = pl.concat([self._rows, *self._new]).unique(["set", "run"], keep="first")
            self._new.clear()
            sizes = rows.group_by("set").agg(size=pl.len())
            if (sizes["size"] > SAMPLE).any():
                rows = rows.sort("set", "run").filter(pl.int_range(pl.len()).over("set") < SAMPLE)
            if rows.height > self._most:
                held = sizes.sort("size", "set", descending=True).with_columns(pl.col("size").clip(upper_bound=SAMPLE))
                rows = rows.join(held.filter(pl.col("size").cum_sum() <= self._most // 2), on="set", how="semi")
            self._rows = rows
        return self._rows


def first_of(rows: pl.DataFrame, order: Collection[str | pl.Expr], most: int) -> pl.DataFrame:
    """The `most` first rows of each window, those of them that changed. Equals by their key, alike everywhere."""
    ranked = rows.sort(*order, "key", descending=True)
    return ranked.filter(pl.int_range(pl.len()).over("window") < most).filter("changed")
