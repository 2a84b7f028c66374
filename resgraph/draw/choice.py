"""Which units of a network to draw, and what findings say of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from resgraph.diagnostics import Diagnostic, Span, UsageError, did_you_mean
from resgraph.draw.cells import Cell, cells, nested
from resgraph.draw.items import Mark
from resgraph.draw.look import ALL, NONE, units_in
from resgraph.graph import OUTPUT, Instance


def distinct(found: Iterable[Cell]) -> list[Cell]:
    """Each unit of the stages once, where it is repeated most."""
    return _best(((cell, cell.count) for cell in found), lambda cell: cell.unit)


def all_units(found: Sequence[Cell]) -> list[Cell]:
    """Each unit once, those in other units too, where it is used most."""
    return _best(nested(found), lambda cell: cell.unit)


def all_variants(found: Sequence[Cell]) -> list[Cell]:
    """The same, and a unit once for each op, word and truth value that it is given, and for
    each choice of the ops that are in it."""
    return _best(nested(found), lambda cell: cell.kind)


def ends(found: Iterable[Cell]) -> list[Cell]:
    """The stem and the head."""
    return [cell for cell in found if cell.row and not cell.staged]


def to_unfold(
    names: Iterable[str], drawn: Sequence[tuple[str, Instance]], where: str
) -> list[str]:
    """The names of units to unfold in what is drawn, without `none`.

    Raises `UsageError` for one that nothing drawn uses.
    """
    used = units_in(cell for _, instance in drawn for cell in cells(instance))
    names = [*names]
    for name in names:
        if name not in (ALL, NONE, *used):
            units = " and ".join(dict.fromkeys(f"'{unit}'" for unit, _ in drawn))
            hint = did_you_mean(name, used)
            raise UsageError(f"{where}: {units} uses no unit '{name}'", hint)
    return [name for name in names if name != NONE]


def _best(
    found: Iterable[tuple[Cell, int]], key: Callable[[Cell], Hashable]
) -> list[Cell]:
    """Of each kind the cell that is there most often; the stem and the head are none."""
    best = dict[Hashable, tuple[Cell, int]]()
    for cell, times in found:
        if cell.instances and (cell.staged or cell.outer or cell.row is None):
            _, most = best.get(key(cell), (cell, 0))
            if times > most:
                best[key(cell)] = cell, times
    return [cell for cell, _ in best.values()]


def commonest(found: Sequence[Cell]) -> Cell:
    """The unit that the network's stages have most often, where it is repeated most.

    The stem of a network without units.
    """

    def total(cell: Cell) -> int:
        return sum(c.count for c in found if c.unit == cell.unit and c.staged)

    return max(distinct(found) or found[:1], key=total)


def faulty(found: Sequence[Cell], findings: Sequence[Diagnostic]) -> list[Cell]:
    """The units that findings point at, each where they say that it fails; and stem, head."""
    spans = {note.span for finding in findings for note in finding.notes}
    noted = {c.unit: c for c in reversed(found) if c.call and c.call.span in spans}
    return [
        noted.get(cell.unit, cell)
        for cell in (*distinct(found), *ends(found))
        if marks(cell.instance, findings)
    ]


def marks(instance: Instance | None, findings: Iterable[Diagnostic]) -> dict[str, Mark]:
    """What findings point at in the unit, by name, and in the units that it uses; `out` for
    what is said of all of it."""
    if instance is None:
        return {}
    notes = dict[str, list[str]]()
    for finding in findings:
        for name in _marked(instance, finding):
            notes.setdefault(name, []).append(finding.message)
    return {name: _mark(told) for name, told in notes.items()}


def part_marks(
    found: Iterable[Cell], findings: Sequence[Diagnostic]
) -> dict[str, Mark]:
    """The cells that findings point at, in the stage or inside of the unit."""
    told = dict[str, Mark]()
    for cell in found:
        notes = [mark.note for mark in marks(cell.instance, findings).values()]
        notes += [finding.message for finding in findings if of_call(cell, finding)]
        if notes:
            told[cell.name] = _mark(notes)
    return told


def of_call(cell: Cell, finding: Diagnostic) -> bool:
    """Whether the finding is about the use of the unit, and not about what is in it."""
    if cell.call is None or finding.span is None:
        return False
    return finding.span in (cell.call.span, *cell.call.fields.values())


def here(
    cell: Cell, found: Iterable[Cell], findings: Iterable[Diagnostic]
) -> list[Diagnostic]:
    """Without the findings that name another use in which the cell's unit fails."""
    uses = {c.call.span for c in found if c.call and c.unit == cell.unit}
    own = cell.call and cell.call.span
    return [
        finding
        for finding in findings
        if not (named := uses & {note.span for note in finding.notes}) or own in named
    ]


def _mark(notes: Iterable[str]) -> Mark:
    return Mark("finding", "; ".join(dict.fromkeys(notes)))


def _marked(instance: Instance, finding: Diagnostic) -> Iterator[str]:
    """The op whose text has the finding's place in it, the use of a unit, or the first of a
    path that is named."""
    if finding.span is None:
        return
    found = cells(instance)
    if finding.span == instance.block.span:
        yield OUTPUT
    own = [c for c in found if _is_at(c, finding.span)]
    yield from (cell.name for cell in own[:1] or _named(instance, found, finding.span))
    for cell in found:
        if cell.instance is not None and here(cell, found, [finding]):
            inside = _marked(cell.instance, finding)
            yield from (f"{cell.prefix}{name}" for name in inside)


def _is_at(cell: Cell, span: Span) -> bool:
    part = cell.node or cell.row
    return part is not None and _within(span, part.span)


def _named(instance: Instance, found: Sequence[Cell], span: Span) -> list[Cell]:
    """The first cell of a path that the place names."""
    paths = {p.name for p in instance.block.paths if span in (p.span, *p.source_spans)}
    return [c for c in found if (part := c.node or c.row) and part.path in paths][:1]


def _within(inner: Span, outer: Span) -> bool:
    start, end = (outer.line, outer.col), (outer.end_line, outer.end_col)
    return inner.file == outer.file and start <= (inner.line, inner.col) < end
