"""A block as what is drawn of it: ops, and rows of units, equal units in a row as one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resgraph.graph import OUTPUT, STEM, Block, Call, Graph, Instance, Node, Row, Run
from resgraph.graph.ir import HEAD, Part, Style, row_values
from resgraph.ops import Shape


@dataclass(frozen=True)
class Cell:
    """An op of a block, or equal units of one of its rows.

    The name of units is that of the first one in the state_dict: `se`, `stage1.0`. Of a
    draft, what the units are may not be known: then there are no instances.
    """

    name: str
    reads: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    """Its values: its name, or `se.a` and `se.b` of units that have several outputs."""
    node: Node | None = None
    row: Row | None = None
    call: Call | None = None
    instances: tuple[Instance, ...] = ()
    """One, or as many as there are units, where each reads more channels."""
    index: int = 0
    """The number of the first unit in its row."""
    count: int = 1
    outer: str = ""
    """What stands before its name, of units in another one: `stage1.0.`."""

    @property
    def instance(self) -> Instance | None:
        return self.instances[0] if self.instances else None

    @property
    def block(self) -> Block | None:
        return self.instances[0].block if self.instances else None

    @property
    def unit(self) -> str:
        """What the units are called in the spec; nothing, of an op."""
        return self.call.block if self.call else self.block.name if self.block else ""

    @property
    def staged(self) -> bool:
        """Whether it is of a stage: neither stem, nor head, nor used by no stage."""
        return self.row is not None and self.row.name not in (STEM, HEAD)

    @property
    def prefix(self) -> str:
        """What stands before the names of its first unit's layers."""
        return self.row.prefix(self.index) if self.row else ""

    @property
    def kind(self) -> tuple[Hashable, ...]:
        """What tells units of one name apart, but for numbers: what their other arguments
        are, and which ops and units are in them."""
        instance = self.instances[0]
        parts = ((part.name, _made_of(part)) for part in instance.block.nodes)
        return (self.unit, *instance.fixed.items(), *parts)

    @property
    def last(self) -> str:
        """The name of the last unit."""
        return (
            unit_name(self.row, self.index + self.count - 1) if self.row else self.name
        )

    @property
    def outputs(self) -> tuple[Shape | None, ...]:
        """The shapes of its values, as far as they are known."""
        if not self.instances:
            return tuple(None for _ in self.gives)
        last = self.instances[-1]
        return tuple(last.shapes.get(value) for value in last.block.results.values())

    def holds(self, layer: str) -> bool:
        """Whether the layer of that name is the op, or is in one of the units."""
        return layer == self.name if self.row is None else self.within(layer) != ""

    def within(self, layer: str) -> str:
        """The name of the layer in its unit; nothing where it is in none of these."""
        if self.row is None or not layer.startswith(f"{self.row.name}."):
            return ""
        inside = layer.removeprefix(f"{self.row.name}.")
        if self.row.style is not Style.NUMBERED:
            return inside
        number, _, inside = inside.partition(".")
        known = number.isdecimal() and 0 <= int(number) - self.index < self.count
        return inside if known else ""


def cells(instance: Instance) -> list[Cell]:
    """What the block is made of, in reading order; each reads inputs of the block, and
    values of cells before it."""
    found: list[Cell] = []
    alias: dict[str, str] = {}
    for part in instance.block.nodes:
        reads = tuple(alias.get(i, i) for i in part.inputs)
        if isinstance(part, Node):
            found.append(Cell(part.name, reads, (part.name,), part))
        else:
            found += _row(part, instance.runs.get(part.name, ()), reads)
            alias |= _named(part.name, found[-1])
    return found


def results(instance: Instance) -> dict[str, str]:
    """By the name of each output its value, as the cells call it; none of a block that
    lacks the path `out`."""
    block, alias = instance.block, dict[str, str]()
    for cell in cells(instance):
        if cell.row is not None:
            alias |= _named(cell.row.name, cell)
    if block.outputs is None and block.paths and OUTPUT not in block.values:
        return {}
    return {name: alias.get(value, value) for name, value in block.results.items()}


def whole(instance: Instance) -> bool:
    """Whether all of it is known, whatever its shapes: as it is where nothing was found."""
    known = {*instance.block.inputs}
    for cell in cells(instance):
        inner = [*map(whole, cell.instances)]
        if cell.name in known or not cell.reads or not {*cell.reads} <= known:
            return False
        if cell.node is None and not (inner and all(inner)):
            return False
        known.update(cell.gives)
    given = results(instance).values()
    return bool(given) and {*given} <= known


def values(instance: Instance) -> dict[str, Shape]:
    """The shapes of its inputs and of the values of its cells, as far as they are known."""
    shapes = {n: s for n, s in instance.shapes.items() if n in instance.block.inputs}
    for cell in cells(instance):
        given = (
            [instance.shapes.get(cell.name)] if cell.node is not None else cell.outputs
        )
        shapes |= {
            v: s for v, s in zip(cell.gives, given, strict=False) if s is not None
        }
    return shapes


def parts(graph: Graph) -> list[Cell]:
    """The stem, the units of each stage, the head, and units that no stage names."""
    found = cells(graph.network)
    used = {block.name for block in graph.program.used}
    rest = [
        Cell(name, instances=(Instance(block, {}, {}),))
        for name, block in graph.units.items()
        if name not in used and block.span.file == graph.file
    ]
    return found + rest


def nested(found: Sequence[Cell]) -> Iterator[tuple[Cell, int]]:
    """The cells, then those of the units in them, whatever the depth; with how often each
    is used there. Into a unit that is at several places alike it is looked once."""
    seen, left = set[int](), [(cell, cell.count) for cell in found]
    for cell, times in left:
        yield cell, times
        if cell.instance is not None and id(cell.instance) not in seen:
            seen.add(id(cell.instance))
            outer = cell.outer + cell.prefix
            inner = (c for c in cells(cell.instance) if c.row is not None)
            left += [(replace(c, outer=outer), c.count * times) for c in inner]


def stages(graph: Graph) -> Mapping[str, Sequence[Cell]]:
    """The units of each stage, by its name."""
    found: dict[str, list[Cell]] = {row.name: [] for row, _ in graph.stages}
    for cell in cells(graph.network):
        if cell.row is not None and cell.staged:
            found[cell.row.name].append(cell)
    return found


def _row(row: Row, runs: Sequence[Run], reads: tuple[str, ...]) -> Iterator[Cell]:
    index = 0
    for call in row.calls:
        own = [run for run in runs if run.call is call]
        for instances, count in [(run.instances, run.count) for run in own] or [
            ((), _repeat(call))
        ]:
            name = unit_name(row, index)
            outputs = instances[-1].block.results if instances else ()
            gives = row_values(name, outputs)
            yield Cell(name, reads, gives, None, row, call, instances, index, count)
            reads, index = gives, index + count


def _made_of(part: Part) -> tuple[str, ...]:
    if isinstance(part, Node):
        return (part.op.kind,)
    return tuple(call.block for call in part.calls)


def _repeat(call: Call) -> int:
    return call.repeat if isinstance(call.repeat, int) else 1


def unit_name(row: Row, index: int) -> str:
    """What the unit of that number is called; the stem and the head by their rows."""
    return row.prefix(index).removesuffix(".") or row.name


def _named(row: str, cell: Cell) -> dict[str, str]:
    """What the names of a row's values stand for, of which the cell is the last one."""
    return {row + value.removeprefix(cell.name): value for value in cell.gives}
