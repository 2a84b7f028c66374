"""Spec -> Graph: names become nodes, parameters become numbers, units stay symbolic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Note, Span, did_you_mean
from resgraph.expr import exact, literal
from resgraph.graph.ir import INPUT, OUTPUT, Graph, Node, Param, Path, Slot, Unit
from resgraph.graph.params import Params, Setting
from resgraph.ops import Op
from resgraph.ops.fields import NumberField
from resgraph.spec.model import Spec
from resgraph.spec.model import Unit as SpecUnit
from resgraph.spec.yaml import Loc, at, key_span
from resgraph.spec.yaml import Mapping as Tree

_MAIN = ("F", OUTPUT)
_REPEAT = NumberField(minimum=1, whole=True)
_NUMBER = NumberField()


@dataclass
class Builder:
    """Builds one network of a spec, and gathers findings instead of stopping at the first."""

    spec: Spec
    tree: Tree
    file: str
    name: str
    settings: Mapping[str, Setting]
    findings: list[Diagnostic] = field(default_factory=list)

    def build(self) -> Graph:
        """The graph; sound only if `findings` stays empty."""
        network = self.spec.network
        self.params = Params(
            network.params,
            {n: self._at("network", "params", n) for n in network.params},
            self.settings,
            findings=self.findings,
        )
        units = {name: self._unit(name, unit) for name, unit in self.spec.units.items()}
        graph = Graph(
            name=self.name,
            title=self.spec.title,
            file=self.file,
            input=self._input(),
            units=units,
            stem=self._end("stem", network.stem),
            stages=tuple(self._stage(i, units) for i in range(len(network.stages))),
            head=self._end("head", network.head),
            recipe=self._recipe(),
            classes=self._classes(),
            span=self._key("network"),
        )
        self._unused(network.params, self.params.used)
        return graph

    def _at(self, *loc: str | int) -> Span:
        return at(self.tree, loc).span

    def _key(self, *loc: str | int) -> Span:
        return key_span(self.tree, loc)

    def _classes(self) -> int | None:
        """The number of classes, where the network has a parameter of that name."""
        classes = self.params.values.get("classes")
        return None if classes is None else int(classes)

    def _recipe(self) -> dict[str, object]:
        recipe = self.spec.train.model_dump(exclude={"recipe"})
        return recipe | {"milestones": tuple(recipe["milestones"])}

    def _input(self) -> tuple[int, ...]:
        sides = [
            self.params.settle(v, _REPEAT, self._at("network", "input", i), "the input")
            for i, v in enumerate(self.spec.network.input)
        ]
        return tuple(int(side or 1) for side in sides)

    # --- units --------------------------------------------------------------------

    def _unit(self, name: str, unit: SpecUnit) -> Unit:
        loc: Loc = ("units", name)
        main = next((p for p in _MAIN if p in unit.paths), "")
        paths = []
        for path_name, path in unit.paths.items():
            prefix = "" if path_name == main else f"{path_name}_"
            here = (*loc, "paths", path_name)
            nodes = self._chain(path.ops, prefix, (*here, "ops"), numbered=not prefix)
            span = self._key(*here)
            sources = tuple(path.from_)
            spans = tuple(self._at(*here, "from", i) for i in range(len(sources)))
            paths.append(Path(path_name, sources, nodes, span, spans))
        return Unit(
            name,
            unit.title or "",
            self._unit_params(name, unit),
            tuple(paths),
            self._key(*loc),
        )

    def _unit_params(self, name: str, unit: SpecUnit) -> tuple[Param, ...]:
        loc = ("units", name, "params")
        return tuple(
            Param(
                param,
                None if default is None else self._default(default, self._at(*loc, i)),
                self._at(*loc, i),
            )
            for i, (param, default) in enumerate(unit.params.items())
        )

    def _default(self, value: float, span: Span) -> Fraction | None:
        """A default may compute with the network's parameters, as a stage's argument may."""
        return self.params.settle(value, _NUMBER, span, "the default")

    def _chain(
        self, ops: Sequence[Op], prefix: str, loc: Loc, numbered: bool
    ) -> tuple[Node, ...]:
        """Nodes named by kind: `conv1`, `conv2` on the main path, `h_conv` on others."""
        totals = Counter(op.kind for op in ops)
        seen: Counter[str] = Counter()
        nodes = []
        for i, op in enumerate(ops):
            seen[op.kind] += 1
            number = seen[op.kind] if numbered or totals[op.kind] > 1 else ""
            name = op.name or f"{prefix}{op.kind}{number}"
            fields = {f: self._at(*loc, i, op.kind, f) for f in op.model_fields_set}
            nodes.append(Node(name, op, self._at(*loc, i), fields))
        return tuple(nodes)

    # --- network --------------------------------------------------------------------

    def _end(self, name: str, ops: Sequence[Op]) -> Unit:
        """The stem or the head as a unit of one path, its expressions evaluated."""
        loc: Loc = ("network", name)
        chain = self._chain(ops, f"{name}_", loc, numbered=False)
        nodes = tuple(self._settled(node) for node in chain)
        span = self._key(*loc)
        paths = (Path(OUTPUT, (INPUT,), nodes, span, (span,)),) if nodes else ()
        return Unit(name, "", (), paths, span)

    def _settled(self, node: Node) -> Node:
        """The node with plain numbers; a broken one counts as 1, after its finding."""
        values: dict[str, object] = {}
        for attribute, kind in node.op.numbers().items():
            value = getattr(node.op, attribute)
            if value is not None:
                what = f"{attribute} of {node.op.kind}"
                span = node.fields.get(attribute, node.span)
                number = self.params.settle(value, kind, span, what)
                values[attribute] = literal(1 if number is None else number)
        return replace(node, op=node.op.model_copy(update=values))

    def _stage(self, stage: int, units: Mapping[str, Unit]) -> tuple[Slot, ...]:
        slots = []
        for i, item in enumerate(self.spec.network.stages[stage]):
            loc: Loc = ("network", "stages", stage, i)
            where = self._key(*loc, item.unit)
            repeat = self.params.settle(
                item.repeat, _REPEAT, self._at(*loc, "repeat"), "the repeat"
            )
            unit = units.get(item.unit)
            if unit is None:
                hint = did_you_mean(item.unit, units)
                message = f"unknown unit '{item.unit}'"
                self._report(codes.UNKNOWN_UNIT, message, where, hint)
                continue
            args = self._args(unit, item.args, (*loc, item.unit), where)
            slots.append(Slot(item.unit, args, int(repeat or 1), where))
        return tuple(slots)

    def _args(
        self, unit: Unit, given: Mapping[str, float], loc: Loc, where: Span
    ) -> dict[str, Fraction]:
        known = {param.name: param for param in unit.params}
        args = {n: p.default for n, p in known.items() if p.default is not None}
        for name, value in given.items():
            if name not in known:
                hint = did_you_mean(name, known)
                message = f"unit '{unit.name}' has no parameter '{name}'"
                span = self._key(*loc, name)
                self._report(codes.UNKNOWN_ARGUMENT, message, span, hint)
            number = self.params.settle(
                value, _NUMBER, self._at(*loc, name), f"'{name}' of '{unit.name}'"
            )
            args[name] = exact(1) if number is None else number
        for name in known.keys() - args.keys():
            note = Note("the parameter is declared here", known[name].span)
            message = f"unit '{unit.name}' needs '{name}'"
            self.findings.append(
                Diagnostic(codes.MISSING_ARGUMENT, message, where, notes=(note,))
            )
            args[name] = exact(1)
        return {name: args[name] for name in known if name in args}

    def _unused(self, params: Iterable[str], used: set[str]) -> None:
        """Report them, unless other findings may be why (a misspelt name)."""
        for name in params if not self.findings else ():
            span = self._key("network", "params", name)
            if name not in used and span.file == self.file:
                message = f"the parameter '{name}' is never used"
                self._report(codes.UNUSED_PARAMETER, message, span, "remove it")

    def _report(
        self, code: Code, message: str, span: Span, hint: str | None = None
    ) -> None:
        self.findings.append(Diagnostic(code, message, span, hint))
