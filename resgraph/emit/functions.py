"""One model-local ONNX function for each distinct unit, called where the unit stands.

A model of a thousand layers then has a few dozen nodes of source; runtimes put the bodies
in the calls' places when they load it. A unit within a unit is a call within a function.
"""

from __future__ import annotations

from collections import Counter

from onnx import FunctionProto, GraphProto, NodeProto, helper

from resgraph.emit.element import Element
from resgraph.emit.nodes import Constants, Made, Template, Templates
from resgraph.graph import Instance
from resgraph.values import written

DOMAIN = "resgraph.units"


class Functions(Templates):
    """The functions of a model; an instance's template is a call of its own."""

    def __init__(self, element: Element) -> None:
        super().__init__(Constants(element))
        self.protos: list[FunctionProto] = []
        self._element = element
        self._counts: Counter[str] = Counter()
        self._bodies: dict[bytes, str] = {}

    def made(self, instance: Instance, shared: bool) -> Template:
        """The call of the unit's function, which is defined if it is not."""
        constants = Constants(self._element)
        body = self.body(instance, constants, shared)
        if not body.nodes:
            return body
        outputs = [*dict.fromkeys(o for o in body.outputs if o in body.local)]
        weights = [name for name, _ in instance.tensors()]
        inputs = [*body.inputs, *weights]
        nodes = [*_constant_nodes(constants), *_nodes(body)]
        name = self._defined(instance, inputs, outputs, nodes, shared)
        call = Made("", NodeProto(op_type=name, domain=DOMAIN), inputs, outputs)
        local = frozenset((*outputs, *weights))
        return Template([call], body.inputs, body.outputs, local)

    def _defined(
        self,
        instance: Instance,
        inputs: list[str],
        outputs: list[str],
        nodes: list[NodeProto],
        shared: bool,
    ) -> str:
        """The name of the function. Places that differ in what no node reads have one."""
        unit = instance.block.name
        made = NodeProto(op_type=unit, input=inputs, output=outputs)
        body = GraphProto(node=[made, *nodes]).SerializeToString(deterministic=True)
        if not shared and body in self._bodies:
            return self._bodies[body]
        self._counts[unit] += 1
        number = self._counts[unit]
        name = unit if number == 1 else f"{unit}_{number}"
        self._bodies.setdefault(body, name)
        opsets = [helper.make_opsetid("", self._element.opset)]
        if any(node.domain == DOMAIN for node in nodes):
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        text = _call_text(instance)
        self.protos.append(
            helper.make_function(
                DOMAIN, name, inputs, outputs, nodes, opsets, doc_string=text
            )
        )
        return name


def _call_text(instance: Instance) -> str:
    """As a spec's stage names it: `body(width=16)`."""
    args = ", ".join(
        f"{name}={written(value)}" for name, value in instance.args.items()
    )
    shapes = (str([*instance.shapes[name]]) for name in instance.block.inputs)
    return f"{instance.block.name}({args}) of {' and '.join(shapes)}"


def _constant_nodes(constants: Constants) -> list[NodeProto]:
    return [
        helper.make_node("Constant", [], [name], name=name, value=tensor)
        for name, tensor in constants.tensors.items()
    ]


def _nodes(template: Template) -> list[NodeProto]:
    body = GraphProto()
    template.append_to(body, "", template.inputs)
    return list(body.node)
