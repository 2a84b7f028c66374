"""Tables 1 to 3 of the paper, with what our runs gave beside what the paper prints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import visible
from resgraph.recipe import HE2016, Recipe
from resgraph.recipe.precedence import shown
from resgraph.study.outcomes import Group, Outcomes, ambiguous
from resgraph.study.paper import FAIL_ABOVE, TABLES, Entry, Value

COLUMNS = (
    "variant",
    "network",
    "paper",
    "ours",
    "data",
    "iterations",
    "batch",
    "seeds",
    "remarks",
)
EXPLANATION = (
    "paper: test error in %, median of 5 runs of "
    f"{HE2016.iterations:,} iterations at batch {HE2016.batch} (mean ± standard deviation); "
    f"fail is an error above {FAIL_ABOVE:g} %; † from one source alone.",
    "ours: test error in % of the last weights, median [min, max] over so many seeds. "
    "Empty where nothing was run.",
)


@dataclass(frozen=True)
class Row:
    """A network under one condition; without a group it has not been run."""

    variant: str
    network: str
    paper: Value | None
    group: Group | None = None
    remarks: tuple[str, ...] = ()

    def cells(self) -> tuple[str, ...]:
        """A text for each of `COLUMNS`."""
        head = (self.variant, self.network, str(self.paper or ""))
        if self.group is None:
            return (*head, *("" for _ in COLUMNS[len(head) :]))
        condition = self.group.condition
        return (
            *head,
            spread(self.group),
            condition.data,
            f"{condition.recipe.iterations:,}",
            str(condition.recipe.batch),
            str(len(self.group.errors)),
            "; ".join(self.remarks),
        )

    def as_json(self) -> dict[str, Any]:
        """Numbers as numbers; what was not run, or diverged, is None."""
        paper = self.paper
        return {
            "variant": self.variant,
            "network": self.network,
            "paper": None
            if paper is None
            else {
                "test_error": paper.error,
                "fails": paper.error is None,
                "one_source": paper.sole,
                "mean": paper.mean,
                "std": paper.std,
            },
            "ours": None if self.group is None else _ours(self.group, self.remarks),
        }


@dataclass(frozen=True)
class Table:
    """A table of the paper, or that of the networks which it does not have."""

    title: str
    rows: tuple[Row, ...]


def tables(found: Outcomes) -> list[Table]:
    """The paper's tables, and one more if there are runs of other networks."""
    unclear = frozenset(ambiguous(found.groups))
    result = [
        Table(
            f"Table {table.number}: {table.title}",
            tuple(row for e in table.entries for row in _rows(e, found, unclear)),
        )
        for table in TABLES
    ]
    known = {entry.network for table in TABLES for entry in table.entries}
    names = {g.condition.network for g in found.groups} - known
    others = [
        Row("", name, None, group, _remarks(group, None, unclear))
        for name in sorted(names)
        for group in found.of(name)
    ]
    if others:
        result.append(
            Table("Networks that are not in the paper's tables", tuple(others))
        )
    return result


def _rows(entry: Entry, found: Outcomes, unclear: frozenset[str]) -> Iterator[Row]:
    groups = found.of(entry.network)
    if not groups:
        yield Row(entry.variant, entry.network, entry.value)
    for group in groups:
        remarks = _remarks(group, entry, unclear)
        yield Row(entry.variant, entry.network, entry.value, group, remarks)


def spread(group: Group) -> str:
    """The median with the range: `6.61 [6.43, 6.80]`; one run, or none that did not
    diverge, has no range."""
    if len(group.errors) == 1 or math.isinf(group.lowest):
        return _percent(group.median)
    low, high = _percent(group.lowest), _percent(group.highest)
    return f"{_percent(group.median)} [{low}, {high}]"


def _percent(error: float) -> str:
    return "diverged" if math.isinf(error) else f"{error:.2f}"


