"""The uses of units in stages, ends and units: arguments checked, and what is left out given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from resgraph import codes
from resgraph.diagnostics import (
    ANY,
    Diagnostic,
    Note,
    Span,
    did_you_mean,
    like,
    meant,
    nearest,
)
from resgraph.expr import Expr
from resgraph.graph.ir import (
    REPEAT,
    Block,
    Call,
    Gaps,
    Node,
    Row,
    sequence,
)
from resgraph.graph.params import COUNT, Params
from resgraph.graph.uses import (
    CONTEXT,
    NETWORK,
    POSITION,
    Use,
    Uses,
    context,
    of_callee,
    read,
    unused,
)
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import OPS
from resgraph.ops.unknown import NAMELESS, unknown
from resgraph.spec import Loaded
from resgraph.spec.opitem import BESIDE, IN_STAGES
from resgraph.spec.tree import Loc
from resgraph.values import Value


@dataclass(frozen=True)
class Around:
    """Where in the network expressions stand: in a stage, or in an end of that name.

    `names` may be read there, and have values once shapes, and the place of a unit, are
    known.
    """

    names: frozenset[str] = frozenset(CONTEXT)
    end: str = ""
    later: bool = False
    """Whether it is a unit of a stage that stands behind others."""


def around_end(block: Block) -> Around:
    """What expressions of the stem or the head read."""
    return Around(context(block) - {*POSITION}, block.name)


@dataclass
class Calls:
    """Completes the uses of units. `optional` has the parameters with defaults that are not
    known; afterwards `strangers` has what stands for units that are not there."""

    loaded: Loaded
    params: Params
    blocks: Mapping[str, Block]
    uses: Uses
    optional: Collection[tuple[str, str]]
    places: Mapping[Span, Loc]
    """Where the uses in stages are written."""
    strangers: dict[str, Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gaps = self.loaded.gaps

    def within(self, block: Block) -> Block:
        """A unit with its uses of other units checked, and with what they leave out."""
        names = {param.name for param in block.params} | context(block)
        nodes = [
            replace(n, calls=tuple(self._completed(c, names) for c in n.calls))
            if isinstance(n, Row)
            else n
            for n in block.nodes
        ]
        return replace(block, nodes=tuple(nodes))

    def call(self, call: Call, around: Around) -> Call:
        """A use in the network with all its arguments, which have values."""
        return self._completed(call, (), around)

    def _completed(
        self, call: Call, names: Collection[str], around: Around | None = None
    ) -> Call:
        """The use of a unit with all its arguments: in the network they have values, in a
        unit they are written with its `names`."""
        unit = self.blocks.get(call.block)
        if unit is None:
            unit = self._stranger(call)
        first = self.uses.first(unit)
        args = {p.name: of_callee(p.default) for p in unit.params}
        needed = {p.name for p in unit.params if p.default is None}
        needed -= {p for u, p in self.optional if u == unit.name}
        needed -= self.gaps.names if unit.gaps.params else set()
        for written in call.keys:
            name = self._param(unit, written, call, around)
            if name is None:  # what it reads is not judged
                self.params.used.update(read(call.args.get(written)))
                continue
            needed.discard(name)
            if written not in call.args:  # what is there is not known
                args[name] = None
                continue
            use = first.get(name) or unused(name, unit)
            what, span = f"'{written}' of '{unit.name}'", call.fields[written]
            value = call.args[written]
            args[name] = (
                self._argument(value, use, span, what, around)
                if around
                else self.params.symbolic(value, use, span, what, names)
            )
        if not call.unsure:
            self._missing(unit, needed, call.span)
        known = {p.name: v for p in unit.params if (v := args[p.name]) is not None}
        spans = {p.name: p.span for p in unit.params if read(known.get(p.name))}
        call = replace(call, args=known, fields={**spans, **call.fields})
        return self._repeated(call, around)

    def _repeated(self, call: Call, around: Around | None) -> Call:
        """The use with its repeat, which in the network has a value, unless shapes decide."""
        repeat, endless = call.repeat, call.endless
        if around and isinstance(repeat, Expr):
            found = self._repeat(repeat, around, call.fields.get(REPEAT, call.span))
            endless, repeat = endless or found is None, 1 if found is None else found
        values = [*call.args.values(), repeat]
        names = {n for value in values for n in read(value)}
        given = {
            key: v
            for n, v in self.params.values.items()
            for key in ((n, NETWORK + n) if around else (NETWORK + n,))
            if key in names
        }
        repeat = 1 if endless else repeat
        return replace(call, repeat=repeat, endless=endless, given=given)

    def _repeat(self, repeat: Expr, around: Around, span: Span) -> int | Expr | None:
        """How often a unit of the network is repeated; None after a finding."""
        later = self.later(repeat, around)
        wrong = self.misplaced(repeat, around, span)
        if not later and not wrong:
            number = self.params.settle(repeat, COUNT, span, "the repeat")
            return None if number is None else int(number)
        if not around.end:
            wrong |= self._unrepeated(later, around, span)
        readable = self.rest_readable(repeat, around, span)
        return repeat if readable and not wrong else None

    def _unrepeated(self, later: list[str], around: Around, span: Span) -> bool:
        """A finding on each name that no repeat in a stage can read."""
        found = [why for name in later if (why := _no_repeat(name, around))]
        for message, hint in found:
            self.params.report(codes.UNKNOWN_PARAMETER, message, span, hint)
        return bool(found)

    def _argument(
        self, value: Any, use: Use, span: Span, what: str, around: Around
    ) -> Value | Expr | None:
        """An argument in the network: its value, or an expression over the unit's place."""
        misplaced = self.misplaced(value, around, span)
        if not self.later(value, around) and not misplaced:
            return self.params.value(value, use, span, what)
        if not self.rest_readable(value, around, span) or misplaced:
            return None
        return self.params.fitting(value, use, span, what)

    # --- names without a value yet ---------------------------------------------------------

    def later(self, value: Any, around: Around) -> list[str]:
        """The names in a value that shapes, and the place of a unit, will decide; a
        parameter of the network comes first."""
        taken = self.params.written.keys() | self.params.context
        return [n for n in read(value) if n in around.names and n not in taken]

    def rest_readable(self, value: Any, around: Around, span: Span) -> bool:
        """Whether all the other names have a value; findings on those that have none."""
        names = {*self.later(value, around), *self._positions(value, around)}
        rest = [n for n in dict.fromkeys(read(value)) if n not in names]
        readable = [self.params.readable(n, span) for n in rest]
        return all(readable)

    def misplaced(self, value: Any, around: Around, span: Span) -> bool:
        """A finding on each name that says where a unit of a stage stands, in an end."""
        found = self._positions(value, around)
        for name in found:
            why = f"'{name}' is of a unit in a stage: the {around.end} has none"
            self.params.report(codes.UNKNOWN_PARAMETER, why, span)
        return bool(found)

    def _positions(self, value: Any, around: Around) -> list[str]:
        names = read(value) if around.end else ()
        return [n for n in names if n in POSITION and n not in self.params.written]

    # --- units, arguments and parameters that are not there --------------------------------

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
            self.params.report(
                codes.UNKNOWN_UNIT, message, where, hint, ("units", name)
            )
        node = Node(NAMELESS, (INPUT,), where, {}, op=unknown(NAMELESS))
        gaps = Gaps(stranger=True, params=True, paths=True, sources=units_meant)
        unit = replace(sequence(name, "", [node], where), gaps=gaps)
        earlier = self.strangers.setdefault(name, unit).gaps.sources
        gaps = replace(gaps, sources=earlier | units_meant)
        self.strangers[name] = replace(self.strangers[name], gaps=gaps)
        return self.strangers[name]

    def _meant_at(self, call: Call) -> frozenset[str]:
        """The units that may be meant where a stage names none."""
        loc = self.places[call.span]
        places = [loc[:n] for n in range(2, len(loc) + 1) if self.gaps.at(*loc[:n])]
        return frozenset[str]().union(*(self.gaps.places[p] for p in places))

    def _param(
        self, unit: Block, name: str, call: Call, around: Around | None
    ) -> str | None:
        """The parameter that an argument is for: after a finding, the one that is meant."""
        known = [param.name for param in unit.params]
        if name in known:
            return name
        if not unit.gaps.params:
            message = f"unit '{unit.name}' has no parameter '{name}'"
            hint = did_you_mean(name, known)
            if name in BESIDE and nearest(name, known) is None:
                beside = f"{{{unit.name}: {{...}}, {name}: ...}}"
                hint = f"write it beside the unit: {beside}"
                if around and not around.end:
                    hint = IN_STAGES.get(name, hint)
            place = ("units", unit.name, "params", name)
            self.params.report(
                codes.UNKNOWN_ARGUMENT, message, call.keys[name], hint, place
            )
        return nearest(name, [k for k in known if k not in call.args])

    def _missing(self, unit: Block, needed: Iterable[str], where: Span) -> None:
        spans = {param.name: param.span for param in unit.params}
        for name in needed:
            note = Note("the parameter is declared here", spans[name])
            message = f"unit '{unit.name}' needs '{name}'"
            self.params.findings.append(
                Diagnostic(codes.MISSING_ARGUMENT, message, where, notes=(note,))
            )


def _no_repeat(name: str, around: Around) -> tuple[str, str] | None:
    """Why a repeat in a stage cannot read the name, and a hint."""
    if name in POSITION:
        return (
            f"'{name}' is of each unit, and the repeat says how many there are",
            "a repeat in a stage may read in, in.h, in.w and stage",
        )
    if around.later:
        return (
            f"'{name}' in a repeat is what the stage starts from, and this is not its first "
            "unit",
            "begin a stage with it",
        )
    return None
