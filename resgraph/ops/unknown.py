"""An op of which something is not known: what a draft has where a spec's op has findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, ClassVar, Self

from resgraph.names import refusal
from resgraph.ops import OPS
from resgraph.ops.base import Op
from resgraph.ops.fields import AnyField

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

    @classmethod
    def numbers(cls) -> Mapping[str, AnyField]:
        return OPS[cls.kind].numbers() if cls.kind in OPS else {}

    def having(self, values: Mapping[str, Any]) -> Self:
        return self.model_copy(update={"given": {**self.given, **values}})


def unknown(
    kind: str, given: Mapping[str, Any] | None = None, any_inputs: bool = False
) -> Unknown:
    """What stands for an op of that name, of which `given` is what is known.

    With `any_inputs` it is not known either how many values it is given.
    """
    attributes = dict(given or {})
    name = attributes.pop("name", None)
    if not isinstance(name, str) or refusal(name):
        name = None  # as written, which nothing has validated
    return _class(kind, any_inputs)(name=name, given=attributes)


def doubted(op: Op, without: Collection[str] = (), any_inputs: bool = False) -> Unknown:
    """The op as one of which something is not known: those attributes, or its inputs."""
    given = {k: v for k, v in op.attributes().items() if k not in without}
    any_inputs = any_inputs or op.inputs == _ANY_INPUTS
    return unknown(op.kind, given | {"name": op.name}, any_inputs)


_ANY_INPUTS = (0, None)


@cache
def _class(kind: str, any_inputs: bool) -> type[Unknown]:
    """A class with what all ops of that kind have in common; the values cannot tell it."""
    op = OPS.get(kind, Op)
    facts = {name: getattr(op, name) for name in Op.__class_vars__ - {"kind", "known"}}
    if any_inputs or kind not in OPS:
        facts["inputs"] = _ANY_INPUTS
    if kind not in OPS and refusal(kind):
        kind = NAMELESS
    return type("Unknown", (Unknown,), {"__module__": __name__, "kind": kind, **facts})
