"""Faults of ONNX models: edits of their nodes, attributes and tensors."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Fault:
    """A changed model, the kind of the change, and where it is."""

    kind: str
    where: str
    model: ModelProto


Edit = Callable[["Place"], bool | None]
"""Changes a model at a node or a tensor; False where it cannot be there."""


@dataclass
class Place:
    """A node or a tensor of a model that is to be changed."""

    model: ModelProto
    chance: random.Random
    node: NodeProto = None
    tensor: TensorProto = None

    @property
    def index(self) -> int:
        return next(i for i, n in enumerate(self.model.graph.node) if n is self.node)

    def get(self, name: str) -> list[int] | float | int | None:
        """An attribute of the node."""
        found = [a for a in self.node.attribute if a.name == name]
        return helper.get_attribute_value(found[0]) if found else None

    def set(self, name: str, value: object) -> None:
        kept = [a for a in self.node.attribute if a.name != name]
        del self.node.attribute[:]
        self.node.attribute.extend(kept)
        if value is not None:
            self.node.attribute.append(helper.make_attribute(name, value))

    @property
    def array(self) -> np.ndarray:
        return numpy_helper.to_array(self.tensor).copy()

    @array.setter
    def array(self, values: np.ndarray) -> None:
        made = numpy_helper.from_array(
            np.ascontiguousarray(values, dtype=self.array.dtype), self.tensor.name
        )
        self.tensor.CopyFrom(made)

    def constant(self, values: np.ndarray) -> str:
        """A new small constant of the model."""
        name = f"constant/fault{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def replace(self, op: str, inputs: Sequence[str], **attributes: object) -> None:
        """Another op in the node's place, under its name."""
        outputs, name = list(self.node.output), self.node.name
        made = helper.make_node(op, list(inputs), outputs, name, **attributes)
        self.node.CopyFrom(made)

    def initializer(self, name: str) -> TensorProto | None:
        return next((t for t in self.model.graph.initializer if t.name == name), None)


# --- nodes ------------------------------------------------------------------------------


def becomes(op: str, **attributes: object) -> Edit:
    """Another op on the same inputs."""

    def edit(place: Place) -> None:
        place.replace(op, place.node.input, **attributes)

    return edit


def attribute(name: str, change: Callable[[object], object]) -> Edit:
    """Another value of an attribute; None leaves it out."""

    def edit(place: Place) -> bool | None:
        value = change(place.get(name))
        if value == place.get(name):
            return False
        place.set(name, value)
        return None

    return edit


def clip(place: Place) -> None:
    six = place.constant(np.float32(6.0).reshape(()))
    zero = place.constant(np.float32(0.0).reshape(()))
    place.replace("Clip", [place.node.input[0], zero, six])


def dropped(place: Place) -> bool | None:
    """Its readers read what it read."""
    node = place.node
    if node.output[0] == "logits":
        return False
    before, after = node.input[0], node.output[0]
    for other in place.model.graph.node:
        for k, name in enumerate(other.input):
            if name == after:
                other.input[k] = before
    place.model.graph.node.remove(node)
    return None


def doubled(place: Place) -> bool | None:
    """The same done once more to its result."""
    node = place.node
    first, last = f"{node.output[0]}/once", node.output[0]
    again = NodeProto()
    again.CopyFrom(node)
    again.name = f"{node.name}/again"
    at = list(again.input).index(node.input[0])
    again.input[at] = first
    index = place.index
    node.output[0] = first
    again.output[0] = last
    place.model.graph.node.insert(index + 1, again)
    return None


def swapped_inputs(place: Place) -> None:
    first, second = place.node.input[:2]
    place.node.input[0], place.node.input[1] = second, first


def one_operand(place: Place) -> None:
    place.node.input[1] = place.node.input[0]


def earlier_input(place: Place) -> bool | None:
    """An operand is the value of a node before it."""
    index = place.index
    before = [n for n in place.model.graph.node[:index] if n.op_type == "Relu"]
    if len(before) < 3:
        return False
    place.node.input[0] = place.chance.choice(before[:-1]).output[0]
    return None


def swapped_statistics(place: Place) -> None:
    node = place.node
    node.input[3], node.input[4] = node.input[4], node.input[3]


def swapped_affine(place: Place) -> None:
    node = place.node
    node.input[1], node.input[2] = node.input[2], node.input[1]


