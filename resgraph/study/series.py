"""A run as curves: its records and its units', with what is to be said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resgraph.train.about import FINISHED, RUNNING, Record
from resgraph.train.folder import UNITS, RunFolder, open_run
from resgraph.train.monitor import UnitRecords


@dataclass(frozen=True)
class Series:
    """What can be drawn of one run."""

    run: RunFolder
    records: tuple[Record, ...]
    units: UnitRecords | None
    notes: tuple[str, ...]
    """What the user should know about it, a sentence each."""
    label: str = ""

    @property
    def loss(self) -> tuple[list[int], list[float]]:
        """Iterations, and the mean training loss since the record before each."""
        return (
            [r.iteration for r in self.records],
            [r.train_loss for r in self.records],
        )

    @property
    def error(self) -> tuple[list[int], list[float]]:
        """Iterations of tests, and the test error in percent."""
        tested = [r for r in self.records if r.test_error is not None]
        return (
            [r.iteration for r in tested],
            [r.test_error for r in tested if r.test_error is not None],
        )


def read(folders: Iterable[Path]) -> list[Series]:
    """The runs in these folders, in that order, each with a label of its own.

    Raises `ResgraphError` for a folder that is no run folder.
    """
    found = [_series(open_run(folder)) for folder in folders]
    return [
        replace(series, label=label + _standing(series))
        for series, label in zip(found, _labels(found), strict=True)
    ]


def _series(run: RunFolder) -> Series:
    notes = []
    found = run.read_records()
    records = found.records
    if not records:
        notes.append(f"{run.folder}: there are no records in it yet")
    elif run.unfinished:
        notes.append(f"{run.folder}: {run.unfinished}")
    if found.wrong:
        torn = f"{run.metrics}: a line is not whole"
        notes.append(f"{torn if found.torn else found.wrong}; it is drawn up to there")
    units = UnitRecords.read(run.folder)
    if units is not None and units.torn:
        notes.append(f"{run.folder / UNITS}: a line is not whole; drawn up to there")
    return Series(run, records, units, tuple(notes))


def _labels(found: Sequence[Series]) -> list[str]:
    """The network's name, with as much after it as tells the runs apart."""
    runs = [series.run for series in found]
    forms = (
        [run.network for run in runs],
        [f"{run.network}, {run.about['data']}" for run in runs],
        [f"{run.network}, seed {run.about['seed']}" for run in runs],
        [f"{run.network}, {run.folder.name}" for run in runs],
    )
    for labels in forms:
        if max(Counter(labels).values(), default=0) <= 1:
            return labels
    return [f"{run.network}, {run.folder}" for run in runs]


def _standing(series: Series) -> str:
    """For the label: why the curve ends early."""
    if not series.records:
        return " (no records)"
    if series.run.status == FINISHED:
        return ""
    word = "so far" if series.run.status == RUNNING else series.run.status
    return f" ({word}, {series.records[-1].iteration:,})"
