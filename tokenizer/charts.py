"""Dot charts with a row per language, legible from a handful of languages to some two hundred."""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]

ROWS = 60  # of one panel; more go into further panels beside it
_ROW_HEIGHT, _PANEL_WIDTH, _LEAST_WIDTH, _MARGIN = 0.15, 4.0, 6.0, 0.5  # inches
_FONT_SIZE, _TITLE_SIZE = 7.0, 10.0  # points; a row is 10.8
_DPI = 150
# Okabe and Ito's colours, which people with colour-blindness can tell apart, and shapes that print in black and white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")
_SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "cc100",  # else ids of elements are random
    "svg.fonttype": "none",  # text stays text
    "font.family": "DejaVu Sans",
    "font.size": _FONT_SIZE,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


@dataclasses.dataclass(frozen=True)
class DotChart:
    """What is drawn.

    Attributes:
        title: one line above everything.
        axis: label of the horizontal axis, with the unit.
        rows: label of each row, from top to bottom.
        series: name -> a value for each row; None, and on a logarithmic axis what is not positive, gets no dot.
        logarithmic: whether the axis is.
        mark: where to draw a vertical line, or None.
    """

    title: str
    axis: str
    rows: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    logarithmic: bool = True
    mark: float | None = None

    def __post_init__(self) -> None:
        for name, values in self.series.items():
            if len(values) != len(self.rows):
                raise ValueError(f"series {name} has {len(values)} values for {len(self.rows)} rows")

    def place(self, value: float | None) -> float | None:
        """Where a value is drawn, or None."""
        drawn = value is not None and math.isfinite(value) and (value > 0 or not self.logarithmic)
        return value if drawn else None


def draw(chart: DotChart, kind: Format) -> bytes:
    """The chart as a file; the same bytes every time with the same version of matplotlib.

    Args:
        chart: what is drawn; a chart without rows gives empty axes.
        kind: "svg" or "png".
    """
    import matplotlib  # half a second, and most commands draw nothing
    from matplotlib.figure import Figure

    panels = max(1, math.ceil(len(chart.rows) / ROWS))
    rows = max(1, math.ceil(len(chart.rows) / panels))
    height = rows * _ROW_HEIGHT + 3 * _MARGIN
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        parameters: Any = matplotlib.rcParams  # whose keys are typed one by one
        parameters.update(_SETTINGS)
        figure = Figure(figsize=(max(panels * _PANEL_WIDTH, _LEAST_WIDTH), height), dpi=_DPI, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        limits = _limits(chart)
        for number, panel in enumerate(axes):
            _draw_panel(panel, chart, range(number * rows, min((number + 1) * rows, len(chart.rows))), rows, limits)
        figure.supxlabel(chart.axis, fontsize=_FONT_SIZE + 1)
        _draw_heading(figure, axes[0], chart.title)
        written = io.BytesIO()
        nothing = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(written, format=kind, metadata=nothing)
    return written.getvalue()


def _draw_heading(figure: "Figure", panel: "Axes", title: str) -> None:
    """The title, and below it what the dots are if there is a choice; the layout knows no title above a legend."""
    handles, names = panel.get_legend_handles_labels()
    if len(names) < 2:
        figure.suptitle(title, fontsize=_TITLE_SIZE)
        return
    figure.legend(
        handles, names, title=title, title_fontsize=_TITLE_SIZE, loc="outside upper center", ncols=min(len(names), 7),
        frameon=False,
    )  # fmt: skip


def _draw_panel(panel: "Axes", chart: DotChart, rows: range, height: int, limits: tuple[float, float] | None) -> None:
    """Draw some of the rows; all panels have the same height in rows and the same horizontal axis."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if chart.logarithmic:
        narrow = limits is not None and limits[1] < 50 * limits[0]
        panel.set_xscale("log", subs=range(2, 10))
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
        panel.xaxis.set_minor_formatter(NullFormatter())
    if limits:
        panel.set_xlim(*limits)
    panel.set_ylim(height - 0.5, -0.5)
    panel.set_yticks(range(len(rows)), [chart.rows[row] for row in rows])
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.tick_params(axis="y", length=0)
    panel.tick_params(axis="x", top=True, labeltop=True)
    panel.grid(axis="x", color="#dddddd", linewidth=0.5)
    panel.set_axisbelow(True)
    for place in range(0, len(rows), 2):
        panel.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0, linewidth=0)
    if chart.mark is not None:
        panel.axvline(chart.mark, color="#888888", linewidth=0.8)
    for number, (name, values) in enumerate(chart.series.items()):
        places = [(place, chart.place(values[row])) for place, row in enumerate(rows)]
        drawn = [(value, place) for place, value in places if value is not None]
        panel.scatter(
            [value for value, _ in drawn], [place for _, place in drawn], label=name, s=12, alpha=0.85, linewidths=0,
            color=_COLOURS[number % len(_COLOURS)], marker=_SHAPES[number % len(_SHAPES)], zorder=3,
        )  # fmt: skip


def _limits(chart: DotChart) -> tuple[float, float] | None:
    """Ends of the horizontal axis, a little beyond the values."""
    places = [chart.place(value) for values in chart.series.values() for value in values]
    values = [value for value in places if value is not None]
    if chart.mark is not None:
        values.append(chart.mark)
    if not values:
        return None
    low, high = min(values), max(values)
    if chart.logarithmic:
        return low / 1.3, high * 1.3
    room = (high - low) * 0.03 or 1.0
    return low - room, high + room
