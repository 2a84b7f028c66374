"""A unit of a spec -> a block: paths become named nodes, parameters have their defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from resgraph.expr import Condition
from resgraph.graph.ir import (
    HEAD,
    OUTPUT,
    REPEAT,
    STEM,
    WHEN,
    Block,
    Call,
    Gaps,
    Node,
    Param,
    Part,
    Path,
    Row,
    Style,
    row_values,
)
from resgraph.graph.uses import path_when, with_first
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import Op
from resgraph.ops.given import Given
from resgraph.ops.unknown import doubted
from resgraph.spec import Loaded
from resgraph.spec.model import Path as SpecPath
from resgraph.spec.model import Unit as SpecUnit
from resgraph.spec.opitem import OpEntry, UnitUse
from resgraph.spec.tree import Loc, at, key_span, param_span
from resgraph.spec.tree import Mapping as Mapping_

_MAIN = ("F", OUTPUT)


@dataclass
class Lowering:
    """Makes nodes of the paths of a spec; `outputs` has the names of each unit's outputs."""

    loaded: Loaded

    def __post_init__(self) -> None:
        self.tree, self.gaps = self.loaded.tree, self.loaded.gaps
        self.outputs = {
            block_name(name): tuple(unit.outputs)
            for name, unit in self.loaded.spec.units.items()
        }

    def unit(self, name: str, unit: SpecUnit) -> Block:
        """The unit, symbolic, without its parameters' defaults; what the spec has gaps for
        is not known in it."""
        loc: Loc = ("units", name)
        main = next((p for p in _MAIN if p in unit.paths), "")
        return self.block(
            Block(
                block_name(name),
                unit.title or "",
                tuple(
                    Param(p, None, param_span(self.tree, name, p)) for p in unit.params
                ),
                (),
                (),
                key_span(self.tree, loc),
                tuple(unit.inputs),
                unit.outputs or None,
                gaps=self.unknown(loc),
            ),
            unit.paths,
            loc,
            main,
        )

    def block(
        self,
        block: Block,
        paths: Mapping[str, SpecPath],
        loc: Loc,
        main: str,
        prefix: str = "",
    ) -> Block:
        """The block with these paths, as written at `loc`.

        Names of layers begin with `prefix` and their path, those of `main` without a path.

        Its `outputs` are paths still, and become values.
        """
        headers = [self._header(n, p, (*loc, "paths", n)) for n, p in paths.items()]
        chains = {
            name: self._chain(
                name,
                path,
                (*loc, "paths", name),
                prefix if name == main else f"{prefix}{name}_",
                numbered=name == main and not prefix,
            )
            for name, path in paths.items()
        }
        values = {name: name for name in block.inputs}
        values |= {name: chain[-1].name for name, chain in chains.items()}
        nodes = [
            node
            for header, chain in zip(headers, chains.values(), strict=True)
            for node in self.linked(
                chain, tuple(Block.value(s, values) for s in header.sources)
            )
        ]
        nodes = [with_first(node, block.inputs) for node in nodes]
        several = {
            name: tuple(f"{name}{r.removeprefix(chain[-1].name)}" for r in results)
            for name, chain in chains.items()
            if len(results := self._results(chain[-1])) > 1
        }
        listed = enumerate(block.inputs if block.inputs != (INPUT,) else ())
        block = replace(
            block,
            paths=tuple(headers),
            nodes=tuple(nodes),
            several=several,
            input_spans={n: at(self.tree, (*loc, "inputs", i)).span for i, n in listed},
        )
        return self.returning(block, values, (*loc, "outputs"))

    def returning(self, block: Block, values: Mapping[str, str], loc: Loc) -> Block:
        """The block with values in the place of the paths that its outputs name."""
        if block.outputs is None:
            return block
        tree = at(self.tree, loc)
        by_name = isinstance(tree, Mapping_)
        spans = tuple(
            at(tree, (name if by_name else i,)).span
            for i, name in enumerate(block.outputs)
        )
        return replace(
            block,
            outputs={n: Block.value(s, values) for n, s in block.outputs.items()},
            returned=tuple(block.outputs.values()),
            returned_spans=spans,
        )

    def linked(self, chain: Sequence[Part], given: tuple[str, ...]) -> list[Part]:
        """The nodes with what each reads: the values of the one before it."""
        nodes: list[Part] = []
        for node in chain:
            nodes.append(replace(node, inputs=given))
            given = self._results(node)
        return nodes

    def _results(self, node: Part) -> tuple[str, ...]:
        """The values of a node: of a row that has several outputs, these."""
        last = node.calls[-1].block if isinstance(node, Row) else ""
        return row_values(node.name, self.outputs.get(last, ()))

    def _header(self, name: str, path: SpecPath, loc: Loc) -> Path:
        sources = [
            SOMETHING if self.gaps.at(*loc, "from", i) else source
            for i, source in enumerate(path.from_)
        ]
        if self.gaps.at(*loc, "from"):
            sources = [SOMETHING]
        spans = tuple(
            at(self.tree, (*loc, "from", i)).span for i, _ in enumerate(sources)
        )
        return Path(name, tuple(sources), key_span(self.tree, loc), spans)

    def _chain(
        self, name: str, path: SpecPath, loc: Loc, prefix: str, numbered: bool
    ) -> list[Part]:
        nodes = self.chain(path.ops, (*loc, "ops"), prefix, numbered, name)
        if path.when is not None:
            where = {WHEN: at(self.tree, (*loc, "when")).span}
            span = where[WHEN]
            where |= {path_when(name): span for name in path.when.names}
            nodes = [
                replace(n, when=_both(path.when, n), fields=where | {**n.fields})
                for n in nodes
            ]
        if self.gaps.at(*loc, "when"):
            nodes = [_doubtful(node) for node in nodes]
        first = nodes[0]
        merges = isinstance(first, Node) and first.op.inputs != (1, 1)
        if self.gaps.at(*loc, "from") and isinstance(first, Node) and merges:
            # it is not known how many there are
            nodes[0] = replace(first, op=doubted(first.op, any_inputs=True))
        return nodes

    def chain(
        self,
        items: Sequence[OpEntry],
        loc: Loc,
        prefix: str,
        numbered: bool,
        path: str = OUTPUT,
    ) -> list[Part]:
        """Nodes named by kind: `conv1`, `conv2` on the main path, `h_conv` on others."""
        spec = self.loaded.spec
        holder = spec.units[str(loc[1])] if loc[0] == "units" else spec.network
        items = [_given(item, holder.params) for item in items]
        kinds = [_kind(item) for item in items]
        unnamed = [k for k, item in zip(kinds, items, strict=True) if not _named(item)]
        totals, seen = Counter(unnamed), Counter[str]()
        nodes: list[Part] = []
        for i, (item, kind) in enumerate(zip(items, kinds, strict=True)):
            seen[kind] += not _named(item)
            several = numbered and not isinstance(item.what, UnitUse)
            number = seen[kind] if several or totals[kind] > 1 else ""
            nodes.append(self._node(item, f"{prefix}{kind}{number}", (*loc, i), path))
        return nodes

    def _node(self, item: OpEntry, name: str, loc: Loc, path: str) -> Part:
        span, what = at(self.tree, loc).span, item.what
        where = {WHEN: at(self.tree, (*loc, "when")).span} if item.when else {}
        doubtful = self.gaps.at(*loc, "when")
        if isinstance(what, UnitUse):
            style = Style.SINGLE if what.repeat is None else Style.NUMBERED
            call = self.call(what, loc)
            row = (own_name(what.name) or name, (), span, where, path, item.when)
            part: Part = Row(*row, calls=(call,), style=style)
            return _doubtful(part) if doubtful else part
        op = Given(param=what) if isinstance(what, str) else what
        fields = {f: at(self.tree, (*loc, op.kind, f)).span for f in op.written()}
        if isinstance(op, Given):
            fields = {"op": span}
        name = own_name(op.name) or name
        part = Node(name, (), span, fields | where, path, item.when, op=op)
        return _doubtful(part) if doubtful else part

    def call(self, use: UnitUse, loc: Loc) -> Call:
        """The use of a unit that is written at `loc`."""
        inside: Loc = (*loc, use.unit)
        unknown = {n for n in use.args if self.gaps.at(*inside, n)}
        fields = {n: at(self.tree, (*inside, n)).span for n in use.args}
        keys = {n: key_span(self.tree, (*inside, n)) for n in use.args}
        if use.repeat is not None:
            fields[REPEAT] = at(self.tree, (*loc, "repeat")).span
        whole = self.gaps.at(*loc)
        return Call(
            block_name(use.unit),
            {n: value for n, value in use.args.items() if n not in unknown},
            1 if use.repeat is None else use.repeat,
            key_span(self.tree, inside),
            fields,
            keys,
            endless=whole or self.gaps.at(*loc, "repeat"),
            unsure=whole or self.gaps.at(*inside),
        )

    def unknown(self, holder: Loc) -> Gaps:
        """What is not known of the unit, the stem or the head that stands there."""
        reads, sources = set[str](), set[str]()
        params = paths = False
        for place, mentioned in self.loaded.gaps.places.items():
            if place[:2] != holder:
                continue
            match place[2:]:
                case () | ("params",) | ("params", int()):
                    params, paths = True, paths or len(place) == 2
                case ("paths",) | ("inputs", *_) | ("outputs", *_):
                    paths = True
            if not {"from", "title"} & {*place[2:]}:
                reads |= mentioned
            if not {"ops", "title", "params"} & {*place[2:]}:
                sources |= mentioned
        stranger = holder[-1] == SOMETHING
        return Gaps(stranger, params, paths, frozenset(reads), frozenset(sources))


