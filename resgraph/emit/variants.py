"""Which classes a network needs: one for each unit, and one more for each other op, word or
truth value that its parameters have. Numbers are arguments of the constructor."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from resgraph.graph import Block, Graph, Instance, Run
from resgraph.graph.uses import read
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
        """Several classes, where no formula holds in all instances: one for those that have
        the same parts; where all have, one for each."""
        groups: dict[object, list[Instance]] = {}
        for each in self.instances:
            groups.setdefault(frozenset(n.name for n in each.block.nodes), []).append(
                each
            )
        if len(groups) == 1:
            return [replace(self, instances=[each]) for each in self.instances]
        return [replace(self, instances=each) for each in groups.values()]


@dataclass(frozen=True)
class Stretch:
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
    _of: dict[int, Variant] = field(default_factory=dict)
    """By the id of each instance."""
    _stretches: dict[int, list[Stretch]] = field(default_factory=dict)
    _instances: dict[str, list[Instance]] = field(default_factory=dict)
    """By unit, in the order of the network."""

    def __post_init__(self) -> None:
        self._seen: set[int] = set()
        self._gather(self.graph.network)
        self.bottom_up: list[Variant] = []
        """Each after those that it is made of."""
        for block in self._callees_first():
            self.bottom_up += self._grouped(self._instances.get(block.name, []))
        for key, stretches in self._stretches.items():
            self._stretches[key] = [*self._joined(stretches)]
        order = [block.name for block in self.graph.program.used]
        self.all = sorted(
            self.bottom_up, key=lambda variant: order.index(variant.block.name)
        )
        """In the order of the spec, and of a unit in that of the network."""
        taken = {class_name(n) for n in [self.graph.name, *self.graph.units]}
        for name in order:
            _name([v for v in self.all if v.block.name == name], taken)

    def of(self, instance: Instance) -> Variant:
        """The variant that the instance is of."""
        return self._of[id(instance)]

    def split(self, runs: Sequence[Run]) -> list[Stretch]:
        """The blocks of a row, those of one class together."""
        if id(runs) not in self._stretches:
            self._stretches[id(runs)] = [s for run in runs for s in self._of_run(run)]
        return self._stretches[id(runs)]

    def _of_run(self, run: Run) -> Iterator[Stretch]:
        if run.each is None or not self._has_ops(run):
            yield Stretch(run, run.first, run.count, run.instances)
        else:
            for i, instance in enumerate(run):
                yield Stretch(run, run.first + i, 1, (instance,))

    def _joined(self, stretches: list[Stretch]) -> Iterator[Stretch]:
        """Those of one class together that were apart because an op reads their number."""
        for _, group in groupby(
            stretches, lambda s: (id(s.run), id(self._of.get(id(s.instances[0]))))
        ):
            several = [*group]
            instances = tuple(i for s in several for i in s.instances)
            count = sum(s.count for s in several)
            yield replace(several[0], count=count, instances=instances)

    def _has_ops(self, run: Run) -> bool:
        """Whether the blocks of the run may be of several classes: an op reads its number."""
        calls = [run.call]
        for call in calls:
            if any(isinstance(v, Op) and read(v) for v in call.args.values()):
                return True
            calls += (c for r in self.graph.program.block(call).rows for c in r.calls)
        return False

    def _gather(self, instance: Instance) -> None:
        """Note the instances of its rows, each once."""
        for row in instance.block.rows:
            for stretch in self.split(instance.runs[row.name]):
                for inner in stretch.instances:
                    if id(inner) not in self._seen:
                        self._seen.add(id(inner))
                        self._instances.setdefault(inner.block.name, []).append(inner)
                        self._gather(inner)

    def _callees_first(self) -> Iterator[Block]:
        """The units, each after those that it is made of."""
        program, told = self.graph.program, set[str]()
        left = [(block, False) for block in reversed(program.used)]
        while left:
            block, ready = left.pop()
            if ready:
                yield block
            elif block.name not in told:
                told.add(block.name)
                left.append((block, True))
                calls = (call for row in block.rows for call in row.calls)
                left += ((program.block(call), False) for call in calls)

    def _grouped(self, instances: list[Instance]) -> list[Variant]:
        """The instances of a unit, those that one class serves together."""
        several = self._several(instances)
        found: dict[tuple[object, ...], Variant] = {}
        for instance in instances:
            fixed = instance.fixed
            key = (*fixed.items(), *(self._row(row, instance) for row in several))
            block = instance.source or instance.block
            variant = found.setdefault(key, Variant(block, fixed, []))
            variant.instances.append(instance)
            self._of[id(instance)] = variant
        return list(found.values())

    def _several(self, instances: list[Instance]) -> list[str]:
        """The rows whose classes are not decided by the unit's own parameters."""
        found: dict[tuple[object, ...], tuple[object, ...]] = {}
        several: dict[str, None] = {}
        for instance in instances:
            for row in instance.block.rows:
                key, kinds = (
                    (*instance.fixed.items(), row.name),
                    self._row(row.name, instance),
                )
                if found.setdefault(key, kinds) != kinds:
                    several[row.name] = None
        return list(several)

    def _row(self, name: str, instance: Instance) -> tuple[object, ...]:
        """The classes of a row; with their numbers where there are several."""
        stretches = self.split(instance.runs[name]) if name in instance.runs else []
        keys = [(id(self.of(s.instances[0])), s.count) for s in stretches]
        kinds = {key for key, _ in keys}
        return tuple(kinds) if len(kinds) == 1 else tuple(keys)


def unique(wanted: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}{'_' * wanted[-1].isdigit()}{number}"
    return name


def _name(variants: list[Variant], taken: set[str]) -> None:
    """Give a unit's classes their names: the plain one, or one with what tells them apart."""
    if not variants:
        return
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
