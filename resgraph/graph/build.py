"""Spec -> Graph: names become nodes, parameters become numbers, units stay symbolic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

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
from resgraph.graph.build_unit import NUMBER, UnitBuilder, chain
from resgraph.graph.ir import (
    OUTPUT,
    Graph,
    Node,
    Path,
    Slot,
    Unit,
    UnitGaps,
)
from resgraph.graph.params import Params, Setting
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import Op
from resgraph.ops.fields import NumberField
from resgraph.ops.unknown import NAMELESS, doubted, unknown
from resgraph.recipe.words import where
from resgraph.spec import Loaded
from resgraph.spec.model import StageItem
from resgraph.spec.tree import Loc, at, key_span, plain

_REPEAT = NumberField(minimum=1, whole=True)
_PARAMS = ("network", "params")


@dataclass
class Builder:
    """Builds one network of a spec, and gathers findings instead of stopping at the first.

    What the spec has gaps for is not known in the graph either. Afterwards `unread` has the
    network's parameters that nothing reads, those of a spec that it extends among them.
    """

    loaded: Loaded
    name: str
    settings: Mapping[str, Setting]
    findings: list[Diagnostic] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec, self.gaps = self.loaded.spec, self.loaded.gaps
        self.strangers: dict[str, Unit] = {}

    def build(self) -> Graph:
        """The graph; sound only if `findings` stays empty."""
        network = self.spec.network
        self.params = Params(
            network.params,
            {n: self._at("network", "params", n) for n in network.params},
            self.settings,
            unknown={n for n in network.params if self.gaps.at(*_PARAMS, n)},
            more=self.gaps.at(*_PARAMS) or self.gaps.at("network"),
            findings=self.findings,
        )
        self.units = UnitBuilder(self.loaded, self.params)
        units = {n: self.units.build(n, unit) for n, unit in self.spec.units.items()}
        graph = Graph(
            name=self.name,
            title="" if self.gaps.at("title") else self.spec.title,
            file=self.loaded.file,
            input=self._input(),
            units=units,
            stem=self._end("stem", network.stem),
            stages=tuple(self._stage(i, units) for i in range(len(network.stages))),
            head=self._end("head", network.head),
            recipe=self._recipe(),
            classes=self._classes(),
            span=self._key("network"),
        )
        self._unused()
        self._unused_units(graph)
        return replace(graph, units=units | self.strangers)

    def _at(self, *loc: str | int) -> Span:
        return at(self.loaded.tree, loc).span

    def _key(self, *loc: str | int) -> Span:
        return key_span(self.loaded.tree, loc)

    def _classes(self) -> int | None:
        """The number of classes, where the network has a parameter of that name."""
        classes = self.params.values.get("classes")
        return None if classes is None else int(classes)

    def _recipe(self) -> dict[str, object]:
        """The recipe as it is printed, with what the spec writes out."""
        recipe, written = self.spec.train, plain(at(self.loaded.tree, ("train",)))
        return recipe.marked(w for w in recipe.as_dict() if where(w, written)).as_dict()

    def _input(self) -> tuple[int, ...]:
        """The input's shape; empty where it is not known."""
        sides = [
            self.params.settle(v, _REPEAT, self._at("network", "input", i), "the input")
            for i, v in enumerate(self.spec.network.input)
        ]
        if self.gaps.at("network") or self.gaps.within("network", "input"):
            return ()
        shape = tuple(int(side) for side in sides if side is not None)
        return shape if len(shape) == len(sides) else ()

    # --- stem, head, stages --------------------------------------------------------------------

    def _end(self, name: str, ops: Sequence[Op]) -> Unit:
        """The stem or the head as a unit of one path, its expressions evaluated."""
        loc: Loc = ("network", name)
        made = chain(self.loaded.tree, ops, loc, f"{name}_", numbered=False)
        nodes = tuple(self._settled(node) for node in made)
        span = self._key(*loc)
        paths = (Path(OUTPUT, (INPUT,), nodes, span, (span,)),) if nodes else ()
        return Unit(name, "", (), paths, span)

    def _settled(self, node: Node) -> Node:
        """The node with plain numbers; an unknown op, after findings, where some are wrong."""
        op, numbers = node.op, node.op.numbers()
        values: dict[str, Fraction | None] = {}
        for attribute, value in op.attributes().items():
            if isinstance(value, Expr):
                what, span = f"{attribute} of {op.kind}", node.fields[attribute]
                kind = numbers[attribute]
                values[attribute] = self.params.settle(value, kind, span, what)
        if wrong := [a for a, number in values.items() if number is None]:
            op = doubted(op, wrong)
        known = {a: literal(n) for a, n in values.items() if n is not None}
        return replace(node, op=op.having(known))

    def _stage(self, stage: int, units: Mapping[str, Unit]) -> tuple[Slot, ...]:
        return tuple(
            self._slot(item, ("network", "stages", stage, i), units)
            for i, item in enumerate(self.spec.network.stages[stage])
        )

    def _slot(self, item: StageItem, loc: Loc, units: Mapping[str, Unit]) -> Slot:
        where = self._key(*loc, item.unit)
        repeat = self.params.settle(
            item.repeat, _REPEAT, self._at(*loc, "repeat"), "the repeat"
        )
        unit = units.get(item.unit) or self._stranger(item.unit, loc, where, units)
        args = self._args(unit, item.args, (*loc, item.unit), where)
        unsure = self.gaps.at(*loc) or self.gaps.at(*loc, "repeat")
        if unsure or repeat is None:
            return Slot(item.unit, args, 1, where, endless=True)
        return Slot(item.unit, args, int(repeat), where)

    def _stranger(
        self, name: str, loc: Loc, where: Span, units: Mapping[str, Unit]
    ) -> Unit:
        """What stands for a unit that is not there; of one that is named, a finding."""
        units_meant = like({name}, units)
        if name == SOMETHING:
            places = [loc[:n] for n in (2, 3, 4) if self.gaps.at(*loc[:n])]
            written = frozenset[str]().union(*(self.gaps.places[p] for p in places))
            units_meant = written or frozenset({ANY})
        elif not self.gaps.at("units"):
            hint = did_you_mean(name, units)
            message = f"unknown unit '{name}'"
            self._report(codes.UNKNOWN_UNIT, message, where, hint, ("units", name))
        node = Node(NAMELESS, unknown(NAMELESS), where, {})
        path = Path(OUTPUT, (INPUT,), (node,), where, (where,))
        gaps = UnitGaps(stranger=True, params=True, paths=True, sources=units_meant)
        unit = Unit(name, "", (), (path,), where, gaps)
        return self.strangers.setdefault(name, unit)

    def _args(
        self, unit: Unit, given: Mapping[str, float], loc: Loc, where: Span
    ) -> dict[str, Fraction]:
        """The arguments that are known, in the order of the unit's parameters."""
        args = {p.name: p.default for p in unit.params}
        needed = {p.name for p in unit.params if p.default is None}
        needed -= {p for u, p in self.units.optional if u == unit.name}
        needed -= self.gaps.names if unit.gaps.params else set()
        for written, value in given.items():
            name = self._param(unit, written, given, (*loc, written))
            what = f"'{written}' of '{unit.name}'"
            args[name] = self.params.settle(
                value, NUMBER, self._at(*loc, written), what
            )
            if self.gaps.at(*loc, written):
                args[name] = None
            needed.discard(name)
        if not (self.gaps.at(*loc) or self.gaps.at(*loc[:-1])):
            self._missing(unit, needed, where)
        return {p.name: n for p in unit.params if (n := args[p.name]) is not None}

    def _param(
        self, unit: Unit, name: str, given: Mapping[str, float], loc: Loc
    ) -> str:
        """The parameter that an argument is for: after a finding, the one that is meant."""
        known = [param.name for param in unit.params]
        if name in known:
            return name
        if not unit.gaps.params:
            message = f"unit '{unit.name}' has no parameter '{name}'"
            hint = did_you_mean(name, known)
            place = ("units", unit.name, "params", name)
            self._report(codes.UNKNOWN_ARGUMENT, message, self._key(*loc), hint, place)
        return nearest(name, [k for k in known if k not in given]) or name

    def _missing(self, unit: Unit, needed: Iterable[str], where: Span) -> None:
        spans = {param.name: param.span for param in unit.params}
        for name in needed:
            note = Note("the parameter is declared here", spans[name])
            message = f"unit '{unit.name}' needs '{name}'"
            self.findings.append(
                Diagnostic(codes.MISSING_ARGUMENT, message, where, notes=(note,))
            )

    def _unused(self) -> None:
        """Report parameters that nothing reads, nor may be meant to read."""
        names = self.spec.network.params
        unsure = self.gaps.mentioned("network").union(
            like(self.params.strange, names),
            *(self.gaps.mentioned("units", u, "params") for u in self.spec.units),
        )
        used = self.params.used | meant(unsure - {ANY}, names)
        used |= self._computed_from()
        excused = used.union(n for n in names if ANY in unsure and self._given(n))
        self.unread = [name for name in names if name not in excused]
        for name in self.unread:
            span = self._key(*_PARAMS, name)
            if span.file == self.loaded.file:
                message = f"the parameter '{name}' is never used"
                self._report(codes.UNUSED_PARAMETER, message, span, "remove it")

    def _computed_from(self) -> set[str]:
        """The parameters that may be meant where those below them are not known."""
        found, above = set[str](), list[str]()
        for name, value in self.spec.network.params.items():
            names = {*value.names} if isinstance(value, Expr) else set[str]()
            strange = like(names - self.spec.network.params.keys(), above)
            found |= meant(
                strange | self.gaps.places.get((*_PARAMS, name), set()), above
            )
            above.append(name)
        return found

    def _given(self, name: str) -> bool:
        """Whether something gives the parameter a value of its own, and so wants it read.

        `classes` says how many logits the network has, whatever reads it.
        """
        sets = [self.settings, *self.spec.networks.values()]
        computed = isinstance(self.spec.network.params[name], Expr)
        return computed or name == "classes" or any(name in each for each in sets)

    def _unused_units(self, graph: Graph) -> None:
        """Report them, unless a stage may mean one of them by what is not known."""
        used = {slot.unit for stage in graph.stages for slot in stage}
        used |= self.gaps.places.get(("units",), frozenset())
        for stranger in self.strangers.values():
            used |= meant(stranger.gaps.sources, graph.units)
        for name, unit in graph.units.items():
            if name not in used | {SOMETHING} and unit.span.file == graph.file:
                hint = "name it in a stage, or remove it: no file has it"
                message = f"the unit '{name}' is never used"
                self._report(codes.UNUSED_UNIT, message, unit.span, hint)

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
