"""A graph with its weights, and how a pass for inference changes both together.

A pass decides place by place, since it may depend on the numbers there. Places that are
changed alike share one instance, so that the emitter still makes each distinct one once. It
looks into units within units: what it edits is the block with all its ops in their places.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resgraph.graph import Graph, Instance, Node, Run
from resgraph.graph.dag import Dag
from resgraph.ops import Op, Weight
from resgraph.passes.base import FOLDED, Fact, Pass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Source = Callable[[str, Weight], "NDArray[Any]"]
"""The tensor for a name of the state_dict, as the emitter asks for it."""
Tensors = dict[str, "NDArray[np.float64]"]
"""The tensors of one layer by their names in it."""
Layers = Callable[[str], Tensors]
"""The layers of one place by name."""
Formula = Callable[[Layers], Tensors]
"""How a new layer's tensors follow from those of the layers before the pass."""


@dataclass(frozen=True)
class Weighted:
    """A graph and its weights.

    The program is still that of the spec, and so is the digest; the network's instances hold
    the work of passes. New tensors come as float64, and the emitter rounds them once.
    """

    graph: Graph
    weights: Source
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Each new layer's full name, and the layers of the state_dict that it is made of."""


@dataclass(frozen=True)
class Remark:
    """What a pass did with a layer, or why it did nothing."""

    place: str
    """The prefix of its unit: `stage1.3.`."""
    layer: str
    words: str
    missed: bool = False


@dataclass
class Edit:
    """What a pass does to one place. Names are without the place's prefix."""

    instance: Instance
    """The block there, a graph of ops alone."""
    drop: set[str] = field(default_factory=set)
    """Nodes whose readers read what they read."""
    swap: dict[str, Node] = field(default_factory=dict)
    """Nodes that take the place of others."""
    formulas: dict[str, Formula] = field(default_factory=dict)
    """Of each new layer with tensors, by its name."""
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The layers that each of these is made of."""
    done: dict[str, str] = field(default_factory=dict)
    """What became of each BN that is gone, in words."""
    kept: dict[str, str] = field(default_factory=dict)
    """Why each other one was kept."""

    @cached_property
    def dag(self) -> Dag[Node]:
        """The adjacency of the block before the edit."""
        return Dag[Node].of(self.instance.block)

    def of(self, kind: type[Op]) -> list[Node]:
        """The nodes of a kind, in reading order."""
        return [node for node in self.dag.nodes.values() if isinstance(node.op, kind)]

    def new_name(self, first: str, *others: str) -> str:
        """The layers' names joined, in the unit of the first: a name that nothing bears."""
        name = "_".join((first, *(other.rpartition(".")[2] for other in others)))
        taken = {*self.instance.shapes, *(node.name for node in self.swap.values())}
        while name in taken:
            name += "_"
        return name

    def replace(
        self, old: Node, name: str, op: Op, formula: Formula, *origins: str
    ) -> None:
        """Put a layer in the place of another; its tensors follow from the `origins`."""
        self.swap[old.name] = replace(old, name=name, op=op)
        self.formulas[name], self.origins[name] = formula, origins

    @property
    def key(self) -> Hashable:
        """Equal for edits that turn one instance into equal ones."""
        swaps = ((old, new.name, new.op) for old, new in self.swap.items())
        return frozenset(self.drop), frozenset(swaps)

    def edited(self) -> Instance:
        """The block with nodes dropped and swapped."""
        instance, block = self.instance, self.instance.block
        alias = {name: name for name in block.inputs}
        shapes = {name: instance.shapes[name] for name in block.inputs}
        nodes: list[Node] = []
        for node in block.ops:
            inputs = tuple(alias[value] for value in node.inputs)
            if node.name in self.drop:
                (alias[node.name],) = inputs
                continue
            made = replace(self.swap.get(node.name, node), inputs=inputs)
            nodes.append(made)
            alias[node.name] = made.name
            shapes[made.name] = instance.shapes[node.name]
        outputs = {name: alias[value] for name, value in block.results.items()}
        block = replace(block, nodes=tuple(nodes), outputs=outputs)
        return replace(instance, block=block, shapes=shapes)