def weights_of_another(place: Place) -> bool | None:
    """A node reads the tensor of another node of its kind."""
    mine = place.initializer(place.node.input[1])
    others = [
        n.input[1]
        for n in place.model.graph.node
        if n.op_type == place.node.op_type and n.input[1] != place.node.input[1]
    ]
    alike = [
        name
        for name in others
        if mine is not None
        and (other := place.initializer(name)) is not None
        and other.dims == mine.dims
    ]
    if not alike:
        return False
    place.node.input[1] = place.chance.choice(alike)
    return None


def scaled_by(factor: float) -> Edit:
    """Its result times a constant."""

    def edit(place: Place) -> None:
        node, index = place.node, place.index
        result = node.output[0]
        node.output[0] = f"{result}/whole"
        name = place.constant(np.float32(factor).reshape(()))
        made = helper.make_node(
            "Mul", [node.output[0], name], [result], f"{node.name}/scaled"
        )
        place.model.graph.node.insert(index + 1, made)

    return edit


def other_constant(place: Place) -> bool | None:
    """The node's own small constant, a thousandth or a step off."""
    tensors = [place.initializer(name) for name in place.node.input]
    mine = [t for t in tensors if t is not None and t.name.startswith("constant/")]
    if not mine:
        return False
    place.tensor = place.chance.choice(mine)
    array = place.array
    if array.dtype.kind == "f":
        changed = array * np.float32(1.001)
    else:
        changed = array + np.ones_like(array) * (
            np.arange(array.size) == array.size - 1
        )
    name = place.constant(changed.astype(array.dtype))
    for k, given in enumerate(place.node.input):
        if given == place.tensor.name:
            place.node.input[k] = name
    return None


def slice_steps(place: Place) -> None:
    place.node.input[4] = place.constant(np.array([1, 2], np.int64))


def slice_starts(place: Place) -> None:
    place.node.input[1] = place.constant(np.array([1, 1], np.int64))


def pad_value(place: Place) -> None:
    place.node.input.append(place.constant(np.float32(1e-3).reshape(())))


def pad_amounts(place: Place) -> bool | None:
    """What is added behind is added before."""
    tensor = place.initializer(place.node.input[1])
    if tensor is None:
        return False
    array = numpy_helper.to_array(tensor)
    half = len(array) // 2
    changed = np.concatenate([array[half:], array[:half]])
    place.node.input[1] = place.constant(changed)
    return None


def _shifted(pads: object) -> object:
    """One pixel more above and left, one less below and right."""
    if not isinstance(pads, Sequence) or min(pads) < 1:
        return pads
    half = len(pads) // 2
    return [p + 1 for p in pads[:half]] + [p - 1 for p in pads[half:]]


def _plus(amount: int) -> Callable[[object], object]:
    return lambda value: [v + amount for v in value] if value else value


def _divided(value: object) -> object:
    return 1 if value and value > 1 else 2


