"""The figures of some runs, as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from resgraph.study import curves, depth
from resgraph.study.canvas import save, style
from resgraph.study.series import read


def plot(
    folders: Iterable[Path], out: Path, formats: Sequence[str]
) -> tuple[list[Path], list[str]]:
    """Draw the runs in these folders; the files written, and notes on the runs.

    `curves` has the loss and the error of all runs, `truncation` and `responses` what goes
    on in the units of those that were monitored. Files are the same whenever the records
    are. Raises `ResgraphError` for a folder that is no run folder, or that cannot be
    written.
    """
    found = read(folders)
    with style():
        figures = {"curves": curves.curves(found)}
        if watched := depth.monitored(found):
            figures["truncation"] = depth.truncation(watched)
            figures["responses"] = depth.responses(watched)
        files = save(figures, out, formats)
    return files, [note for series in found for note in series.notes]