Find = Callable[[Edit, Layers], None]
"""Fills in the edit of one place."""


def fold(name: str, find: Find) -> Pass[Weighted, Weighted, Remark]:
    """A pass for inference that edits every place as `find` says."""
    needs = frozenset({Fact.SHAPES, Fact.WEIGHTS})
    return Pass(name, lambda network: rewrite(network, find), needs, keeps=FOLDED)


def rewrite(network: Weighted, find: Find) -> tuple[Weighted, list[Remark]]:
    """The network with every place edited, and what is to be told of it."""
    known: dict[Hashable, tuple[Instance, Instance]] = {}
    alike: dict[Hashable, Instance] = {}
    formulas: dict[str, Callable[[], Tensors]] = {}
    origins, remarks = dict(network.origins), list[Remark]()
    changed: list[Instance] = []
    for prefix, instance in network.graph.parts():
        layers = _layers(network.weights, prefix, instance)
        edit = Edit(instance.flat)
        find(edit, layers)
        key = id(instance), edit.key
        if key not in known:  # with the instance, so that no other takes its id
            made = edit.edited() if edit.drop or edit.swap else instance
            known[key] = instance, alike.setdefault(_content(made), made)
        changed.append(known[key][1])
        for layer, formula in edit.formulas.items():
            formulas[prefix + layer] = _bound(formula, layers)
        for layer, parents in edit.origins.items():
            found = [origins.pop(prefix + p, (prefix + p,)) for p in parents]
            origins[prefix + layer] = tuple(o for several in found for o in several)
        remarks += (Remark(prefix, bn, words) for bn, words in edit.done.items())
        remarks += (Remark(prefix, bn, why, True) for bn, why in edit.kept.items())
    graph = _with_places(network.graph, changed)
    return Weighted(graph, _derived(network.weights, formulas), origins), remarks


def _content(instance: Instance) -> Hashable:
    """Equal for instances of one block that compute the same: a number that only what is gone
    has read makes no difference any more."""
    if any(instance.block.rows):
        return id(instance)
    nodes = tuple((node.name, node.op, node.inputs) for node in instance.block.ops)
    ends = tuple(instance.block.results.items()), tuple(instance.shapes.items())
    return instance.block.name, nodes, *ends


def _layers(weights: Source, prefix: str, instance: Instance) -> Layers:
    def read(layer: str) -> Tensors:
        return {
            weight.name: weights(f"{prefix}{layer}.{weight.name}", weight).astype(float)
            for name, weight in instance.weights
            if name == layer
        }

    return read


def _bound(formula: Formula, layers: Layers) -> Callable[[], Tensors]:
    return lambda: formula(layers)


def _derived(weights: Source, formulas: Mapping[str, Callable[[], Tensors]]) -> Source:
    """The new layers' tensors when they are asked for, and the old ones as they were."""

    def read(name: str, weight: Weight) -> NDArray[Any]:
        layer, _, tensor = name.rpartition(".")
        if layer in formulas:
            return formulas[layer]()[tensor].reshape(weight.shape)
        return weights(name, weight)

    return read


def _with_places(graph: Graph, instances: Iterable[Instance]) -> Graph:
    """The graph with these instances in its places, in order of execution."""
    left, network = iter(instances), graph.network
    runs = {
        row.name: tuple(_refilled(run, left) for run in network.runs[row.name])
        for row in network.block.rows
    }
    return replace(graph, network=replace(network, runs=runs))


def _refilled(run: Run, left: Iterator[Instance]) -> Run:
    found: Sequence[Instance] = tuple(next(left) for _ in range(run.count))
    same = all(instance is found[0] for instance in found)
    return replace(run, instances=tuple(found[:1] if same else found), each=None)
