"""Spec -> Program: names become nodes, parameters become values, units stay symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from resgraph.diagnostics import Diagnostic, Span
from resgraph.expr import Expr, literal
from resgraph.graph.build_call import Around, Calls, around_end
from resgraph.graph.build_unit import Lowering
from resgraph.graph.build_unread import Unread
from resgraph.graph.defaults import Defaults
from resgraph.graph.ir import (
    HEAD,
    OUTPUT,
    STEM,
    Block,
    Call,
    Gaps,
    Param,
    Part,
    Path,
    Program,
    Row,
    Style,
    row_values,
    sequence,
    stage_name,
)
from resgraph.graph.params import COUNT, Params, Setting
from resgraph.graph.uses import (
    CONTEXT,
    POSITION,
    Kind,
    Use,
    Uses,
    in_condition,
    with_first,
)
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import Op
from resgraph.ops.fields import AnyField, FlagField, NumberField
from resgraph.ops.given import Given
from resgraph.ops.unknown import NAMELESS, doubted, unknown
from resgraph.recipe.words import where
from resgraph.spec import Loaded
from resgraph.spec.model import End, Stage
from resgraph.spec.tree import Items, Loc, at, key_span, plain
from resgraph.values import Value

_PARAMS = ("network", "params")
_STAGES = ("network", "stages")


@dataclass
class Builder:
    """Builds one network of a spec, and gathers findings instead of stopping at the first.

    What the spec has gaps for is not known in the program either. Afterwards `unread` has the
    network's parameters that nothing reads, those of a spec that it extends among them.
    """

    loaded: Loaded
    name: str
    settings: Mapping[str, Setting]
    findings: list[Diagnostic] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec, self.gaps = self.loaded.spec, self.loaded.gaps
        self.lowering = Lowering(self.loaded)
        self._last: dict[str, str] = {}
        self._places: dict[Span, Loc] = {}

    def build(self) -> Program:
        """The program; sound only if `findings` stays empty."""
        network = self.spec.network
        self.params = Params(
            network.params,
            {n: self._at("network", "params", n) for n in network.params},
            self.settings,
            unknown={n for n in network.params if self.gaps.at(*_PARAMS, n)},
            more=self.gaps.at(*_PARAMS) or self.gaps.at("network"),
            units=[*self.spec.units],
            findings=self.findings,
        )
        self.blocks = self._blocks()
        program = Program(
            name=self.name,
            title="" if self.gaps.at("title") else self.spec.title,
            file=self.loaded.file,
            input=self._input(),
            blocks=self.blocks,
            ends=self._ends(),
            network=self._network(),
            recipe=self._recipe(),
            classes=self._classes(),
            span=self._key("network"),
            input_span=self._at("network", "input"),
        )
        strangers = self.calls.strangers
        unread = Unread(self.loaded, self.settings, self.params, strangers)
        self.unread = unread.params_unread()
        unread.units(program)
        return replace(program, blocks=self.blocks | strangers)

    def _blocks(self) -> dict[str, Block]:
        """The units, symbolic, with their defaults."""
        spec = self.spec.units
        made = [(self.lowering.unit(name, unit), unit) for name, unit in spec.items()]
        uses = Uses({block.name: block for block, _ in made})
        defaults = Defaults(self.loaded, self.params, uses)
        given = {b.name: defaults.given(b, unit) for b, unit in made}
        self.calls = Calls(
            self.loaded,
            self.params,
            given,
            Uses(given),
            defaults.optional,
            self._places,
        )
        return {name: self.calls.within(block) for name, block in given.items()}

    def _at(self, *loc: str | int) -> Span:
        return at(self.loaded.tree, loc).span

    def _key(self, *loc: str | int) -> Span:
        return key_span(self.loaded.tree, loc)

    def _classes(self) -> int | None:
        """The number of classes, where the network has a parameter of that name."""
        classes = self.params.values.get("classes")
        return int(classes) if isinstance(classes, Fraction) else None

    def _recipe(self) -> dict[str, object]:
        """The recipe as it is printed, with what the spec writes out."""
        recipe, written = self.spec.train, plain(at(self.loaded.tree, ("train",)))
        return recipe.marked(w for w in recipe.as_dict() if where(w, written)).as_dict()

    def _input(self) -> tuple[int, ...]:
        """The input's shape; empty where it is not known."""
        sides = [
            self.params.settle(v, COUNT, self._at("network", "input", i), "the input")
            for i, v in enumerate(self.spec.network.input)
        ]
        if self.gaps.at("network") or self.gaps.within("network", "input"):
            return ()
        shape = tuple(int(side) for side in sides if side is not None)
        return shape if len(shape) == len(sides) else ()

    # --- stem and head -------------------------------------------------------------------------

    def _ends(self) -> dict[str, Block]:
        """The stem and the head as blocks, their expressions evaluated."""
        network = self.spec.network
        ends = {STEM: self._end(STEM, network.stem or End())}
        if network.head is not None:
            ends[HEAD] = self._end(HEAD, network.head)
        return ends

    def _end(self, name: str, end: End) -> Block:
        loc, span = ("network", name), self._key("network", name)
        if end.paths:
            gaps = self.lowering.unknown(loc)
            empty = Block(name, "", (), (), (), span, tuple(end.inputs), gaps=gaps)
            made = self.lowering.block(empty, end.paths, loc, OUTPUT, f"{name}_")
        else:
            keyed = (*loc, "ops") if end.keyed else loc
            chain = self.lowering.chain(end.ops, keyed, f"{name}_", numbered=False)
            inputs = self._called(end)
            chain = [with_first(node, inputs) for node in chain]
            made = sequence(name, "", self.lowering.linked(chain, inputs), span)
            starts = (replace(path, sources=inputs) for path in made.paths)
            made = replace(made, inputs=inputs, paths=tuple(starts))
        around = around_end(made)
        self.params.around = around.names
        nodes = tuple(self._settled(node, around) for node in made.nodes)
        self.params.around = ()
        made = replace(made, nodes=nodes)
        read = {use.name for use in Uses(self.blocks).of(made)}
        self.params.used |= read  # by conditions, too
        known = [n for n in self.params.values if n in read]
        params = tuple(Param(n, self.params.values[n], span) for n in known)
        return replace(made, params=params)

    @staticmethod
    def _called(end: End) -> tuple[str, ...]:
        """What a row of ops calls what comes in: x, or x1, x2 where it is more."""
        count = len(end.from_)
        if "inputs" in end.model_fields_set or count < 2:
            return tuple(end.inputs)
        return tuple(f"{INPUT}{number + 1}" for number in range(count))

    def _settled(self, node: Part, around: Around) -> Part:
        """The node with plain numbers; an unknown op, after findings, where some are wrong."""
        for use in () if node.when is None else in_condition(node.when, node):
            if use.name not in around.names.union(POSITION):  # of those, topology tells
                self.params.readable(use.name, use.span)
        if isinstance(node, Row):
            calls = tuple(self.calls.call(call, around) for call in node.calls)
            return replace(node, calls=calls)
        op = node.op
        if isinstance(op, Given):
            return replace(node, op=self._chosen(op, node.span))
        values: dict[str, Value | Expr | None] = {}
        for attribute, value in op.attributes().items():
            if isinstance(value, Expr):
                span = node.fields[attribute]
                values[attribute] = self._attribute(op, attribute, value, span, around)
        if wrong := [a for a, number in values.items() if number is None]:
            op = doubted(op, wrong)
        known = {a: _plain(v) for a, v in values.items() if v is not None}
        return replace(node, op=op.having(known))

    def _attribute(
        self, op: Op, name: str, value: Expr, span: Span, around: Around
    ) -> Value | Expr | None:
        """The value of an attribute, or what it is computed from by shapes."""
        kind, what = op.numbers()[name], f"{name} of {op.kind}"
        misplaced = self.calls.misplaced(value, around, span)
        if self.calls.later(value, around) or misplaced:
            readable = self.calls.rest_readable(value, around, span)
            return value if readable and not misplaced else None
        if isinstance(kind, NumberField):
            return self.params.settle(value, kind, span, what)
        return self._word(value, kind, span, what)

    def _chosen(self, op: Given, span: Span) -> Op:
        """The op that a parameter of the network is."""
        use = Use(op.param, Kind.OP, True, span)
        value = self.params.value(op.attributes()["op"], use, span, f"'{op.param}'")
        return value if isinstance(value, Op) else unknown(NAMELESS)

    def _word(
        self, value: Expr, field: AnyField, span: Span, what: str
    ) -> Value | None:
        kind = Kind.FLAG if isinstance(field, FlagField) else Kind.WORD
        return self.params.value(value, Use(what, kind, True, span), span, what)

    # --- stages --------------------------------------------------------------------------------

    def _network(self) -> Block:
        """The network as a block of rows: the stem, the stages, the head."""
        network, span = self.spec.network, self._key("network")
        rows = [self._end_row(STEM, [(INPUT, self._key("network", STEM))])]
        values, before = {INPUT: INPUT, STEM: STEM}, STEM
        for number, stage in enumerate(network.stages):
            name = stage.name or stage_name(number + 1)
            loc = (*_STAGES, stage.name or number)
            inputs = self._inputs(stage.from_, before, values, (*loc, "from"))
            rows.append(self._stage(number, name, stage, inputs, loc))
            values[name] = before = name
        if network.head is not None:
            from_ = ("network", HEAD, "from")
            inputs = self._inputs(network.head.from_, before, values, from_)
            rows.append(self._end_row(HEAD, inputs))
            values[HEAD] = before = HEAD
        paths = tuple(self._path(row) for row in rows)
        several = {
            row.name: found for row in rows if len(found := self._results(row.name)) > 1
        }
        outputs = network.outputs or {OUTPUT: before}
        block = Block(
            self.name,
            "",
            (),
            paths,
            tuple(rows),
            span,
            (INPUT,),
            outputs,
            several=several,
            gaps=Gaps(paths=self._stages_unknown(), sources=self._sources_meant()),
        )
        return self.lowering.returning(block, values, ("network", "outputs"))

    def _stages_unknown(self) -> bool:
        """Whether there may be other stages."""
        return self.gaps.at("network") or self.gaps.at(*_STAGES)

    def _sources_meant(self) -> frozenset[str]:
        """The stages that may be meant where it is not known what is read, or returned."""
        found = set[str]()
        for place, words in self.gaps.places.items():
            ends = place[:2] in (_STAGES, ("network", HEAD), ("network", "outputs"))
            deep = len(place) > 3 and place[3] != "from" and place[1] == "stages"
            if place == ("network",) or (ends and not deep):
                found |= words
        return frozenset(found)

    def _path(self, row: Row) -> Path:
        """A stage as a path of the network."""
        spans = tuple(row.fields.get(name, row.span) for name in row.inputs)
        return Path(row.name, row.inputs, row.span, spans)

    def _inputs(
        self,
        sources: Sequence[str],
        before: str,
        values: Mapping[str, str],
        loc: Loc,
    ) -> list[tuple[str, Span]]:
        """What a stage starts from, each with its place; else all of what is before it."""
        span = self._at(*loc)
        default = [(name, span) for name in self._results(before)]
        if self.gaps.at(*loc[:-1]):
            return [*default, (SOMETHING, span)]
        if self.gaps.at(*loc):
            return [(SOMETHING, span)]
        if not sources:
            return default
        return [
            (Block.value(source, values), self._at(*loc, i))
            for i, source in enumerate(sources)
        ]

    def _end_row(self, name: str, inputs: Sequence[tuple[str, Span]]) -> Row:
        span = self._key("network", name)
        call = Call(name, {}, 1, span)
        read = tuple(value for value, _ in inputs)
        return Row(
            name, read, span, dict(inputs), name, calls=(call,), style=Style.INLINE
        )

    def _stage(
        self,
        number: int,
        name: str,
        stage: Stage,
        inputs: Sequence[tuple[str, Span]],
        loc: Loc,
    ) -> Row:
        span = self._key(*loc) if stage.name else self._at(*loc)
        units = loc if isinstance(at(self.loaded.tree, loc), Items) else (*loc, "units")
        self.params.context = {"stage": Fraction(number)}
        self.params.around = CONTEXT
        made = [self.lowering.call(u, (*units, i)) for i, u in enumerate(stage.units)]
        self._places |= {c.span: (*units, i) for i, c in enumerate(made)}
        calls = tuple(
            self.calls.call(c, Around(later=i > 0)) for i, c in enumerate(made)
        )
        self.params.context, self.params.around = {}, ()
        self._last[name] = calls[-1].block
        read, style = tuple(value for value, _ in inputs), Style.NUMBERED
        return Row(name, read, span, dict(inputs), name, calls=calls, style=style)

    def _results(self, row: str) -> tuple[str, ...]:
        return row_values(row, self.lowering.outputs.get(self._last.get(row, ""), ()))


def _plain(value: Value | Expr) -> Any:
    """A value as an op has it: a number of Python's own."""
    return literal(value) if isinstance(value, Fraction) else value
