"""Infer every shape: each block once at each of its arguments and inputs, whatever the depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, product
from typing import Any

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.expr import Condition, Expr, ExprError
from resgraph.graph import Block, Call, Graph, Instance, Node, Part, Program, Row, Run
from resgraph.graph.ir import REPEAT, STEM, WHEN, Style, row_values
from resgraph.graph.params import COUNT
from resgraph.graph.scope import Context, Position, evaluated, scope
from resgraph.graph.typed import NodeError, renewed
from resgraph.graph.uses import OWN, POSITION, Uses, is_default, read
from resgraph.limits import DISTINCT_OPS, DISTINCT_UNITS, NESTED_UNITS
from resgraph.names import SOMETHING
from resgraph.ops import Op, OpError, Shape
from resgraph.ops.given import Given
from resgraph.ops.unknown import doubted
from resgraph.passes.blame import Read, Telling, Told, defaulted, used
from resgraph.passes.made import Made, each_of, shape_by_index
from resgraph.passes.output import check_output
from resgraph.passes.sides import (
    Doubted,
    Shapes,
    any_map,
    anything,
    by_input,
    common,
    fewest,
    known,
    merged,
    output,
    same,
    side_values,
    without,
)
from resgraph.values import Value

MOST_COMBINATIONS = 64


def infer_shapes(program: Program, uses: Uses) -> tuple[Graph, list[Diagnostic]]:
    """The program with its shapes, and a finding per op that does not fit its inputs.

    Of a draft, and after a finding, some shapes are not known: an instance then lacks them,
    and nothing is told of what depends on them alone.
    """
    inference = _Inference(program, uses)
    return Graph(program, inference.network()), inference.told.findings


@dataclass(frozen=True)
class _Typed:
    """An instance, and the shapes that each of its outputs may have."""

    instance: Instance
    outputs: tuple[Shapes, ...]
    findings: Sequence[int] = ()
    """What is told of it."""


@dataclass
class _Inference:
    program: Program
    uses: Uses
    told: Told = field(default_factory=Told)
    typed: dict[tuple[Any, ...], _Typed] = field(default_factory=dict)
    moved: dict[tuple[Any, ...], _Typed] = field(default_factory=dict)
    """The same at other numbers of their rows, where they ask for it."""
    active: list[str] = field(default_factory=list)
    """The blocks that are being typed, one within the other."""
    ops: int = 0
    full: bool = False

    def network(self) -> Instance:
        given: Shapes = (self.program.input or any_map(),)
        typed = _Inside(self, self.program.network, {}, {}, (given,), ()).typed()
        self.told.findings += check_output(self.program, typed.outputs)
        return typed.instance

    def is_full(self, call: Call) -> bool:
        """Whether there are as many distinct units as are taken; a finding the first time."""
        units, ops = len(self.typed), self.ops
        full = units > DISTINCT_UNITS or ops > DISTINCT_OPS
        if full and not self.full:
            what = f"{DISTINCT_OPS:,} ops in distinct units"
            if units > DISTINCT_UNITS:
                what = (
                    f"{DISTINCT_UNITS:,} units that differ in arguments or input shape"
                )
            found = Diagnostic(codes.TOO_LARGE, f"more than {what}", call.span)
            self.told.tell(found)
        self.full = full
        return full

    def instance(
        self,
        block: Block,
        args: Mapping[str, Value],
        context: Context,
        given: tuple[Shapes, ...],
        notes: tuple[Note, ...],
        origins: Sequence[Span | None],
    ) -> _Typed:
        """The block at these arguments and inputs; at each place alike, if it does not ask."""
        first = self.uses.first(block)
        place = [
            (name, context.get(name))
            for name in POSITION
            if name in first and (name != "index" or first[name].shape)
        ]
        shapes = [(type(each), *map(fewest, each)) for each in given]
        key = (id(block), *args.items(), *place, *shapes)
        if key in self.typed:
            self.told.again(self.typed[key].findings, notes)
            return self.typed[key]
        self.active.append(block.name)
        inside = _Inside(self, block, args, context, given, notes, origins=origins)
        with self.told.of(found := list[int]()):
            typed = inside.typed()
        self.typed[key] = replace(typed, findings=found)
        self.active.pop()
        self.ops += len(block.nodes)
        return self.typed[key]

    def numbered(self, typed: _Typed, number: Value, context: Context) -> _Typed:
        """What was typed at another number of a row, at this one. Raises `NodeError`."""
        key = (id(typed.instance), number)
        if key not in self.moved:
            position = {name: context[name] for name in POSITION if name in context}
            moved = renewed(typed.instance, typed.instance.args, position)
            self.moved[key] = replace(typed, instance=moved)
        return self.moved[key]


@dataclass
class _Inside(Telling):
    """The inference of one block at given arguments, inputs and place."""

    inference: _Inference
    block: Block
    args: Mapping[str, Value]
    context: Context
    given: tuple[Shapes, ...]
    notes: tuple[Note, ...]
    values: dict[str, Read] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)
    origins: Sequence[Span | None] = ()
    """Where what comes in is made, of several inputs."""
    sources: Sequence[Span | None] = ()
    """The same, of the row that is being typed."""

    def __post_init__(self) -> None:
        inputs, given = self.block.inputs, self.given
        given = (*given, *(anything() for _ in inputs[len(given) :]))[: len(inputs)]
        origins = (*self.origins, *(None for _ in inputs))
        for name, shapes, span in zip(inputs, given, origins, strict=False):
            self.values[name] = Read(name, span, shapes)
        self.context = {**self.context, **side_values(by_input(inputs, given))}
        self.names = scope(self.block, self.args, self.context)
        self.in_network = self.block is self.inference.program.network
        if not self.in_network and (mixed := self.inference.uses.mixed(self.block)):
            self.names = {n: v for n, v in self.names.items() if n not in mixed}

    @property
    def told(self) -> Told:
        return self.inference.told

    def typed(self) -> _Typed:
        nodes = [found for node in self.block.nodes if (found := self._part(node))]
        block = self._settled(nodes)
        shapes = {n: s for n, v in self.values.items() if (s := known(v.shapes))}
        kept = {n: s for n, s in shapes.items() if n not in self.alias}
        instance = Instance(block, self.args, kept, self.runs, self.block, self.names)
        return _Typed(instance, tuple(map(self._shapes, self.block.results.values())))

    def _settled(self, nodes: Sequence[Part]) -> Block:
        """The block with the nodes that are there, each reading what is there."""
        outputs = self.block.outputs
        if outputs is not None:
            outputs = {n: self.alias.get(v, v) for n, v in outputs.items()}
        return replace(self.block, nodes=tuple(nodes), outputs=outputs)

    def _shapes(self, value: str) -> Shapes:
        found = self.values.get(value)
        return found.shapes if found else anything()

    # --- nodes ----------------------------------------------------------------------------

    def _part(self, node: Part) -> Part | None:
        """The node with plain numbers; None where it is not there."""
        given = [self.values.get(i) or Read(i, None, anything()) for i in node.inputs]
        there = True if node.when is None else self._holds(node.when, node)
        if there is False:
            self._leave_out(node, given)
            return None
        inputs = tuple(self.alias.get(i, i) for i in node.inputs)
        if isinstance(node, Row):
            outputs = self._row(node, given)
            part: Part = replace(node, inputs=inputs)
        else:
            part, found = self._op(node, given, inputs)
            outputs = {node.name: found}
        for name, shapes in outputs.items():
            sure = (
                there and name not in self.values
            )  # of one name twice there is a finding
            shapes = shapes if sure else anything()
            self.values[name] = Read(node.path, node.span, shapes)
        return part

    def _leave_out(self, node: Part, given: Sequence[Read]) -> None:
        """Its name stands for the last value that it reads."""
        if given:
            self.values.setdefault(node.name, given[-1])
            self.alias[node.name] = self.alias.get(node.inputs[-1], node.inputs[-1])

    def _holds(self, when: Condition, node: Part) -> bool | None:
        """Whether the condition holds; None where that is not known."""
        if not self._has(when.names, node.fields.get(WHEN, node.span)):
            return None
        try:
            return when.holds(self.names)
        except ExprError as error:
            self.tell_of(error, node.fields.get(WHEN, node.span))
            return None

    def _has(self, names: Iterable[str], span: Span) -> bool:
        """Whether all these names have a value; a side that the input lacks is told."""
        missing = [name for name in names if name not in self.names]
        if missing:
            self.tell_lacking(missing, self._known(), self.block, span)
        return not missing

    def _known(self) -> dict[str, Shape | None]:
        """By name, the shapes of the values so far that are known."""
        return {name: known(value.shapes) for name, value in self.values.items()}

    def _op(
        self, node: Node, given: Sequence[Read], inputs: tuple[str, ...]
    ) -> tuple[Node, Shapes]:
        unread = self._unread(node)
        op = self._resolved(node, unread)
        found = self._output(node, op, given)
        kept = op if op.known and not unread else node.op
        if kept is node.op and inputs == node.inputs:
            return node, found
        return replace(node, op=kept, inputs=inputs), found

    def _resolved(self, node: Node, unread: Sequence[str]) -> Op:
        """The op with plain numbers; an unknown one, after findings, where some are wrong.

        A number that is computed from what has no value here is any number.
        """
        op = without(node.op, unread) if unread else node.op
        while True:
            try:
                return op.resolve(self.names)
            except OpError as error:
                self.blame(error, node)
                op = doubted(op, [str(error.field)])

    def _unread(self, node: Node) -> list[str]:
        """The attributes that read what has no value here."""
        return [
            name
            for name, value in node.op.attributes().items()
            if isinstance(value, Expr)
            and not self._has(value.names, node.fields.get(name, node.span))
        ]

    def _output(self, node: Node, op: Op, given: Sequence[Read]) -> Shapes:
        """The shapes that the node's value may have; a finding where there can be none."""
        low, high = op.inputs
        fits = low <= len(given) and (high is None or len(given) <= high)
        if op.known and not fits and isinstance(node.op, Given):
            low_or_high = f"{low} values" if len(given) < low else "one value"
            message = f"'{node.op.param}' is {op.kind}, which takes {low_or_high}"
            got = f", and gets {len(given)}"
            self.tell(codes.WRONG_INPUT_COUNT, message + got, node.span)
        if not op.known or not fits:
            return anything()
        several = product(*(value.shapes for value in given))
        errors: list[tuple[OpError, tuple[Shape, ...]]] = []
        found: list[Shape] = []
        for inputs in islice(several, MOST_COMBINATIONS):
            try:
                found += output(op, inputs)
            except OpError as error:
                errors.append((error, inputs))
        doubted = any(isinstance(value.shapes, Doubted) for value in given)
        if found:
            failed = node.span in self.told.failed  # elsewhere
            return anything(doubted) if failed else merged(found, doubted)
        first, inputs = errors[0]
        if not doubted or len({*map(len, inputs)}) == 1:
            self.blame_all(replace(node, op=op), given, first, inputs)
        if len(given) > 1:
            return common([value.shapes for value in given])
        return anything(doubted=first.code is codes.WRONG_RANK)

    # --- rows of other blocks -------------------------------------------------------------

    def _row(self, row: Row, given: Sequence[Read]) -> dict[str, Shapes]:
        """The shapes of the row's values, by name; its runs are noted."""
        context = self._row_context(row)
        repeats = [self._repeat(call, context, given) for call in row.calls]
        total = None if None in repeats else sum(r or 0 for r in repeats)
        runs: list[Run] = []
        shapes = tuple(value.shapes for value in given)
        self.sources = [value.span for value in given] if len(given) > 1 else []
        for call, repeat in zip(row.calls, repeats, strict=True):
            place = Position(call, row, self.names, context, total, self.in_network)
            first = sum(run.count for run in runs)
            block = self._block(call)
            if block is None or not self._fits(call, block, shapes, given, row):
                more: list[Run] = []
                shapes = tuple(anything() for _ in self._outputs(call))
            else:
                more, shapes = self._runs(place, block, repeat, first, shapes)
            runs += more
            self.sources = []
            self._try_all(more)
        self.runs[row.name] = tuple(runs)
        names = row_values(row.name, self._outputs(row.calls[-1]))
        return dict(zip(names, shapes, strict=True))

    def _try_all(self, runs: Sequence[Run]) -> None:
        """A finding where what is computed from a block's number cannot be, for some."""
        for run in (run for run in runs if run.each):
            for number in range(run.count):
                try:
                    run[number]
                except NodeError as found:
                    notes = (self._note(run.place), *self.notes)
                    self.blame(found.error, found.node, notes=notes)
                    break
                except ExprError:
                    break  # an argument, which is told

    def _row_context(self, row: Row) -> Context:
        """In the network, a row of units is a stage, and has a number."""
        if not self.in_network:
            return self.context
        rows = [each.name for each in self.block.rows]
        return {"stage": Fraction(rows.index(row.name) - 1)} if row.name != STEM else {}

    def _outputs(self, call: Call) -> tuple[str, ...]:
        block = self.inference.program.find(call)
        return tuple(block.results) if block else ("out",)

    def _repeat(
        self, call: Call, context: Context, given: Sequence[Read]
    ) -> int | None:
        """How often; None where it is not known. In the network it may read sides of what
        the row starts from."""
        if call.endless:
            return None
        if not isinstance(call.repeat, Expr):
            return call.repeat
        span = call.fields.get(REPEAT, call.span)
        block, names, values = self.block, self.names, self._known()
        if self.in_network and (called := self._block(call)):
            shapes = [value.shapes for value in given]
            block, values = called, by_input(called.inputs, shapes)
            names = {**names, **side_values(values), **context, **call.given}
        missing = [name for name in call.repeat.names if name not in names]
        self.tell_lacking(missing, values, block, span)
        try:
            return None if missing else int(COUNT.settle(call.repeat, names))
        except ExprError as error:
            self.tell_of(error, span, "the repeat ")
            return None

    def _block(self, call: Call) -> Block | None:
        """What the call is of; None where it would be within itself, or too deep."""
        block = self.inference.program.find(call)
        if block is None or block.name in self.inference.active:
            return None
        if len(self.inference.active) > NESTED_UNITS:
            message = f"more than {NESTED_UNITS} units within one another"
            self.tell(codes.TOO_LARGE, message, call.span)
            return None
        return block

    def _fits(
        self,
        call: Call,
        block: Block,
        shapes: tuple[Shapes, ...],
        given: Sequence[Read],
        row: Row,
    ) -> bool:
        """Whether the block takes as many values as it gets; a finding where it does not."""
        wanted, got = len(block.inputs), len(shapes)
        unsure = block.gaps.paths or block.gaps.stranger or SOMETHING in row.inputs
        if wanted == got or unsure:
            return True
        if any(value not in self.values for value in row.inputs):
            return False  # of which there is a finding
        self.miscounted(call, block, row, got)
        return False

    def _runs(
        self,
        place: Position,
        block: Block,
        repeat: int | None,
        first: int,
        shapes: tuple[Shapes, ...],
    ) -> tuple[list[Run], tuple[Shapes, ...]]:
        """One run where the shapes are kept; else instance by instance until they are."""
        uses = [*self.inference.uses.in_call(place.call)]
        made = Made(place, first, each_of(place, uses))
        by_index = shape_by_index(place, uses)
        count = 1 if repeat is None else repeat
        while len(made.instances) < count:
            if self.inference.is_full(place.call):
                untyped = Instance(replace(block, nodes=()), {}, {}, source=block)
                made.instances.append(untyped)
                return made.runs(), tuple(anything() for _ in block.results)
            given, index = shapes, first + len(made.instances)
            typed = self._instance(place, block, index, given)
            shapes = typed.outputs
            made.instances.append(typed.instance)
            kept = len(given) == len(shapes) and all(map(same, given, shapes))
            lost = any(len(a) > 1 < len(b) for a, b in zip(given, shapes, strict=False))
            if ((kept or lost) and not by_index) or repeat is None:
                made.last, made.kept = count - len(made.instances) + 1, True
                unknown = tuple(anything() for _ in shapes)
                return made.runs(), shapes if kept else unknown
            if len(block.inputs) != len(shapes) and len(made.instances) < count:
                self.unfollowed(place.call, block)
                return made.runs(), tuple(anything() for _ in shapes)
        return made.runs(), shapes

    def _instance(
        self, place: Position, block: Block, index: int, given: tuple[Shapes, ...]
    ) -> _Typed:
        inputs = by_input(block.inputs, given)
        names = place.names_at(index, side_values(inputs))
        args = self._arguments(place.call, names, block, inputs)
        stands = place.row.style is not Style.INLINE  # of stem and head all is said
        notes = (self._note(place), *self.notes) if stands else self.notes
        notes = (*defaulted(place.call, args), *notes)
        context = place.context_at(index)
        origins = tuple(self.sources)
        typed = self.inference.instance(block, args, context, given, notes, origins)
        number = context.get("index")
        asks = "index" in self.inference.uses.first(block)
        if not asks or number in (None, typed.instance.scope.get("index")):
            return typed
        try:
            return self.inference.numbered(typed, number, context)
        except NodeError as found:
            self.blame(found.error, found.node, notes=notes)
            return typed

    def _arguments(
        self,
        call: Call,
        names: Mapping[str, Value],
        block: Block,
        given: Mapping[str, Shape | None],
    ) -> dict[str, Value]:
        """The arguments that are known; a finding for one that cannot be computed.

        `given` has the inputs of the block that is called.
        """
        args, names = dict[str, Value](), dict(names)
        for name, value in call.args.items():
            if all(n in names for n in read(value)):
                try:
                    args[name] = names[OWN + name] = evaluated(value, names)
                except (ExprError, OpError) as error:
                    self.tell_of(error, call.fields.get(name, call.span))
            elif is_default(value) or self.in_network:
                missing = [n for n in read(value) if n not in names]
                span = call.fields.get(name, call.span)
                self.tell_lacking(missing, given, block, span)
            else:
                self._has(read(value), call.fields.get(name, call.span))
        return args

    def _note(self, place: Position) -> Note:
        """Where the unit is used, for what does not fit in it."""
        return used(self.block, place.row, place.call, self.in_network)
