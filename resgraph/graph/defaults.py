"""The defaults of units' parameters: values, or expressions over what a unit may read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from resgraph.diagnostics import nearest
from resgraph.expr import Expr
from resgraph.graph.ir import Block, Param
from resgraph.graph.params import NUMBER, Params, too_late
from resgraph.graph.uses import (
    NETWORK,
    Use,
    Uses,
    as_first,
    context,
    read,
    renamed,
    unused,
    word,
)
from resgraph.spec import Loaded
from resgraph.spec.model import Unit
from resgraph.syntax import Name, Syntax, infix
from resgraph.values import Value

_WHAT = "the default"


@dataclass
class Defaults:
    """Gives units the defaults of their parameters.

    A default may read the network's parameters, and what else the unit's expressions may:
    the parameters before it, sides of inputs, the unit's position. A name that the network
    and the unit have is the network's. `optional` has the units and parameters that have a
    default which is not known.
    """

    loaded: Loaded
    params: Params
    uses: Uses
    optional: set[tuple[str, str]] = field(default_factory=set)

    def given(self, block: Block, unit: Unit) -> Block:
        """The block with its parameters' defaults."""
        first, reads = self.uses.first(block), set(block.gaps.reads)
        written = {n: as_first(v, block.inputs) for n, v in unit.params.items()}
        params = []
        for param in block.params:
            use = first.get(param.name) or unused(param.name, block)
            default = self._default(param, block, written, use)
            params.append(replace(param, default=default))
            if default is None:
                reads.update(read(written[param.name]))
        gaps = replace(block.gaps, reads=frozenset(reads))
        return replace(block, params=tuple(params), gaps=gaps)

    def _default(
        self, param: Param, block: Block, written: Mapping[str, Any], use: Use
    ) -> Value | Expr | None:
        is_given = written[param.name] is not None
        value = self._value(param, block, written, use) if is_given else None
        if value is None and (is_given or self._unknown(block.name, param.name)):
            self.optional.add((block.name, param.name))
        return value

    def _value(
        self, param: Param, block: Block, written: Mapping[str, Any], use: Use
    ) -> Value | Expr | None:
        value, own = written[param.name], {*written} | context(block)
        if not any(self._is_own(n, own, value) for n in read(value)):
            return self.params.value(value, use, param.span, _WHAT)
        names = [n for n in read(value) if n not in self.params.written]
        late = [*too_late(param.name, names, written, param.span)]
        self.params.findings += late
        known = self._of_network(param, read(value))
        if late or known is None:
            return None
        closed = renamed(value, known)
        return self.params.symbolic(closed, use, param.span, _WHAT, own)

    def _is_own(self, name: str, own: Collection[str], written: Any) -> bool:
        """Whether the unit is meant to have the name: it does, or it has one like it."""
        if name in self.params.written or name in own:
            return name not in self.params.written
        return (
            word(written) is None
            and nearest(name, self.params.written) is None
            and nearest(name, own) is not None
        )

    def _of_network(
        self, param: Param, names: Collection[str]
    ) -> dict[str, Syntax] | None:
        """What stands for the network's parameters; None where one has no number, or none
        that is known."""
        found = dict[str, Syntax]()
        for name in self.params.written.keys() & names:
            value = self.params.values.get(name)
            if isinstance(value, tuple):
                self.params.readable(name, param.span)
                found[name] = Name(NETWORK + name)
                continue
            read_alone = Expr(Name(name))
            number = self.params.settle(read_alone, NUMBER, param.span, _WHAT)
            if number is None:
                return None
            found[name] = _tree(number)
        return None if self.params.more else found

    def _unknown(self, unit: str, param: str) -> bool:
        """Whether there is a default that is not known."""
        places = self.loaded.gaps.places
        return any(
            p[:3] == ("units", unit, "params") and p[-1] == param for p in places
        )


def _tree(number: Fraction) -> Syntax:
    parts = (number.numerator, number.denominator)
    return infix("/", *parts[: 1 if number.denominator == 1 else 2])
