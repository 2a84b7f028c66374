"""What of a spec nothing reads: parameters of the network, and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resgraph import codes
from resgraph.diagnostics import ANY, like, meant
from resgraph.expr import Expr
from resgraph.graph.ir import Block, Program
from resgraph.graph.params import Params, Setting
from resgraph.graph.uses import read
from resgraph.names import SOMETHING
from resgraph.ops import OPS
from resgraph.spec import Loaded
from resgraph.spec.tree import Loc, key_span

_PARAMS = ("network", "params")


@dataclass
class Unread:
    """Tells it, unless something that is not known may be meant to read it."""

    loaded: Loaded
    settings: Mapping[str, Setting]
    params: Params
    strangers: Mapping[str, Block]

    def __post_init__(self) -> None:
        self.spec, self.gaps = self.loaded.spec, self.loaded.gaps

    def params_unread(self) -> list[str]:
        """The network's parameters that nothing reads, nor may be meant to read; a finding
        on each that the spec itself has."""
        names = self.spec.network.params
        unsure = self.gaps.mentioned("network").union(
            like(self.params.strange, names),
            *(self.gaps.mentioned("units", u, "params") for u in self.spec.units),
        )
        used = self.params.used | meant(unsure - {ANY}, names)
        used |= self._computed_from()
        excused = used.union(n for n in names if ANY in unsure and self._given(n))
        unread = [name for name in names if name not in excused]
        for name in unread:
            span = key_span(self.loaded.tree, (*_PARAMS, name))
            if span.file == self.loaded.file:
                message = f"the parameter '{name}' is never used"
                hint = "remove it"
                if name == "classes":
                    hint = "end the head with linear: {features: classes}, or remove it"
                self.params.report(codes.UNUSED_PARAMETER, message, span, hint)
        return unread

    def _computed_from(self) -> set[str]:
        """The parameters that may be meant where those below them are not known."""
        found, above = set[str](), list[str]()
        for name, value in self.spec.network.params.items():
            names = {*read(value)}
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

    def units(self, program: Program) -> None:
        """Report them, unless a stage may mean one of them by what is not known."""
        users = [program.network, *program.ends.values(), *program.blocks.values()]
        used = {
            call.block
            for block in users
            for row in block.rows
            for call in row.calls
            if call.block != block.name or block is program.network
        }
        if any(ANY in w for p, w in self.gaps.places.items() if _holds_units(p)):
            return
        unsure = self.gaps.mentioned("units") | self.gaps.mentioned("network")
        used |= meant(unsure - {ANY}, program.blocks)
        for stranger in self.strangers.values():
            used |= meant(stranger.gaps.sources, program.blocks)
        for given in self.gaps.strange:
            used |= {n for n, u in self.spec.units.items() if given <= u.params.keys()}
        for name, unit in program.blocks.items():
            if name not in used | {SOMETHING} and unit.span.file == program.file:
                hint = "name it in a stage, or remove it: no file has it"
                if name in OPS:
                    hint = f"in a path '{name}' is the op: give the unit another name"
                message = f"the unit '{name}' is never used"
                self.params.report(codes.UNUSED_UNIT, message, unit.span, hint)


def _holds_units(place: Loc) -> bool:
    """Whether units stand in what is there: stages, one of them or its list; the ops of a
    path, and what these are in."""
    match place:
        case ("network",) | ("network", "stages") | ("network", "stages", _):
            return True
        case ("network", "stages", _, "units") | ("units", _):
            return True
        case ("units", _, "paths", *rest):
            return len(rest) < 2 or rest[1:] == ["ops"]
    return False
