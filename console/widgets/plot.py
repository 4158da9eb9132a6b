"""A chart on a page, updated in place."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from .chart import Figure, Key


class Plot:
    """A chart with its title and legend. What has not changed is not sent again."""

    def __init__(
        self,
        title: str,
        figure: Figure,
        *,
        height_px: int = 180,
        testid: str = "chart",
        on_key: Callable[[int], None] | None = None,
    ) -> None:
        """Where the page is being built. `on_key` is told which line of the legend was clicked."""
        self._title = title
        self._figure = figure
        self._on_key = on_key
        with ui.column().classes("w-full gap-1 no-wrap").style("min-width: 0"):
            with ui.row().classes("w-full items-baseline gap-x-3 gap-y-0"):
                if title:
                    ui.label(title).classes("text-sm font-medium")
                self._legend = ui.row().classes("items-center gap-x-3 gap-y-0")
            self._chart = (
                ui.echart(figure.options, renderer="svg")
                .classes("w-full")
                # Taller where the page is very wide: a line of 800 by 160 pixels shows no more than one of 400.
                .style(f"height: max({height_px}px, {height_px / 25:.1f}vw)")
                .props(f"role=img data-testid={testid}")
            )
        self._describe()
        self._draw_keys()

    def show(self, figure: Figure) -> None:
        """Shows what there is now."""
        before, self._figure = self._figure, figure
        if figure.options != before.options:
            self._chart.options.clear()
            self._chart.options.update(figure.options)
            self._chart.update()
        if figure.text != before.text:
            self._describe()
        if figure.keys != before.keys:
            self._draw_keys()

    def _describe(self) -> None:
        self._chart.props["aria-label"] = f"{self._title}. {self._figure.text}" if self._title else self._figure.text

    def _draw_keys(self) -> None:
        self._legend.clear()
        with self._legend:
            for at, key in enumerate(self._figure.keys):
                self._key(at, key)

    def _key(self, at: int, key: Key) -> None:
        with ui.row().classes("items-center gap-1 no-wrap text-xs") as row:
            ui.element("span").style(f"width: 10px; height: 3px; border-radius: 2px; background: {key.color}")
            if key.name:
                ui.label(key.name).classes("rw-dim rw-key-name")
            ui.label(key.last)
        if self._on_key is not None:
            on_key = self._on_key
            row.classes("cursor-pointer").on("click", lambda: on_key(at))


def spark_line(figure: Figure, height_px: int = 34) -> Plot:
    """A bare line; the tile around it says the same in words."""
    plot = Plot("", figure, height_px=height_px, testid="spark")
    plot._chart.props["aria-hidden"] = "true"
    return plot
