"""One model-local ONNX function for each distinct unit, called where the unit stands.

A model of a thousand layers then has a few dozen nodes of source; runtimes put the bodies
in the calls' places when they load it.
"""

from __future__ import annotations

from collections import Counter

from onnx import FunctionProto, GraphProto, NodeProto, helper

from resgraph.emit.element import Element
from resgraph.emit.nodes import Constants, Template, template_of
from resgraph.expr import written
from resgraph.graph import INPUT, Instance

DOMAIN = "resgraph.units"


class Functions:
    """The functions of a model."""

    def __init__(self, element: Element) -> None:
        self.protos: list[FunctionProto] = []
        self._element = element
        self._counts: Counter[str] = Counter()
        self._known: dict[int, tuple[str, Template, list[str]]] = {}

    def define(self, instance: Instance) -> None:
        """Make the unit's function, unless there is one."""
        if id(instance) not in self._known:
            self._known[id(instance)] = self._define(instance)

    def call(self, proto: GraphProto, prefix: str, instance: Instance, x: str) -> str:
        """Append a call for a defined unit, at `prefix`; return the name of its output."""
        name, template, weights = self._known[id(instance)]
        if not template.nodes:
            return x
        output = prefix + template.output
        proto.node.add(
            name=prefix.rstrip(".") or name,
            op_type=name,
            domain=DOMAIN,
            input=[x, *(prefix + weight for weight in weights)],
            output=[output],
        )
        return output

    def _define(self, instance: Instance) -> tuple[str, Template, list[str]]:
        unit = instance.unit.name
        self._counts[unit] += 1
        number = self._counts[unit]
        name = unit if number == 1 else f"{unit}_{number}"
        constants = Constants(self._element)
        template = template_of(instance, constants)
        weights = [f"{layer}.{weight.name}" for layer, weight in instance.weights]
        if template.nodes:
            self.protos.append(
                helper.make_function(
                    DOMAIN,
                    name,
                    [INPUT, *weights],
                    [template.output],
                    [*_constant_nodes(constants), *_body(template)],
                    [helper.make_opsetid("", self._element.opset)],
                    doc_string=_call_text(instance),
                )
            )
        return name, template, weights


def _call_text(instance: Instance) -> str:
    """As a spec's stage names it: `body(width=16)`."""
    args = ", ".join(
        f"{name}={written(value)}" for name, value in instance.args.items()
    )
    return f"{instance.unit.name}({args}) of {list(instance.input)}"


def _constant_nodes(constants: Constants) -> list[NodeProto]:
    return [
        helper.make_node("Constant", [], [name], name=name, value=tensor)
        for name, tensor in constants.tensors.items()
    ]


def _body(template: Template) -> list[NodeProto]:
    body = GraphProto()
    template.append_to(body, "", INPUT)
    return list(body.node)