NODES: dict[str, tuple[str, Edit]] = {
    "Relu becomes LeakyRelu": ("Relu", becomes("LeakyRelu", alpha=0.01)),
    "Relu becomes Clip": ("Relu", clip),
    "Relu becomes Sigmoid": ("Relu", becomes("Sigmoid")),
    "Relu becomes Identity": ("Relu", becomes("Identity")),
    "Relu becomes Abs": ("Relu", becomes("Abs")),
    "Relu becomes Elu": ("Relu", becomes("Elu")),
    "Relu becomes Softplus": ("Relu", becomes("Softplus")),
    "Relu becomes HardSwish": ("Relu", becomes("HardSwish")),
    "Sigmoid becomes HardSigmoid": ("Sigmoid", becomes("HardSigmoid")),
    "Sigmoid becomes Tanh": ("Sigmoid", becomes("Tanh")),
    "Add becomes Sub": ("Add", becomes("Sub")),
    "Add becomes Mul": ("Add", becomes("Mul")),
    "Add becomes Max": ("Add", becomes("Max")),
    "Add becomes Mean": ("Add", becomes("Mean")),
    "Mul becomes Add": ("Mul", becomes("Add")),
    "Sub the other way": ("Sub", swapped_inputs),
    "Concat the other way": ("Concat", swapped_inputs),
    "one operand of Add twice": ("Add", one_operand),
    "Add of an earlier value": ("Add", earlier_input),
    "Conv of an earlier value": ("Conv", earlier_input),
    "a Relu left out": ("Relu", dropped),
    "a BN left out": ("BatchNormalization", dropped),
    "an Add left out": ("Add", dropped),
    "a Mul left out": ("Mul", dropped),
    "a BN twice": ("BatchNormalization", doubled),
    "a Sigmoid twice": ("Sigmoid", doubled),
    "a Conv scaled": ("Conv", scaled_by(1.001)),
    "a Gemm scaled": ("Gemm", scaled_by(0.9999)),
    "a BN's statistics exchanged": ("BatchNormalization", swapped_statistics),
    "a BN's scale and bias exchanged": ("BatchNormalization", swapped_affine),
    "a Conv with another's weights": ("Conv", weights_of_another),
    "a BN with another's scale": ("BatchNormalization", weights_of_another),
    "another epsilon": (
        "BatchNormalization",
        attribute("epsilon", lambda v: v * 1.001),
    ),
    "BN without an epsilon": (
        "BatchNormalization",
        attribute("epsilon", lambda v: 0.0),
    ),
    "BN in training mode": (
        "BatchNormalization",
        attribute("training_mode", lambda v: 1),
    ),
    "other pads": ("Conv", attribute("pads", _plus(1))),
    "pads to one side": ("Conv", attribute("pads", _shifted)),
    "other strides": ("Conv", attribute("strides", _plus(1))),
    "other dilations": ("Conv", attribute("dilations", _plus(1))),
    "other groups": ("Conv", attribute("group", _divided)),
    "no pads named": ("Conv", attribute("pads", lambda v: None)),
    "no strides named": ("Conv", attribute("strides", lambda v: None)),
    "auto_pad": ("Conv", lambda place: _automatic(place, "SAME_UPPER")),
    "auto_pad of the other side": (
        "Conv",
        lambda place: _automatic(place, "SAME_LOWER"),
    ),
    "auto_pad none": ("Conv", lambda place: _automatic(place, "VALID")),
    "other windows of MaxPool": ("MaxPool", attribute("kernel_shape", _plus(-1))),
    "other strides of MaxPool": ("MaxPool", attribute("strides", _plus(-1))),
    "pads of MaxPool to one side": ("MaxPool", attribute("pads", _shifted)),
    "MaxPool rounds up": ("MaxPool", attribute("ceil_mode", lambda v: 1)),
    "MaxPool with dilations": ("MaxPool", attribute("dilations", lambda v: [2, 2])),
    "MaxPool becomes AveragePool": (
        "MaxPool",
        lambda place: setattr(place.node, "op_type", "AveragePool"),
    ),
    "AveragePool becomes MaxPool": (
        "AveragePool",
        lambda place: (
            place.set("count_include_pad", None),
            _renamed(place, "MaxPool"),
        )[0],
    ),
    "AveragePool rounds up": ("AveragePool", attribute("ceil_mode", lambda v: 1)),
    "AveragePool counts other pads": (
        "AveragePool",
        attribute("count_include_pad", lambda v: 0 if v else 1),
    ),
    "GlobalAveragePool becomes GlobalMaxPool": (
        "GlobalAveragePool",
        becomes("GlobalMaxPool"),
    ),
    "GlobalAveragePool becomes GlobalLpPool": (
        "GlobalAveragePool",
        becomes("GlobalLpPool"),
    ),
    "another axis of Concat": ("Concat", attribute("axis", lambda v: 2)),
    "another axis of Flatten": ("Flatten", attribute("axis", lambda v: 2)),
    "Flatten of all": ("Flatten", attribute("axis", lambda v: 0)),
    "Gemm not transposed": ("Gemm", attribute("transB", lambda v: 0)),
    "Gemm with alpha": ("Gemm", attribute("alpha", lambda v: 1.001)),
    "Gemm with beta": ("Gemm", attribute("beta", lambda v: 0.999)),
    "Gemm without its bias": ("Gemm", lambda place: _without_bias(place)),
    "other steps of Slice": ("Slice", slice_steps),
    "other starts of Slice": ("Slice", slice_starts),
    "other bounds of Slice": ("Slice", other_constant),
    "Pad on the other side": ("Pad", pad_amounts),
    "Pad with another value": ("Pad", pad_value),
    "Pad that reflects": ("Pad", attribute("mode", lambda v: "edge")),
    "more of Pad": ("Pad", other_constant),
    "another factor": ("Mul", other_constant),
    "another minuend": ("Sub", other_constant),
}


def _renamed(place: Place, op: str) -> None:
    place.node.op_type = op


def _automatic(place: Place, mode: str) -> bool | None:
    pads, strides = place.get("pads"), place.get("strides")
    if mode != "VALID" and (not pads or max(pads) == 0 or max(strides) == 1):
        return False
    if mode == "VALID" and max(pads) == 0:
        return False
    place.set("pads", None)
    place.set("auto_pad", mode)
    return None


