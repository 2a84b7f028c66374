"""A run as facts for the page: curves, what went on in its units, the paper's tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from resgraph.diagnostics import visible
from resgraph.files import finite
from resgraph.study.outcomes import outcomes
from resgraph.study.paper import TABLES
from resgraph.study.series import Series
from resgraph.study.tables import COLUMNS, EXPLANATION, Table, tables

POINTS = 1000
"""Records of a curve at most; of longer runs every second, every third, and so on."""
CELLS = 20_000
"""Numbers of the truncation map at most, units times records."""
_ABOUT = ("data", "seed", "status", "device")
_RESULTS = ("iteration", "test_error", "best_error", "best_iteration")
_DIGITS = 5

T = TypeVar("T")


def run(series: Series) -> dict[str, Any]:
    """All that the page shows of a run; numbers that JSON lacks are None."""
    about = series.run.about
    table, uncounted = _tables(series.run.folder, series.run.network)
    return {
        "about": {
            k: visible(str(about[k])) for k in _ABOUT if about.get(k) is not None
        },
        "folder": visible(str(series.run.folder)),
        "failure": visible(about["failure"] or ""),
        "recipe": {k: str(v) for k, v in about["recipe"].items()},
        "results": {k: _number(about["results"][k]) for k in _RESULTS},
        "notes": [visible(note) for note in (*series.notes, *uncounted)],
        "curves": _curves(series),
        "units": _units(series),
        **table,
    }


def thinned(items: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly, the last one always among them."""
    step = -(-len(items) // most) if items else 1
    return [item for i, item in enumerate(items) if (len(items) - 1 - i) % step == 0]


def _curves(series: Series) -> dict[str, Any]:
    records = thinned(series.records, POINTS)
    tests = thinned(list(zip(*series.error, strict=True)), POINTS)
    return {
        "iterations": [r.iteration for r in records],
        "loss": [_number(r.train_loss) for r in records],
        "lr": [_number(r.lr) for r in records],
        "tests": [iteration for iteration, _ in tests],
        "error": [_number(error) for _, error in tests],
        "thinned": len(records) < len(series.records),
    }


def _units(series: Series) -> dict[str, Any] | None:
    """What the monitor saw: by record, a number per unit."""
    units = series.units
    if units is None or not units.records:
        return None
    most = max(2, CELLS // max(1, len(units.units)))
    records = thinned(units.records, most)
    return {
        "names": [*units.units],
        "cuts": [*units.cuts],
        "iterations": [r.iteration for r in records],
        "truncated": finite([[round(t, 4) for t in r.truncated] for r in records]),
        "response": [_number(v) for v in records[-1].response],
        "gradient": [_number(v) for v in records[-1].gradient],
        "thinned": len(records) < len(units.records),
    }


def _number(value: float | None) -> int | float | None:
    """To a few digits; None for what JSON lacks."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _tables(folder: Path, network: str) -> tuple[dict[str, Any], list[str]]:
    """The paper's tables that have the network, or our own one; and why it is in none."""
    found = outcomes([folder])
    made = tables(found)
    known = {entry.network for table in TABLES for entry in table.entries}
    chosen = made[: len(TABLES)] if network in known else made[len(TABLES) :]
    shown = [_table(t, network) for t in chosen]
    kept = [t for t in shown if any(row["own"] for row in t["rows"])]
    facts = {"columns": COLUMNS, "tables": kept, "explanation": EXPLANATION}
    return facts, [*found.notes]


def _table(table: Table, network: str) -> dict[str, Any]:
    return {
        "title": table.title,
        "rows": [
            {"cells": [visible(c) for c in row.cells()], "own": row.network == network}
            for row in table.rows
        ],
    }
