"""Which classes a network needs: one for each unit, and one more for each other op, word or
truth value that its parameters have. Numbers are arguments of the constructor."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from resgraph.graph import Block, Graph, Instance, Row, Run
from resgraph.graph.scope import read
from resgraph.names import class_name
from resgraph.ops import Op
from resgraph.values import Value


@dataclass(eq=False)
class Variant:
    """A block with the instances that one class serves."""

    block: Block
    fixed: Mapping[str, Value]
    """The parameters that are no numbers: the class is written for their values."""
    instances: list[Instance]
    name: str = ""

    def apart(self) -> list[Variant]:
        """A class for each instance, where no formula holds in all of them."""
        return [replace(self, instances=[each]) for each in self.instances]


class Stretch(NamedTuple):
    """Blocks of a row that follow one another and are of one class."""

    run: Run
    first: int
    """The number of the first one in its row."""
    count: int
    instances: tuple[Instance, ...]
    """One for all of them, or one for each."""


@dataclass
class Variants:
    """The variants of a network's units; an instance asks for its own."""

    graph: Graph
    found: dict[int, Variant] = field(default_factory=dict)
    """By the key that its instances share."""
    _ids: dict[tuple[object, ...], int] = field(default_factory=dict)
    _keys: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept: list[
            Instance
        ] = []  # so that no other one gets the id of one of them
        self._seen: set[int] = set()
        self._gather(self.graph.network)

    def of(self, instance: Instance) -> Variant:
        """The variant that the instance is of."""
        return self.found[self.key(instance)]

    def stretches(self, row: Row, runs: Iterable[Run]) -> Iterator[Stretch]:
        """The blocks of a row, those of one class together."""
        for run in runs:
            if run.each is None or not self._has_ops(run):
                yield Stretch(run, run.first, run.count, run.instances)
                continue
            for i, instance in enumerate(run):
                self._gather_one(instance)
                yield Stretch(run, run.first + i, 1, (instance,))

    def _has_ops(self, run: Run) -> bool:
        """Whether the blocks of the run may be of several classes: an op reads its number."""
        calls = [run.call]
        for call in calls:
            if any(isinstance(v, Op) and read(v) for v in call.args.values()):
                return True
            calls += (c for r in self.graph.program.block(call).rows for c in r.calls)
        return False

    def ordered(self) -> list[Variant]:
        """In the order of the spec, and of a unit in that of the network; each with a name."""
        order = [block.name for block in self.graph.program.used]
        made = sorted(self.found.values(), key=lambda v: order.index(v.block.name))
        taken = {class_name(n) for n in [self.graph.name, *self.graph.units]}
        for name in order:
            _name([v for v in made if v.block.name == name], taken)
        return made

    def key(self, instance: Instance) -> int:
        """The same number for instances of one class."""
        if id(instance) not in self._keys:
            self._kept.append(instance)
            source = instance.source or instance.block
            rows = tuple(
                (row.name, self._row(row, instance)) for row in instance.block.rows
            )
            made = (source.name, *_fixed(instance).items(), rows)
            self._keys[id(instance)] = self._ids.setdefault(made, len(self._ids))
        return self._keys[id(instance)]

    def _row(self, row: Row, instance: Instance) -> tuple[object, ...]:
        """The classes of a row; with their numbers where there are several."""
        stretches = list(self.stretches(row, instance.runs[row.name]))
        keys = [(self.key(s.instances[0]), s.count) for s in stretches]
        kinds = {key for key, _ in keys}
        return tuple(kinds) if len(kinds) == 1 else tuple(keys)

    def _gather(self, instance: Instance) -> None:
        """Note the instances of its rows, each once, in the order of the network."""
        for row in instance.block.rows:
            for stretch in self.stretches(row, instance.runs[row.name]):
                for inner in stretch.instances:
                    self._gather_one(inner)

    def _gather_one(self, instance: Instance) -> None:
        source = instance.source or instance.block
        key = self.key(instance)
        if id(instance) in self._seen:
            return
        self._seen.add(id(instance))
        if source.name in self.graph.units:
            variant = Variant(source, _fixed(instance), [])
            self.found.setdefault(key, variant).instances.append(instance)
        self._gather(instance)


def _fixed(instance: Instance) -> dict[str, Value]:
    """The parameters whose values are no numbers, in the order of the unit."""
    source = instance.source or instance.block
    return {
        param.name: value
        for param in source.params
        if isinstance(
            value := instance.args.get(param.name, param.default), bool | str | Op
        )
    }


def unique(wanted: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}{'_' * wanted[-1].isdigit()}{number}"
    return name


def _name(variants: list[Variant], taken: set[str]) -> None:
    """Give a unit's classes their names: the plain one, or one with what tells them apart."""
    base = class_name(variants[0].block.name)
    differ = [
        name
        for name, value in variants[0].fixed.items()
        if any(variant.fixed[name] != value for variant in variants)
    ]
    if len(variants) == 1:
        variants[0].name = base
        return
    for variant in variants:
        words = "".join(_word(name, variant.fixed[name]) for name in differ)
        wanted = base + words
        free = wanted == base and all(v.name != base for v in variants)
        variant.name = base if free else unique(wanted, taken)
        taken.add(variant.name)


def _word(name: str, value: Value) -> str:
    """What a parameter's value adds to the name of a class."""
    match value:
        case bool():
            return class_name(name) if value else ""
        case Op():
            return class_name(value.kind)
    return "".join(
        class_name(word) for word in re.findall(r"[A-Za-z]+|\d+", str(value))
    )
