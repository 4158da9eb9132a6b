"""Results as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .figures import Figures
from .result import Result, Sheet

HEADS = {
    "process": "one worker, its whole job",
    "sink": "Kafka to ClickHouse",
    "delay": "from the produce call on",
    "control": "from a critical loop to the next call being refused",
    "outage": "catching up after ClickHouse was away",
    "recovery": "from a worker's kill to detection working again",
    "sdk": "what a tool call costs an agent",
    "store": "the console's questions of a month",
    "detection": "what is seen, and what is said wrongly",
}


def show(result: Result, console: Console) -> None:
    """Prints one part's result."""
    table = Table(title=f"{result.part}: {HEADS.get(result.part, '')}", title_justify="left", show_edge=False)
    table.add_column("figure")
    table.add_column("runwatch", justify="right")
    # Where there are sheets, what stands beside peers stands in one of them.
    peers = {} if result.sheets else result.peers
    for name in peers:
        table.add_column(name, justify="right")
    columns = [result.figures, *peers.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        if name.endswith(("_min", "_max")) and name[:-4] in result.figures:
            continue  # told with the median
        if result.sheets and any(name in peer for peer in result.peers.values()):
            continue
        table.add_row(name, *(_cell(column, name) for column in columns))
    for sheet in result.sheets:
        _show_sheet(sheet, console)
    console.print(table)
    for note in result.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    for problem in result.problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    console.print()


def _show_sheet(sheet: Sheet, console: Console) -> None:
    table = Table(title=sheet.name, title_justify="left", show_edge=False)
    for name in sheet.shown:
        table.add_column(name, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(_text(row[name]) for name in sheet.shown))
    console.print(table)
    console.print()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else f"{value:,g}" if isinstance(value, float) else str(value)


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
