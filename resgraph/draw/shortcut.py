"""The shortcuts, the thick lines, through the cells of a drawing and into unfolded ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from resgraph.draw.cells import Cell, whole
from resgraph.graph import Instance
from resgraph.prove.parts import shortcuts


@dataclass(frozen=True)
class Shortcut:
    """The layers on it, in order, as the state_dict calls them, and what of them is not the
    identity."""

    start: str | None
    """The input that it starts from; None: the first one that leads to its first layer."""
    layers: tuple[str, ...]
    broken: frozenset[str]

    def into(self, prefix: str) -> Shortcut:
        """What of it is in the unit with that prefix."""
        layers = _without(prefix, self.layers)
        return Shortcut(None, layers, frozenset(_without(prefix, self.broken)))

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
            name = next((cell.name for cell in near if cell.holds(layer)), None)
            if name is not None and names[-1:] != [name]:
                names.append(name)
        return names


def _without(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(n.removeprefix(prefix) for n in names if n.startswith(prefix))


def shortcuts_of(instance: Instance) -> tuple[Shortcut, ...]:
    """Those of a unit's inputs, as `prove` tells them; none where not all of it is known."""
    if not whole(instance):
        return ()
    judged = instance if _is_typed(instance) else _untyped(instance)
    return tuple(
        Shortcut(parts.x, tuple(node.name for node in parts.route), parts.broken)
        for parts in shortcuts(judged)
    )


def _inner(instance: Instance) -> Iterator[Instance]:
    return (i for runs in instance.runs.values() for run in runs for i in run.instances)


def _is_typed(instance: Instance) -> bool:
    """Whether all its shapes are known, and so all numbers of its ops."""
    names = (*instance.block.inputs, *(node.name for node in instance.block.ops))
    known = all(name in instance.shapes for name in names)
    return known and all(map(_is_typed, _inner(instance)))


def _untyped(instance: Instance) -> Instance:
    """The same without shapes: what would depend on them is not known."""
    runs = {
        name: tuple(
            replace(run, instances=tuple(map(_untyped, run.instances))) for run in row
        )
        for name, row in instance.runs.items()
    }
    return replace(instance, shapes={}, runs=runs)


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