def _remarks(
    group: Group, entry: Entry | None, unclear: frozenset[str]
) -> tuple[str, ...]:
    """In what the runs are not the paper's."""
    condition = group.condition
    remarks = [*_departures(condition.recipe)]
    if entry and condition.data != entry.data.lower().replace("-", ""):
        remarks.append(f"not the paper's data, {entry.data}")
    if condition.precision != "fp32":
        remarks.append(condition.precision)
    if condition.digest in unclear:
        remarks.append(f"graph {_short(condition.digest)}")
    if condition.data_digest in unclear:
        remarks.append(f"data {_short(condition.data_digest)}")
    if diverged := sum(map(math.isinf, group.errors.values())):
        remarks.append(f"{diverged} of {len(group.errors)} diverged")
    return tuple(remarks)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:8]


def _departures(recipe: Recipe) -> Iterator[str]:
    """How a recipe differs from the paper's, apart from the batch, which has a column."""
    share = recipe.iterations / HE2016.iterations
    if share != 1:
        word = "shortened" if share < 1 else "lengthened"
        yield f"{word} to {100 * share:.3g} % of the schedule"
    paper, ours = HE2016.scaled(share).as_dict(), recipe.as_dict()
    for word, value in ours.items():
        if word in ("iterations", "batch") or _near(word, value, paper.get(word)):
            continue
        yield f"{_CALLED.get(word, word)} {shown(value).strip('[]')}"


_CALLED = {"warmup_iterations": "warm-up"}


def _near(word: str, value: Any, paper: Any) -> bool:
    """Whether it is the paper's; what counts steps may be rounded otherwise."""
    if word == "milestones" and paper is not None and len(value) == len(paper):
        return all(abs(a - b) <= 1 for a, b in zip(value, paper, strict=True))
    if word == "warmup_iterations":
        return bool(abs(value - paper) <= 1)
    return bool(value == paper)


def _ours(group: Group, remarks: Sequence[str]) -> dict[str, Any]:
    condition = group.condition
    return {
        "median": _number(group.median),
        "min": _number(group.lowest),
        "max": _number(group.highest),
        "test_errors": {str(s): _number(e) for s, e in sorted(group.errors.items())},
        "data": condition.data,
        "data_digest": condition.data_digest,
        "digest": condition.digest,
        "precision": condition.precision,
        "recipe": condition.recipe.as_dict(),
        "remarks": [*remarks],
    }


def _number(error: float) -> float | None:
    return None if math.isinf(error) else error


# --- forms ----------------------------------------------------------------------------


def as_text(found: Sequence[Table]) -> str:
    """Aligned columns, a paragraph per table."""
    blocks = []
    for table in found:
        cells = [COLUMNS, *(tuple(map(visible, row.cells())) for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
        blocks.append("\n".join([table.title, *(f"  {line}" for line in lines)]))
    return "\n\n".join([*blocks, "\n".join(EXPLANATION)])


def as_markdown(found: Sequence[Table]) -> str:
    """Tables of GitHub's Markdown, with headings."""
    blocks = []
    for table in found:
        lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells() for row in table.rows)]
        rows = ("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)
        blocks.append("\n".join([f"### {table.title}", "", *rows]))
    return "\n\n".join([*blocks, *EXPLANATION])


def _escaped(cell: str) -> str:
    text = visible(cell).replace("\\", "\\\\")
    for mark in "|<>*_`$[]":
        text = text.replace(mark, f"\\{mark}")
    return text


def as_csv(found: Sequence[Table]) -> str:
    """One table of all rows, the paper's table first in each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("table", *COLUMNS))
    for table in found:
        title = table.title.partition(":")[0]
        writer.writerows((title, *row.cells()) for row in table.rows)
    return file.getvalue().rstrip("\n")


def as_json(found: Sequence[Table]) -> list[dict[str, Any]]:
    """The tables for a program."""
    return [
        {"title": table.title, "rows": [row.as_json() for row in table.rows]}
        for table in found
    ]


FORMS: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "csv": as_csv,
}
"""The forms for people, by name."""
