"""The look of all figures, and how they are saved: the same file from the same records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from resgraph.files import staged

_OKABE_ITO = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a name with a dollar sign is a name
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "resgraph",
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "resgraph"},
    "png": {"Software": None},
}
FORMATS = tuple(_METADATA)
_TEN_THOUSANDS_FROM = 20_000
_BETWEEN = (1, 1.5, 2, 3, 5, 7)  # of a decade


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save within it; the caller's own settings come back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def colours(count: int) -> list[Any]:
    """So many colours that colour-blind readers tell apart (Okabe and Ito, 2008).

    More runs than those have a scale from dark to light.
    """
    if count <= len(_OKABE_ITO):
        return [*_OKABE_ITO[:count]]
    return [colormaps["viridis"](0.92 * i / (count - 1)) for i in range(count)]


def save(figures: dict[str, Figure], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write `out/NAME.svg`, `out/NAME.png`, all or nothing; the files written.

    Raises `ResgraphError` if the folder cannot be written.
    """
    written = []
    with staged(out) as stage:
        for name, figure in figures.items():
            for form in formats:
                file = f"{name}.{form}"
                figure.savefig(stage / file, format=form, metadata=_METADATA[form])
                written.append(out / file)
    return written


def iterations_axis(axes: Axes, last: int) -> None:
    """The x axis from 0 to the last iteration, in ten thousands where that is long."""
    axes.set_xlim(0, max(last, 1))
    if last >= _TEN_THOUSANDS_FROM:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e4:g}"))
        axes.set_xlabel("iterations (× 10⁴)")
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.set_xlabel("iterations")


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers at it; linear where nothing is above zero."""
    drawn = (y for line in axes.lines for y in np.atleast_1d(line.get_ydata()))
    if not any(y > 0 and np.isfinite(y) for y in drawn):
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 30:  # then powers of ten alone are too few
        axes.yaxis.set_major_locator(LogLocator(subs=_BETWEEN))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], columns: int
) -> Legend:
    """A legend above the figure; any text is a label, also one that begins with `_`."""
    # Long labels get a line each, so that they never run out of the figure.
    longest = max(map(len, labels), default=0)
    columns = max(1, min(columns, len(labels), 90 // (longest + 6)))
    made = figure.legend(
        handles, ["-"] * len(labels), loc="outside upper center", ncols=columns
    )
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)
    return made