def _without_bias(place: Place) -> bool | None:
    if len(place.node.input) < 3:
        return False
    del place.node.input[2:]
    return None


# --- tensors ----------------------------------------------------------------------------


def _scaled(place: Place, factor: float = 1.001) -> None:
    place.array = place.array * np.float32(factor)


def _one_off(place: Place) -> None:
    array = place.array
    flat = array.reshape(-1)
    flat[place.chance.randrange(flat.size)] += np.abs(flat).mean() * np.float32(0.1)
    place.array = array


def _channel_off(place: Place) -> None:
    array = place.array
    array[place.chance.randrange(len(array))] *= np.float32(1.01)
    place.array = array


def _transposed(place: Place) -> None:
    place.array = np.swapaxes(place.array, -1, -2)


def _flipped(place: Place) -> None:
    place.array = place.array[::-1]


def _rolled(place: Place) -> None:
    place.array = np.roll(place.array, 1, 0)


def _half(place: Place) -> None:
    place.array = place.array.astype(np.float16).astype(np.float32)


def _negated(place: Place) -> None:
    place.array = -place.array


def _zero(place: Place) -> None:
    place.array = np.zeros_like(place.array)


def _not_a_number(place: Place) -> None:
    array = place.array
    array.reshape(-1)[0] = np.nan
    place.array = array


def _exchanged(place: Place) -> bool | None:
    """The contents of two tensors of one shape."""
    others = [
        t
        for t in place.model.graph.initializer
        if t.dims == place.tensor.dims
        and t.name != place.tensor.name
        and t.data_type == place.tensor.data_type
    ]
    if not others:
        return False
    other = Place(place.model, place.chance, tensor=place.chance.choice(others))
    place.array, other.array = other.array, place.array
    return None


def _missing(place: Place) -> None:
    """Under another name, in the nodes too."""
    old, new = place.tensor.name, f"{place.tensor.name}.other"
    place.tensor.name = new
    for node in place.model.graph.node:
        for k, name in enumerate(node.input):
            if name == old:
                node.input[k] = new


TENSORS: dict[str, tuple[str, Edit]] = {
    "a weight a thousandth off": (".weight", _scaled),
    "a bias off": (".bias", partial(_scaled, factor=1.01)),
    "a mean off": (".running_mean", _scaled),
    "a variance off": (".running_var", _scaled),
    "one number of a weight off": (".weight", _one_off),
    "one number of a bias off": (".bias", _one_off),
    "one number of a mean off": (".running_mean", _one_off),
    "a channel off": ("conv1.weight", _channel_off),
    "a kernel transposed": ("conv1.weight", _transposed),
    "channels in the other order": (".weight", _flipped),
    "channels shifted": (".running_var", _rolled),
    "a weight in half precision": (".weight", _half),
    "a weight of the other sign": (".weight", _negated),
    "a bias that is zero": (".bias", _zero),
    "a weight that is NaN": (".weight", _not_a_number),
    "two weights exchanged": (".weight", _exchanged),
    "two variances exchanged": (".running_var", _exchanged),
    "a tensor of another name": (".weight", _missing),
}


def faults(model: ModelProto, seed: int) -> Iterator[Fault]:
    """Every fault of the kinds that the model has a place for, at a random one."""
    for number, (kind, (op, edit)) in enumerate(NODES.items()):
        yield from _first(kind, model, op, edit, random.Random(1000 * seed + number))
    for number, (kind, (end, edit)) in enumerate(TENSORS.items(), len(NODES)):
        yield from _first(kind, model, end, edit, random.Random(1000 * seed + number))


def _first(
    kind: str, model: ModelProto, what: str, edit: Edit, chance: random.Random
) -> Iterator[Fault]:
    """The fault at the first of the places, in a random order, where it can be."""
    for where in _shuffled(_places(model, what), chance):
        changed = ModelProto()
        changed.CopyFrom(model)
        place = Place(changed, chance)
        if what.startswith(".") or "." in what:
            place.tensor = place.initializer(where)
        else:
            place.node = next(n for n in changed.graph.node if n.name == where)
        if edit(place) is not False:
            yield Fault(kind, where, changed)
            return


def _places(model: ModelProto, what: str) -> list[str]:
    """Nodes of a type, or tensors whose names end so."""
    if "." in what:
        return [t.name for t in model.graph.initializer if t.name.endswith(what)]
    return [n.name for n in model.graph.node if n.op_type == what]


def _shuffled(names: list[str], chance: random.Random) -> list[str]:
    return chance.sample(names, len(names))
