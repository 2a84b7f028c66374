"""A difference drawn: the units of both networks side by side, what changed marked."""

from __future__ import annotations

from collections.abc import Iterator

from resgraph.diff.blocks import Block, blocks
from resgraph.diff.edits import Change, Edit
from resgraph.diff.network import Difference
from resgraph.diff.units import Units
from resgraph.draw import (
    Figure,
    Mark,
    beside,
    draw_network,
    draw_unit,
    unfolded_units,
)

_MARKS = {
    Change.ADDED: "added",
    Change.REMOVED: "removed",
    Change.MOVED: "moved",
    Change.CHANGED: "changed",
    Change.REWIRED: "changed",
}


def picture(difference: Difference) -> Figure:
    """The units that changed, each beside what became of it; else the two networks.

    Stem and head are drawn only where no unit changed.
    """
    found = blocks(difference.pairs)
    ends = [b for b in found if b.first.before and b.first.before.is_end]
    units = [block for block in found if block not in ends]
    figures = [
        figure
        for number, block in enumerate(units or ends, 1)
        for figure in _block(block, difference, f"{number}")
    ]
    if not figures:
        graphs = (("a", difference.before), ("b", difference.after))
        figures = [draw_network(graph, prefix=f"{side}.") for side, graph in graphs]
    return beside(figures)


def _block(block: Block, difference: Difference, number: str) -> Iterator[Figure]:
    """Both sides, with the same units unfolded in them: those that one of them asks for."""
    pair = block.first
    sides = [
        (f"{side}{number}.", graph, row, dict(_marks(pair.edits, after=side == "b")))
        for side, graph, row in (
            ("a", difference.before, pair.before),
            ("b", difference.after, pair.after),
        )
        if row is not None
    ]
    unfold = [unfolded_units(row.instance, marks) for _, _, row, marks in sides]
    for prefix, graph, row, marks in sides:
        yield draw_unit(
            row.instance,
            title=f"{graph.name}: {row.name}",
            subtitle=_places(block, row),
            marks=marks,
            prefix=prefix,
            unfold=set().union(*unfold),
        )


def _places(block: Block, row: Units) -> str:
    """Where the units are; nothing of a stem or a head, whose name says it."""
    if row.place == row.name:
        return ""
    more = len(block.pairs) - 1
    return f"{row.place} and {more} more" if more else row.place


def _marks(edits: tuple[Edit, ...], after: bool) -> Iterator[tuple[str, Mark]]:
    """By node of one side, what became of it, with where it is or was on the other side."""
    for edit in edits:
        here, there = (edit.before, edit.after)[:: -1 if after else 1]
        if here is not None:
            moved = there if edit.change is Change.MOVED else None
            note = f"{'from' if after else 'to'} {moved.where}" if moved else ""
            yield here.name, Mark(_MARKS[edit.change], note or edit.change.value)
