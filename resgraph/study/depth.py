"""What goes on in units, over depth and over training (Sec. 4.2): from `units.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from resgraph.study.canvas import colours, iterations_axis, legend, log_axis
from resgraph.study.series import Series
from resgraph.train.monitor import UnitRecord, UnitRecords

_ACROSS = 3  # maps side by side
_MAP_HEIGHT, _LINES_HEIGHT = 2.6, 2.4  # inches


def monitored(found: Sequence[Series]) -> list[Series]:
    """The runs of which there are records of units."""
    return [series for series in found if series.units and series.units.records]


def truncation(found: Sequence[Series]) -> Figure:
    """The share of y that f truncates: a map of depth and training per run, and its end.

    A run whose f cuts nowhere has no map, only its line at zero. Of `found`, each must
    have records of units.
    """
    mapped = [series for series in found if any(_units(series).cuts)]
    across = min(_ACROSS, max(1, len(mapped)))
    rows = math.ceil(len(mapped) / across)
    height = _MAP_HEIGHT * rows + _LINES_HEIGHT + 0.3
    figure = Figure(figsize=(max(6.4, 3.1 * across), height))
    ratios = [*[_MAP_HEIGHT] * rows, _LINES_HEIGHT]
    grid = figure.add_gridspec(rows + 1, across, height_ratios=ratios)
    top = max(
        [0.01, *(float(np.nan_to_num(_table(s, _truncated)).max()) for s in mapped)]
    )
    maps = []
    for index, series in enumerate(mapped):
        row, column = divmod(index, across)
        axes = figure.add_subplot(grid[row, column])
        _map(axes, series, top)
        if column == 0:
            axes.set_ylabel("unit")
        maps.append(axes)
    if maps:
        bar = figure.colorbar(maps[0].collections[0], ax=maps, pad=0.015, aspect=25)
        bar.set_label("share of y truncated by f")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(_percent))
        bar.outline.set_visible(False)
    lines = figure.add_subplot(grid[rows, :])
    _over_depth(lines, found, _truncated)
    lines.set_ylabel("truncated, last record")
    lines.yaxis.set_major_formatter(FuncFormatter(_percent))
    lines.set_ylim(0, None)
    _name(figure, found)
    return figure


def responses(found: Sequence[Series]) -> Figure:
    """Over depth, the deviation of each unit's output and the norm of its gradient.

    Solid at the last record, dotted at the first. Of `found`, each must have records.
    """
    figure = Figure(figsize=(7.2, 5.6))
    upper, lower = figure.subplots(2, 1)
    for axes, value, text in (
        (upper, _response, "std of the unit's output"),
        (lower, _gradient, "norm of dL/d(output)"),
    ):
        _over_depth(axes, found, value, first=True)
        log_axis(axes)
        axes.set_ylabel(text)
    upper.set_title("last record solid, first dotted", loc="right", color="#606060")
    _name(figure, found)
    return figure


def _map(axes: Axes, series: Series, top: float) -> None:
    """Share truncated: iterations across, units from the first at the bottom."""
    units = _units(series)
    table = _table(series, _truncated)
    iterations = [record.iteration for record in units.records]
    edges = _edges(iterations)
    rows = np.arange(len(units.units) + 1) + 0.5
    axes.pcolormesh(
        edges, rows, table, vmin=0, vmax=top, cmap="viridis", rasterized=True
    )
    axes.grid(visible=False)
    for start in _stage_starts(units):
        axes.axhline(start + 0.5, color="white", linewidth=0.6)
    iterations_axis(axes, int(edges[-1]))
    axes.set_title(_short(series.label), loc="left")


def _over_depth(
    axes: Axes, found: Sequence[Series], value: _Value, first: bool = False
) -> None:
    """A line per run over its units: by number, or by share of the depth if they differ."""
    depths = {len(_units(series).units) for series in found}
    for series, colour in zip(found, colours(len(found)), strict=True):
        units = _units(series)
        count = len(units.units)
        numbers = np.arange(1, count + 1)
        across = numbers if len(depths) == 1 else (numbers - 0.5) / count
        if first and len(units.records) > 1:
            before = value(units.records[0])
            axes.plot(across, before, color=colour, linestyle=":", linewidth=0.9)
        # Not clipped, so that a line along the axis is seen whole.
        axes.plot(across, value(units.records[-1]), color=colour, clip_on=False)
    if len(depths) == 1:
        axes.set_xlim(0.5, depths.pop() + 0.5)
        axes.set_xlabel("unit")
        for start in _stage_starts(_units(found[0])):
            axes.axvline(start + 0.5, color="#b0b0b0", linewidth=0.7, linestyle=":")
    else:
        axes.set_xlim(0, 1)
        axes.set_xlabel("depth: share of the network's units")


def _name(figure: Figure, found: Sequence[Series]) -> None:
    handles = [Line2D([], [], color=colour) for colour in colours(len(found))]
    legend(figure, handles, [_told(series) for series in found], columns=3)


def _told(series: Series) -> str:
    """The run's label; where no f cuts anything, that is said."""
    cuts = any(_units(series).cuts)
    return series.label if cuts else f"{series.label} (f cuts nothing)"


_Value = Callable[[UnitRecord], tuple[float, ...]]


def _truncated(record: UnitRecord) -> tuple[float, ...]:
    return record.truncated


def _response(record: UnitRecord) -> tuple[float, ...]:
    return record.response


def _gradient(record: UnitRecord) -> tuple[float, ...]:
    return record.gradient


def _units(series: Series) -> UnitRecords:
    assert series.units is not None
    return series.units


def _table(series: Series, value: _Value) -> NDArray[np.float64]:
    """[units, records]."""
    return np.array([value(record) for record in _units(series).records]).T


def _edges(iterations: Sequence[int]) -> NDArray[np.float64]:
    """Cells' borders: half way between records; the first begins at 0."""
    middles = [(a + b) / 2 for a, b in pairwise(iterations)]
    return np.array([0.0, *middles, float(iterations[-1])])


def _stage_starts(units: UnitRecords) -> list[int]:
    """How many units lie before each stage but the first."""
    stages = [name.partition(".")[0] for name in units.units]
    return [i for i in range(1, len(stages)) if stages[i] != stages[i - 1]]


def _short(label: str, most: int = 42) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _percent(share: float, position: object) -> str:
    return f"{100 * share:g} %"
