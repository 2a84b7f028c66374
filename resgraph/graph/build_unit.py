"""A unit of a spec -> a unit graph: paths of named nodes, parameters with their defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from resgraph.graph.ir import OUTPUT, Node, Param, Path, Unit, UnitGaps
from resgraph.graph.params import Params
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import Op
from resgraph.ops.fields import NumberField
from resgraph.ops.unknown import doubted
from resgraph.spec import Loaded
from resgraph.spec.model import Path as SpecPath
from resgraph.spec.model import Unit as SpecUnit
from resgraph.spec.tree import Loc, Tree, at, key_span, param_span

NUMBER = NumberField()
_MAIN = ("F", OUTPUT)


@dataclass
class UnitBuilder:
    """Builds the units of a spec for one network, whose parameters defaults may read.

    `optional` has the units and parameters that have a default which is not known.
    """

    loaded: Loaded
    params: Params
    optional: set[tuple[str, str]] = field(default_factory=set)

    def build(self, name: str, unit: SpecUnit) -> Unit:
        """The unit, symbolic still; what the spec has gaps for is not known in it."""
        main = next((p for p in _MAIN if p in unit.paths), "")
        return Unit(
            name,
            unit.title or "",
            tuple(self._param(name, *item) for item in unit.params.items()),
            tuple(
                self._path(path, value, ("units", name, "paths", path), path == main)
                for path, value in unit.paths.items()
            ),
            key_span(self.loaded.tree, ("units", name)),
            self._gaps(name),
        )

    def _gaps(self, name: str) -> UnitGaps:
        reads, sources = set[str](), set[str]()
        params = paths = False
        for place, mentioned in self.loaded.gaps.places.items():
            if place[:2] != ("units", name):
                continue
            match place[2:]:
                case () | ("params",) | ("params", int()):
                    params, paths = True, paths or len(place) == 2
                case ("paths",):
                    paths = True
            if not {"from", "title"} & {*place[2:]}:
                reads |= mentioned
            if not {"ops", "title", "params"} & {*place[2:]}:
                sources |= mentioned
        stranger = name == SOMETHING
        return UnitGaps(stranger, params, paths, frozenset(reads), frozenset(sources))

    def _path(self, name: str, path: SpecPath, loc: Loc, main: bool) -> Path:
        tree, gaps = self.loaded.tree, self.loaded.gaps
        nodes = chain(
            tree, path.ops, (*loc, "ops"), "" if main else f"{name}_", numbered=main
        )
        sources = [
            SOMETHING if gaps.at(*loc, "from", i) else source
            for i, source in enumerate(path.from_)
        ]
        if gaps.at(*loc, "from"):
            sources = [SOMETHING]
            if nodes[0].op.inputs != (1, 1):  # it is not known how many there are
                op = doubted(nodes[0].op, any_inputs=True)
                nodes = (replace(nodes[0], op=op), *nodes[1:])
        spans = tuple(at(tree, (*loc, "from", i)).span for i, _ in enumerate(sources))
        return Path(name, tuple(sources), nodes, key_span(tree, loc), spans)

    def _param(self, unit: str, name: str, default: float | None) -> Param:
        """A default may compute with the network's parameters, as a stage's argument may."""
        span, number = param_span(self.loaded.tree, unit, name), None
        if default is not None:
            number = self.params.settle(default, NUMBER, span, "the default")
        if number is None and (default is not None or self._unknown(unit, name)):
            self.optional.add((unit, name))
        return Param(name, number, span)

    def _unknown(self, unit: str, param: str) -> bool:
        """Whether there is a default that is not known."""
        places = self.loaded.gaps.places
        return any(
            p[:3] == ("units", unit, "params") and p[-1] == param for p in places
        )


def chain(
    tree: Tree, ops: Sequence[Op], loc: Loc, prefix: str, numbered: bool
) -> tuple[Node, ...]:
    """Nodes named by kind: `conv1`, `conv2` on the main path, `h_conv` on others."""
    totals = Counter(op.kind for op in ops)
    seen: Counter[str] = Counter()
    nodes: list[Node] = []
    for i, op in enumerate(ops):
        seen[op.kind] += 1
        number = seen[op.kind] if numbered or totals[op.kind] > 1 else ""
        own = op.name if op.name != INPUT else None  # which has a finding
        name = own or f"{prefix}{op.kind}{number}"
        fields = {f: at(tree, (*loc, i, op.kind, f)).span for f in op.written()}
        nodes.append(Node(name, op, at(tree, (*loc, i)).span, fields))
    return tuple(nodes)
