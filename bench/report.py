"""Results as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .figures import Figures
from .result import Result

HEADS = {"process": "one worker, its whole job", "sink": "Kafka to ClickHouse", "delay": "from the produce call on"}


def show(result: Result, console: Console) -> None:
    """Prints one part's result."""
    table = Table(title=f"{result.part}: {HEADS.get(result.part, '')}", title_justify="left", show_edge=False)
    table.add_column("figure")
    table.add_column("runwatch", justify="right")
    for name in result.peers:
        table.add_column(name, justify="right")
    columns = [result.figures, *result.peers.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        if name.endswith(("_min", "_max")) and name[:-4] in result.figures:
            continue  # told with the median
        table.add_row(name, *(_cell(column, name) for column in columns))
    console.print(table)
    for problem in result.problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    console.print()


def show_machine(result: Result, console: Console) -> None:
    """Prints what was measured on."""
    about = result.machine
    console.print(
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, "
        f"Python {about['python']}, Kafka {about['kafka']}"
    )
    console.print(", ".join(f"{name} {value}" for name, value in list(about.items())[6:]), style="dim")


def _cell(column: Figures, name: str) -> str:
    if name not in column:
        return ""
    text = f"{column[name]:,}"
    low, high = column.get(f"{name}_min"), column.get(f"{name}_max")
    return text if low is None or high is None else f"{text} ({low:,} to {high:,})"
