"""Fig. 1 and Fig. 6 of the paper: training loss and test error against iterations."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from resgraph.study.canvas import colours, iterations_axis, legend, log_axis
from resgraph.study.series import Series

_LEAST_TOP = 20.0  # percent: the paper's own axis ends there
_FEW = 30  # points that are marked one by one


def curves(found: Sequence[Series]) -> Figure:
    """Training loss dashed on a log axis at the left, test error solid at the right.

    A colour per run; thin lines where a run's learning rate drops. The loss is as it was
    recorded, the mean over the iterations since the record before; nothing is smoothed.
    """
    figure = Figure(figsize=(7.2, 4.6))
    left = figure.add_subplot()
    right = left.twinx()
    right.grid(visible=False)
    right.spines.right.set_visible(True)
    right.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    handles, last, top = [], 0, _LEAST_TOP
    for series, colour in zip(found, colours(len(found)), strict=True):
        left.plot(*series.loss, color=colour, linestyle="--", linewidth=0.9)
        iterations, errors = series.error
        marker = "o" if len(iterations) <= _FEW else ""
        right.plot(iterations, errors, color=colour, marker=marker, markersize=3)
        handles.append(Line2D([], [], color=colour))
        last = max([last, *series.loss[0]])
        top = max([top, *(1.25 * error for error in errors[-1:])])
    for milestone in _milestones(found, last):
        left.axvline(milestone, color="#b0b0b0", linewidth=0.7, linestyle=":")
    log_axis(left)
    iterations_axis(left, last)
    left.set_ylabel("training loss (dashed)")
    right.set_ylabel("test error in % (solid)")
    right.set_ylim(0, min(100, top))
    legend(figure, handles, [series.label for series in found], columns=3)
    return figure


def _milestones(found: Sequence[Series], last: int) -> list[int]:
    """Where the learning rate drops in some run, within what is drawn."""
    every = {int(d) for series in found for d in series.run.recipe.schedule.drops}
    return sorted(drop for drop in every if 0 < drop < last)
