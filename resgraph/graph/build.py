"""Spec -> Program: names become nodes, parameters become values, units stay symbolic."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from resgraph import codes
from resgraph.diagnostics import (
    ANY,
    Code,
    Diagnostic,
    Note,
    Span,
    did_you_mean,
    like,
    meant,
    nearest,
)
from resgraph.expr import Expr, literal
from resgraph.graph.build_unit import Lowering
from resgraph.graph.build_unread import Unread
from resgraph.graph.defaults import Defaults
from resgraph.graph.ir import (
    HEAD,
    OUTPUT,
    REPEAT,
    STEM,
    Block,
    Call,
    Gaps,
    Node,
    Param,
    Part,
    Path,
    Program,
    Row,
    Style,
    sequence,
    stage_name,
)
from resgraph.graph.params import COUNT, Params, Setting, expressions
from resgraph.graph.uses import (
    CONTEXT,
    NETWORK,
    Kind,
    Use,
    Uses,
    context,
    of_callee,
    read,
    unused,
)
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import OPS, Op
from resgraph.ops.fields import AnyField, FlagField, NumberField
from resgraph.ops.given import Given
from resgraph.ops.unknown import NAMELESS, doubted, unknown
from resgraph.recipe.words import where
from resgraph.spec import Loaded
from resgraph.spec.model import End, Stage
from resgraph.spec.opitem import BESIDE
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
        self.strangers: dict[str, Block] = {}
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
        )
        unread = Unread(
            self.loaded, self.settings, self.params, self.strangers, self.findings
        )
        self.unread = unread.params_unread()
        unread.units(program)
        return replace(program, blocks=self.blocks | self.strangers)

    def _blocks(self) -> dict[str, Block]:
        """The units, symbolic, with their defaults."""
        spec = self.spec.units
        made = [(self.lowering.unit(name, unit), unit) for name, unit in spec.items()]
        self.uses = Uses({block.name: block for block, _ in made})
        self.defaults = Defaults(self.loaded, self.params, self.uses)
        given = [self.defaults.given(block, unit) for block, unit in made]
        self.blocks = {block.name: block for block in given}
        self.uses = Uses(self.blocks)
        return {block.name: self._with_calls(block) for block in given}

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
            made = sequence(name, "", self.lowering.linked(chain, inputs), span)
            starts = (replace(path, sources=inputs) for path in made.paths)
            made = replace(made, inputs=inputs, paths=tuple(starts))
        made = replace(made, nodes=tuple(map(self._settled, made.nodes)))
        read = {n for use in Uses(self.blocks).of(made) for n in [use.name]}
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

    def _settled(self, node: Part) -> Part:
        """The node with plain numbers; an unknown op, after findings, where some are wrong."""
        if isinstance(node, Row):
            return replace(node, calls=tuple(map(self._call, node.calls)))
        op, numbers = node.op, node.op.numbers()
        if isinstance(op, Given):
            return replace(node, op=self._chosen(op, node.span))
        values: dict[str, Value | None] = {}
        for attribute, value in op.attributes().items():
            if isinstance(value, Expr) and not self._in_context(value):
                what, span = f"{attribute} of {op.kind}", node.fields[attribute]
                kind = numbers[attribute]
                values[attribute] = (
                    self.params.settle(value, kind, span, what)
                    if isinstance(kind, NumberField)
                    else self._word(value, kind, span, what)
                )
        if wrong := [a for a, number in values.items() if number is None]:
            op = doubted(op, wrong)
        known = {a: _plain(v) for a, v in values.items() if v is not None}
        return replace(node, op=op.having(known))

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

    def _in_context(self, value: Expr, names: Iterable[str] = CONTEXT[:3]) -> bool:
        """Whether it reads what only the place of a unit, or its input, decides."""
        known = self.params.written.keys() | self.params.context
        return any(n in names and n not in known for n in value.names)

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
        made = [self.lowering.call(u, (*units, i)) for i, u in enumerate(stage.units)]
        self._places |= {c.span: (*units, i) for i, c in enumerate(made)}
        calls = tuple(map(self._call, made))
        self.params.context = {}
        self._last[name] = calls[-1].block
        read, style = tuple(value for value, _ in inputs), Style.NUMBERED
        return Row(name, read, span, dict(inputs), name, calls=calls, style=style)

    def _results(self, row: str) -> tuple[str, ...]:
        several = self.lowering.outputs.get(self._last.get(row, ""), ())
        return tuple(f"{row}.{o}" for o in several) if len(several) > 1 else (row,)

    # --- uses of units -------------------------------------------------------------------------

    def _with_calls(self, block: Block) -> Block:
        """A unit with its uses of other units checked, and with what they leave out."""
        names = {param.name for param in block.params} | context(block)
        nodes = [
            replace(n, calls=tuple(self._call(c, names) for c in n.calls))
            if isinstance(n, Row)
            else n
            for n in block.nodes
        ]
        return replace(block, nodes=tuple(nodes))

    def _call(self, call: Call, names: Collection[str] | None = None) -> Call:
        """The use of a unit with all its arguments: in the network they have values, in a
        unit they are written with its `names`."""
        unit = self.blocks.get(call.block)
        if unit is None:
            unit = self._stranger(call)
        first = self.uses.first(unit)
        args = {p.name: of_callee(p.default) for p in unit.params}
        needed = {p.name for p in unit.params if p.default is None}
        needed -= {p for u, p in self.defaults.optional if u == unit.name}
        needed -= self.gaps.names if unit.gaps.params else set()
        for written in call.keys:
            name = self._param(unit, written, call)
            needed.discard(name)
            if written not in call.args:  # what is there is not known
                args[name] = None
                continue
            use = first.get(name) or unused(name, unit)
            what, span = f"'{written}' of '{unit.name}'", call.fields[written]
            value = call.args[written]
            args[name] = (
                self._argument(value, use, span, what)
                if names is None
                else self.params.symbolic(value, use, span, what, names)
            )
        if not call.unsure:
            self._missing(unit, needed, call.span)
        known = {p.name: v for p in unit.params if (v := args[p.name]) is not None}
        spans = {p.name: p.span for p in unit.params if read(known.get(p.name))}
        call = replace(call, args=known, fields={**spans, **call.fields})
        return self._repeated(call, names is None)

    def _repeated(self, call: Call, in_network: bool) -> Call:
        """The use with its repeat, which in the network has a value."""
        repeat, endless = call.repeat, call.endless
        if in_network and isinstance(repeat, Expr):
            span = call.fields.get(REPEAT, call.span)
            number = self.params.settle(repeat, COUNT, span, "the repeat")
            endless, repeat = endless or number is None, int(number or 1)
        values = [*call.args.values(), repeat]
        names = {n for value in values for n in read(value)}
        given = {
            key: v
            for n, v in self.params.values.items()
            for key in ((n, NETWORK + n) if in_network else (NETWORK + n,))
            if key in names
        }
        repeat = 1 if endless else repeat
        return replace(call, repeat=repeat, endless=endless, given=given)

    def _argument(
        self, value: Any, use: Use, span: Span, what: str
    ) -> Value | Expr | None:
        """An argument in a stage: its value, or an expression over the unit's place."""
        if any(self._in_context(each, CONTEXT) for each in expressions(value)):
            rest = [n for n in read(value) if n not in CONTEXT or n == "stage"]
            readable = [self.params.readable(n, span) for n in rest]
            return (
                self.params.fitting(value, use, span, what) if all(readable) else None
            )
        return self.params.value(value, use, span, what)

    def _stranger(self, call: Call) -> Block:
        """What stands for a unit that is not there; of one that is named, a finding."""
        name, where = call.block, call.span
        units_meant = like({name}, self.blocks)
        if name == SOMETHING:
            found = meant(self._meant_at(call), self.blocks)
            units_meant = frozenset(found or {ANY})
        elif not self.gaps.at("units"):
            hint = did_you_mean(name, self.blocks)
            if name in OPS:
                hint = f"'{name}' is an op, and stands in a unit's paths"
            message = f"unknown unit '{name}'"
            self._report(codes.UNKNOWN_UNIT, message, where, hint, ("units", name))
        node = Node(NAMELESS, (INPUT,), where, {}, op=unknown(NAMELESS))
        gaps = Gaps(stranger=True, params=True, paths=True, sources=units_meant)
        unit = replace(sequence(name, "", [node], where), gaps=gaps)
        earlier = self.strangers.setdefault(name, unit).gaps.sources
        gaps = replace(gaps, sources=earlier | units_meant)
        self.strangers[name] = replace(self.strangers[name], gaps=gaps)
        return self.strangers[name]

    def _meant_at(self, call: Call) -> frozenset[str]:
        """The units that may be meant where a stage names none."""
        loc = self._places[call.span]
        places = [loc[:n] for n in range(2, len(loc) + 1) if self.gaps.at(*loc[:n])]
        return frozenset[str]().union(*(self.gaps.places[p] for p in places))

    def _param(self, unit: Block, name: str, call: Call) -> str:
        """The parameter that an argument is for: after a finding, the one that is meant."""
        known = [param.name for param in unit.params]
        if name in known:
            return name
        if not unit.gaps.params:
            message = f"unit '{unit.name}' has no parameter '{name}'"
            hint = did_you_mean(name, known)
            if name in BESIDE and nearest(name, known) is None:
                hint = (
                    f"write it beside the unit: {{{unit.name}: {{...}}, {name}: ...}}"
                )
            place = ("units", unit.name, "params", name)
            self._report(codes.UNKNOWN_ARGUMENT, message, call.keys[name], hint, place)
        return nearest(name, [k for k in known if k not in call.args]) or name

    def _missing(self, unit: Block, needed: Iterable[str], where: Span) -> None:
        spans = {param.name: param.span for param in unit.params}
        for name in needed:
            note = Note("the parameter is declared here", spans[name])
            message = f"unit '{unit.name}' needs '{name}'"
            self.findings.append(
                Diagnostic(codes.MISSING_ARGUMENT, message, where, notes=(note,))
            )

    def _report(
        self,
        code: Code,
        message: str,
        span: Span,
        hint: str | None = None,
        missing: Loc = (),
    ) -> None:
        found = Diagnostic(code, message, span, hint, missing=missing)
        self.findings.append(found)


def _plain(value: Value) -> Any:
    """A value as an op has it: a number of Python's own."""
    return literal(value) if isinstance(value, Fraction) else value
