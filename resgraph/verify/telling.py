"""A flow as JSON and back, for a witness in another process.

What comes back is checked to be a flow, since foreign code had a hand in it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resgraph.verify.calls import Number
from resgraph.verify.flow import INPUT, Flow, Step

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Printed:
    """A value that JSON has no form for: it equals what is printed alike."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return repr(other) == self.text


def told(flow: Flow) -> dict[str, Any]:
    """The flow without its values."""
    steps = [
        {
            "op": step.op,
            "attributes": [[name, _told(value)] for name, value in step.attributes],
            "inputs": list(step.inputs),
            "weights": [list(weight) for weight in step.weights],
            "scope": step.scope,
            "shape": list(step.shape),
        }
        for step in flow.steps
    ]
    about = {"outputs": [*flow.outputs], "names": [*flow.names]}
    about |= {"sequence": flow.sequence}
    about |= {"fixed": sorted(flow.fixed), "draws": list(flow.draws)}
    return about | {"input": list(flow.input), "steps": steps}


def heard(value: Any, values: Sequence[Tensor] | None = None) -> Flow:
    """The flow again, with the value of every step if there are any.

    Raises `ValueError`, `KeyError` or `TypeError` for what is no flow.
    """
    steps = tuple(_step(i, step) for i, step in enumerate(value["steps"]))
    outputs, names = _wholes(value["outputs"]), tuple(map(str, value["names"]))
    if not outputs or not all(INPUT <= i < len(steps) for i in outputs):
        raise ValueError(f"its outputs are steps {list(outputs)} of {len(steps)}")
    if len(names) != len(outputs):
        raise ValueError(f"it has {len(names)} names of {len(outputs)} outputs")
    if values is not None:
        _check(steps, values)
    return Flow(
        steps,
        outputs,
        str(value["sequence"]),
        _wholes(value["input"]),
        tuple(values or ()),
        frozenset(map(str, value["fixed"])),
        _wholes(value["draws"]),
        names,
    )


def _step(index: int, value: Mapping[str, Any]) -> Step:
    inputs = _wholes(value["inputs"])
    if not all(INPUT <= i < index for i in inputs):
        raise ValueError(f"step {index} is computed from {list(inputs)}")
    return Step(
        str(value["op"]),
        tuple((str(name), _attribute(name, a)) for name, a in value["attributes"]),
        inputs,
        tuple((str(r), str(n), _wholes(s)) for r, n, s in value["weights"]),
        str(value["scope"]),
        _wholes(value["shape"]),
    )


def _check(steps: Sequence[Step], values: Sequence[Tensor]) -> None:
    if len(values) != len(steps):
        raise ValueError(f"it has {len(values)} values of {len(steps)} steps")
    for i, (step, value) in enumerate(zip(steps, values, strict=True)):
        if tuple(value.shape[1:]) != step.shape:
            raise ValueError(f"the value of step {i} has shape {list(value.shape)}")


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _wholes(values: Any) -> tuple[int, ...]:
    return tuple(map(_whole, values))


# --- attributes ---------------------------------------------------------------------------


def _told(value: Any) -> Any:
    """An attribute's value: as it is, or an object with one key that says what it is."""
    if type(value) in _PLAIN:
        return value
    if type(value) is tuple:
        return {"tuple": [_told(item) for item in value]}
    if type(value) is Number:
        return {"number": float(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    kind = type(value)
    if dataclasses.is_dataclass(kind) and kind.__module__.startswith(__package__):
        names = [field.name for field in dataclasses.fields(kind)]
        told = {name: _told(getattr(value, name)) for name in names}
        return {"class": [kind.__module__, kind.__name__], "fields": told}
    return {"printed": repr(value)}


def _attribute(name: str, value: Any) -> Any:
    """A number for an unknown tensor there, which no number for one here must equal."""
    return ("elsewhere", value) if name == "constant" else _heard(value)


def _heard(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if "tuple" in value:
        return tuple(_heard(item) for item in value["tuple"])
    if "number" in value:
        return Number(value["number"])
    if "dtype" in value:
        found = getattr(torch, str(value["dtype"]))
        if not isinstance(found, torch.dtype):
            raise TypeError(f"{value['dtype']} is no type of numbers")
        return found
    if "class" in value:
        return _class(*value["class"])(
            **{str(name): _heard(told) for name, told in value["fields"].items()}
        )
    return Printed(str(value["printed"]))


def _class(module: str, name: str) -> type:
    """A frozen dataclass of this package, which all attributes of steps are."""
    home = sys.modules[module] if module.startswith(f"{__package__}.") else None
    kind = getattr(home, name, None)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise TypeError(f"{module}.{name} is no attribute's class")
    return kind
