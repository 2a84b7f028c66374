"""A typed graph with its weights, and how a pass changes both together.

A pass decides place by place, since it may depend on the numbers there. Places that are
changed alike share one instance, so that the emitter still makes each distinct one once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resgraph.deploy.edit import Edit, Layers, Recipe, Tensors
from resgraph.deploy.units import edited
from resgraph.graph import Graph, Instance, Run
from resgraph.ops import Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

Source = Callable[[str, Weight], "NDArray[Any]"]
"""The tensor for a name of the state_dict, as the emitter asks for it."""


@dataclass(frozen=True)
class Network:
    """What is deployed: a graph whose `runs` hold the passes' work, and its weights.

    The graph's `units` are still those of the spec, and so is its digest. New tensors come
    as float64, and the emitter rounds them once.
    """

    graph: Graph
    weights: Source
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Each new layer's full name, and the layers of the state_dict that it is made of."""
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was done with each BN, by full name; for one that is kept, each
    pass's reason."""


def rewrite(network: Network, find: Callable[[Instance, Layers], Edit]) -> Network:
    """The network with every place edited as `find` says."""
    known: dict[tuple[int, Hashable], Instance] = {}
    recipes: dict[str, Callable[[], Tensors]] = {}
    origins, notes = dict(network.origins), dict(network.notes)
    changed: list[Instance] = []
    for prefix, instance in network.graph.parts():
        layers = _layers(network.weights, prefix, instance)
        edit = find(instance, layers)
        key = id(instance), edit.key
        if key not in known:
            known[key] = edited(instance, edit)
        changed.append(known[key])
        for layer, recipe in edit.recipes.items():
            recipes[prefix + layer] = _bound(recipe, layers)
        for layer, parents in edit.origins.items():
            found = [origins.pop(prefix + p, (prefix + p,)) for p in parents]
            origins[prefix + layer] = tuple(o for several in found for o in several)
        for bn, words in edit.done.items():
            notes[prefix + bn] = (words,)
        for bn, words in edit.kept.items():
            earlier = notes.get(prefix + bn)
            notes[prefix + bn] = (*earlier, words) if earlier else (f"kept: {words}",)
    graph = _with_places(network.graph, changed)
    return Network(graph, _derived(network.weights, recipes), origins, notes)


def _layers(weights: Source, prefix: str, instance: Instance) -> Layers:
    def read(layer: str) -> Tensors:
        return {
            weight.name: weights(f"{prefix}{layer}.{weight.name}", weight).astype(float)
            for name, weight in instance.weights
            if name == layer
        }

    return read


def _bound(recipe: Recipe, layers: Layers) -> Callable[[], Tensors]:
    return lambda: recipe(layers)


def _derived(weights: Source, recipes: Mapping[str, Callable[[], Tensors]]) -> Source:
    """The new layers' tensors when they are asked for, and the old ones as they were."""

    def read(name: str, weight: Weight) -> NDArray[Any]:
        layer, _, tensor = name.rpartition(".")
        if layer in recipes:
            return recipes[layer]()[tensor].reshape(weight.shape)
        return weights(name, weight)

    return read


def _with_places(graph: Graph, instances: Sequence[Instance]) -> Graph:
    """The graph with these instances in its places, in order of execution."""
    stem, *body, head = instances
    left = iter(body)
    runs = tuple(tuple(_refilled(run, left) for run in stage) for stage in graph.runs)
    return replace(graph, stem_run=stem, runs=runs, head_run=head)


def _refilled(run: Run, left: Iterator[Instance]) -> Run:
    found = tuple(next(left) for _ in range(run.count))
    same = all(instance is found[0] for instance in found)
    return replace(run, instances=found[:1] if same else found)
