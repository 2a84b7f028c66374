"""The shortcut, the thick line, through the cells of a drawing and into unfolded ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resgraph.draw.cells import Cell, whole
from resgraph.graph import Instance
from resgraph.prove import decompose


@dataclass(frozen=True)
class Shortcut:
    """The layers on it, in order, as the state_dict calls them, and what of them is not the
    identity."""

    layers: tuple[str, ...]
    broken: frozenset[str]

    def into(self, prefix: str) -> Shortcut | None:
        """What of it is in the unit with that prefix; None where it does not go there."""
        layers = tuple(
            name.removeprefix(prefix) for name in self.layers if name.startswith(prefix)
        )
        broken = {n.removeprefix(prefix) for n in self.broken if n.startswith(prefix)}
        return Shortcut(layers, frozenset(broken)) if layers else None

    def breaks(self, cell: Cell) -> bool:
        """Whether it does not pass the cell as it is."""
        return any(map(cell.holds, self.broken))

    def cells(self, found: Collection[Cell]) -> list[str]:
        """The cells that it passes, in order."""
        owners: dict[str, list[Cell]] = {}
        for cell in found:
            owners.setdefault(cell.row.name if cell.row else cell.name, []).append(cell)
        names: list[str] = []
        for layer in self.layers:
            near = owners.get(layer.partition(".")[0], ())
            cell_name = next((cell.name for cell in near if cell.holds(layer)), None)
            if cell_name is not None and names[-1:] != [cell_name]:
                names.append(cell_name)
        return names


def shortcut(instance: Instance) -> Shortcut | None:
    """The shortcut of a unit as `prove` tells it, with its shapes where all are known."""
    if not whole(instance):
        return None
    parts = decompose(instance)
    if parts is None:
        return None
    return Shortcut(tuple(node.name for node in parts.route), parts.broken)


def through(
    stops: Sequence[str], lines: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """The lines of a way from stop to stop; one that is missing leads through cells that
    give what they read."""
    ahead: dict[str, list[str]] = {}
    for start, end in lines:
        ahead.setdefault(start, []).append(end)
    return {step for a, b in pairwise(stops) for step in pairwise(_way(a, b, ahead))}


def _way(start: str, end: str, ahead: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest way; none where there is no way."""
    before, found = {start: ""}, [start]
    for node in found:
        for following in ahead.get(node, ()):
            if following not in before:
                before[following] = node
                found.append(following)
    way = [end] if end in before else []
    while way and way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]
