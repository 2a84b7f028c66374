"""A unit as what a comparison looks at: its ops, and units in it that are not looked into."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import Span
from resgraph.diff.isomorphism import Label, Numbers, label
from resgraph.graph import Instance, Node, Row, Run
from resgraph.ops import Role
from resgraph.values import show

REPEAT = "repeat"


@dataclass(frozen=True)
class Item:
    """An op, or a unit in the unit, perhaps several times in a row."""

    name: str
    """As the state_dict has it: `se.conv1`; of a unit that of the first one."""
    kind: str
    """The op's, or the unit's name."""
    attributes: Mapping[str, Any]
    """What differs from the defaults; of a unit its arguments."""
    fields: Mapping[str, Any]
    """All of them, to be compared."""
    label: Label
    reads: tuple[str, ...]
    """The items, or the unit's inputs."""
    span: Span
    role: Role
    commutes: bool
    last: str
    """The op that makes its value."""
    inner: tuple[int, ...] = ()
    """Of units, which they are."""


@dataclass(frozen=True)
class View:
    """A unit's items in reading order, which is a topological one."""

    items: Mapping[str, Item]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, unit: Instance, numbers: Numbers, opened: Collection[str] = ()) -> View:
        """Of a unit; the units in it whose names are `opened` are looked into."""
        viewer = _Viewer(numbers, opened)
        inputs = unit.block.inputs
        results = viewer.walk(unit, "", dict(zip(inputs, inputs, strict=True)))
        return cls(viewer.items, inputs, tuple(results))


class _Viewer:
    def __init__(self, numbers: Numbers, opened: Collection[str]) -> None:
        self.numbers, self.opened = numbers, opened
        self.items: dict[str, Item] = {}

    def walk(
        self, unit: Instance, prefix: str, values: dict[str, str]
    ) -> Iterator[str]:
        """Note the items of a unit, whose inputs are these values; what its outputs are."""
        for part in unit.block.nodes:
            given = tuple(values[value] for value in part.inputs)
            if isinstance(part, Node):
                self._note(_op(part, prefix, given))
                values[part.name] = prefix + part.name
                continue
            made = self._row(unit, part, prefix, given)
            values |= {f"{part.name}.{name}": value for name, value in made.items()}
            values[part.name] = next(iter(made.values()))
        return (values[value] for value in unit.block.results.values())

    def _note(self, item: Item) -> None:
        self.items[item.name] = item

    def _row(
        self, unit: Instance, row: Row, prefix: str, given: tuple[str, ...]
    ) -> dict[str, str]:
        """Note the items of a row; by the name of each output, its value."""
        index, results = 0, dict[str, str]()
        for run in unit.runs[row.name]:
            here = prefix + row.prefix(index)
            first = run.instances[0]
            if here.removesuffix(".") in self.opened:
                named = dict(zip(first.block.inputs, given, strict=True))
                given = tuple(self.walk(first, here, named))
            else:
                last = prefix + row.prefix(index + run.count - 1)
                item = self._unit(run, row, here.removesuffix("."), last, given)
                self._note(item)
                given = (item.name,) * len(first.block.results)
            results = dict(zip(first.block.results, given, strict=True))
            index += run.count
        return results

    def _unit(
        self, run: Run, row: Row, name: str, last: str, given: tuple[str, ...]
    ) -> Item:
        first, inner = run.instances[0], tuple(map(self.numbers.of, run.instances))
        repeat = {REPEAT: run.count} if run.count > 1 else {}
        args = {key: show(value) for key, value in first.args.items()}
        return Item(
            name,
            run.call.block,
            args | repeat,
            args | {REPEAT: run.count},
            ("unit", *map(self.numbers.digest, run.instances), str(run.count)),
            tuple(dict.fromkeys(given)),
            row.span,
            Role.WEIGHT if first.parameters else Role.PLAIN,
            False,
            last + first.flat.block.output,
            inner,
        )


def _op(node: Node, prefix: str, given: tuple[str, ...]) -> Item:
    op, name = node.op, prefix + node.name
    fields = {key: getattr(op, key) for key in type(op).model_fields if key != "name"}
    return Item(
        name,
        op.kind,
        op.attributes(),
        fields,
        label(op, len(given)),
        given,
        node.span,
        op.role,
        op.commutes,
        name,
    )
