"""An op that a parameter is: whoever uses the unit chooses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from resgraph import codes
from resgraph.expr import Expr
from resgraph.ops.base import Op, OpError
from resgraph.syntax import Name
from resgraph.values import Value, show


class Given(Op):
    """Stands where a unit names a parameter as an op, until it has a value.

    It is no part of the language by itself.
    """

    kind: ClassVar[str] = "given"
    inputs: ClassVar[tuple[int, int | None]] = (1, None)
    param: str

    def attributes(self) -> dict[str, Any]:
        return {"op": Expr(Name(self.param))}

    def written(self) -> frozenset[str]:
        return frozenset()

    def resolve(self, env: Mapping[str, Value]) -> Op:
        """The op that the parameter is. Raises `OpError` for one that is none."""
        value: Any = env[self.param]
        if not isinstance(value, Op):
            raise OpError(
                codes.WRONG_TYPE,
                f"'{self.param}' is used as an op, and is {show(value)}",
                field="op",
            )
        return value
