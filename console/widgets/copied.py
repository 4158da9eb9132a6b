"""Text that copies something when it is clicked, or by Enter."""

from __future__ import annotations

from nicegui import ui


def copied(whole: str, text: str, classes: str = "") -> None:
    """`text`, which copies `whole`."""

    def copy() -> None:
        ui.clipboard.write(whole)
        ui.notify("Copied.")

    label = ui.label(text).classes(f"rw-mono rw-copy {classes}").props('tabindex=0 role=button title="Copy"')
    label.on("click", copy).on("keydown.enter", copy)
