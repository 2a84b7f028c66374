"""Questions to a unit's graph that the passes ask, and a unit with nodes taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resgraph.deploy.edit import Edit
from resgraph.graph import INPUT, OUTPUT, Instance, Node, Path
from resgraph.ops.pointwise import Identity

OUTSIDE = ""
"""The reader of a unit's output, in the place of a node's name."""


def readers(instance: Instance) -> dict[str, list[str]]:
    """The nodes that read each value, `OUTSIDE` for the unit's output."""
    found: dict[str, list[str]] = {INPUT: []}
    for _, node, inputs in instance.unit.steps():
        found[node.name] = []
        for value in inputs:
            found[value].append(node.name)
    found[instance.unit.output].append(OUTSIDE)
    return found


def steps(instance: Instance) -> dict[str, tuple[Node, tuple[str, ...]]]:
    """Each node with the values it reads, by name."""
    return {node.name: (node, inputs) for _, node, inputs in instance.unit.steps()}


def new_name(instance: Instance, *parts: str) -> str:
    """The parts' names joined, and a name that nothing of the unit bears."""
    name = "_".join(parts)
    while name in instance.shapes:
        name += "_"
    return name


def edited(instance: Instance, edit: Edit) -> Instance:
    """The instance with the edit's nodes dropped and swapped.

    A path that is left without nodes goes, and its name stands for what it read; `out` is
    never left so, but keeps an identity.
    """
    if not edit.drop and not edit.swap:
        return instance
    alias: dict[str, str] = {}
    paths = []
    for path in instance.unit.paths:
        sources = tuple(alias.get(s, s) for s in path.sources)
        nodes = tuple(
            edit.swap.get(n.name, n) for n in path.nodes if n.name not in edit.drop
        )
        if not nodes and path.name == OUTPUT:
            nodes = (replace(path.nodes[-1], op=Identity()),)
        if nodes:
            paths.append(replace(path, sources=sources, nodes=nodes))
        else:
            (alias[path.name],) = sources
    return replace(
        instance,
        unit=replace(instance.unit, paths=tuple(paths)),
        shapes=_shapes(instance, paths, edit.swap),
    )


def _shapes(
    instance: Instance, paths: list[Path], swap: Mapping[str, Node]
) -> dict[str, tuple[int, ...]]:
    before = {new.name: old for old, new in swap.items()}
    names = [INPUT, *(node.name for path in paths for node in path.nodes)]
    return {name: instance.shapes[before.get(name, name)] for name in names}
