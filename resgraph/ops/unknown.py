"""An op of which something is not known: what a draft has where a spec's op has findings."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar, Self

from resgraph.expr import Expr, ExprError
from resgraph.names import refusal
from resgraph.ops import OPS
from resgraph.ops.base import Op, OpError

NAMELESS = "unknown"
"""The kind of an op of which not even the name is known."""


class Unknown(Op):
    """An op under its own name, with the attributes that are right; its shape is not known.

    It is no part of the language: only what mends a spec with findings makes one.
    """

    known: ClassVar[bool] = False
    given: Mapping[str, Any] = {}

    def written(self) -> frozenset[str]:
        return frozenset(self.given)

    def attributes(self) -> dict[str, Any]:
        return dict(self.given)

    def resolve(self, env: Mapping[str, Fraction]) -> Self:
        """A copy with every expression evaluated, as any op's; the wrong ones are not there."""
        numbers = OPS[self.kind].numbers() if self.kind in OPS else {}
        values = dict(self.given)
        for name, value in values.items():
            if isinstance(value, Expr) and name in numbers:
                try:
                    values[name] = numbers[name].settle(value, env)
                except ExprError as error:
                    raise OpError(str(error), field=name) from None
        return self.model_copy(update={"given": values})


def unknown(
    kind: str, given: Mapping[str, Any] | None = None, any_inputs: bool = False
) -> Unknown:
    """What stands for an op of that name, of which `given` is what is known.

    With `any_inputs` it is not known either how many values it is given.
    """
    attributes = dict(given or {})
    return _class(kind, any_inputs)(name=attributes.pop("name", None), given=attributes)


@cache
def _class(kind: str, any_inputs: bool) -> type[Unknown]:
    """A class with what all ops of that kind have in common; the values cannot tell it."""
    op = OPS.get(kind, Op)
    facts = {name: getattr(op, name) for name in Op.__class_vars__ - {"kind", "known"}}
    if any_inputs or kind not in OPS:
        facts["inputs"] = (0, None)
    if kind not in OPS and refusal(kind):
        kind = NAMELESS
    return type("Unknown", (Unknown,), {"__module__": __name__, "kind": kind, **facts})