def block_name(unit: str) -> str:
    """What the unit is called here: the stem and the head have their names, and a unit that
    takes one of them, of which there is a finding, another."""
    return f"{unit}{SOMETHING}" if unit in (STEM, HEAD) else unit


def own_name(name: str | None) -> str | None:
    """The name that an item gives itself; `x` has a finding already."""
    return None if name == INPUT else name


def _given(item: OpEntry, params: Collection[str]) -> OpEntry:
    """The item; of a parameter that is called as a unit is, the parameter."""
    match item.what:
        case UnitUse(unit=name, args=args, repeat=None, name=None) if not args:
            return replace(item, what=name) if name in params else item
    return item


def _named(item: OpEntry) -> bool:
    """Whether it is a unit with a name of its own; those are not counted."""
    return isinstance(item.what, UnitUse) and item.what.name is not None


def _kind(item: OpEntry) -> str:
    match item.what:
        case UnitUse(unit=unit):
            return unit
        case Op(kind=kind):
            return kind
    return str(item.what)


def _both(when: Condition, node: Part) -> Condition:
    return when if node.when is None else when.both(node.when)


def _doubtful(node: Part) -> Part:
    """Nothing is known of what it makes, nor whether it is there."""
    if isinstance(node, Row):
        return replace(node, calls=tuple(replace(c, endless=True) for c in node.calls))
    return replace(node, op=doubted(node.op, any_inputs=True))
