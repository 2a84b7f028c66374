"""What one unit keeps for its gradient, counted from what each op states.

A tensor is counted once however many ops keep it, and only what is kept from the forward
to the gradient: not weights, not what an op needs while it runs. Of a value that no trained
weight has acted on nobody asks for a gradient: the ops that read only such values, and have no
weights, keep nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from resgraph.graph import Instance, Node
from resgraph.graph.dag import Dag
from resgraph.ops import Role, Saved, Shape


@dataclass(frozen=True)
class Kept:
    """What a unit keeps, for batches of any size and activations of any type."""

    elements: int
    """Per image, of activations that lie in none of its inputs and outputs."""
    bytes: int
    """Per image, of tensors of other types."""
    fixed: int
    """Bytes whatever the batch."""
    shared: Mapping[str, int]
    """Elements per image of what others may keep as well: the memory of its inputs, and that
    of its outputs, each by the name of the value that was put there."""
    held: frozenset[str]
    """Which of these it keeps."""
    outputs: tuple[str, ...]
    """For each of its outputs, in whose memory it lies."""
    needs: tuple[bool, ...]
    """For each of its outputs, whether it needs a gradient."""

    def inside(self, batch: int, size: int) -> int:
        """Bytes of what it alone keeps; `size` is that of an activation's element."""
        return batch * (self.elements * size + self.bytes) + self.fixed


def kept(
    instance: Instance, bn_relu: bool, needs: Sequence[bool] | None = None
) -> Kept:
    """What the unit keeps, with all units in it; with `bn_relu`, activations that can be
    computed anew are not. `needs` says which of its inputs need a gradient; None: all do.

    Where a BN feeds nothing but a ReLU, and that nothing but one op that can reread it,
    the op keeps what stands before the BN, which the BN keeps anyway.
    """
    count = len(instance.block.inputs)
    return _kept(_Key(instance), bn_relu, tuple(needs or [True] * count))


def fusable(instance: Instance) -> tuple[str, ...]:
    """The BNs whose BN-ReLU can be computed anew, by name, in reading order."""
    return _fusable(_Key(instance))


class _Key:
    """An instance, hashed by its identity: its own hash would walk all of its fields."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def __hash__(self) -> int:
        return id(self.instance)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.instance is self.instance


@lru_cache(maxsize=4096)
def _fusable(key: _Key) -> tuple[str, ...]:
    return tuple(bn for bn, _ in _fused(key.instance.flat))


@lru_cache(maxsize=4096)
def _kept(key: _Key, bn_relu: bool, given: tuple[bool, ...]) -> Kept:
    flat = key.instance.flat
    block, shapes = flat.block, flat.shapes
    needs = dict(zip(block.inputs, given, strict=True))
    anew = {relu for _, relu in _fused(flat)} if bn_relu else set()
    memory = {name: name for name in block.inputs}  # whose memory a value lies in
    held: set[str] = set()
    elements = other = fixed = 0
    for node in block.ops:
        saved, needs[node.name] = _saved(node, shapes, needs)
        memory[node.name] = memory[node.inputs[0]] if saved.view else node.name
        if node.name not in anew:
            held |= {memory[i] for i in saved.those(node.inputs) if i not in anew}
            held |= {memory[node.name]} if saved.output else set()
        elements += saved.elements
        other += saved.bytes
        fixed += saved.fixed
    outputs = tuple(memory[value] for value in block.results.values())
    shared = {name: prod(shapes[name]) for name in (*block.inputs, *outputs)}
    return Kept(
        elements=elements + sum(prod(shapes[v]) for v in held - shared.keys()),
        bytes=other,
        fixed=fixed,
        shared=shared,
        held=frozenset(held & shared.keys()),
        outputs=outputs,
        needs=tuple(needs[value] for value in block.results.values()),
    )


def _saved(
    node: Node, shapes: Mapping[str, Shape], needs: Mapping[str, bool]
) -> tuple[Saved, bool]:
    """What is kept of an op, and whether what it makes needs a gradient."""
    given = [shapes[i] for i in node.inputs]
    asked = [needs[i] for i in node.inputs]
    if any(asked) or any(weight.trainable for weight in node.op.weights(*given)):
        return node.op.saved_for(asked, *given), True
    return Saved(view=node.op.saved(*given).view), False


def _fused(flat: Instance) -> Iterator[tuple[str, str]]:
    """The BN and the ReLU of each BN-ReLU that can be computed anew."""
    dag = Dag[Node].of(flat.block)

    def only_reader(node: Node) -> Node | None:
        readers = dag.readers[node.name]
        return dag.nodes.get(readers[0]) if len(readers) == 1 else None

    for node in dag.nodes.values():
        if node.op.role is not Role.NORM:
            continue
        relu = only_reader(node)
        if relu is None or not _rectifies(relu):
            continue
        reader = only_reader(relu)
        if reader is not None and reader.op.rereads:
            yield node.name, relu.name


def _rectifies(node: Node) -> bool:
    """ReLU is the activation that changes nothing where nothing is negative."""
    return node.op.role is Role.ACTIVATION and node.op.idle(True)
