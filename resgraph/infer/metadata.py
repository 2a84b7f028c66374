"""What an ONNX model says about itself, and what is assumed where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import METADATA_CHARACTERS
from resgraph.reading import parsed_json

ASSUMED = 0.5
"""Mean and deviation of the pixels where a model does not tell: 0..255 becomes -1..1."""

_LARGEST = 1e6
"""Of means and deviations, where pixels are from 0 to 1."""
_TRAINING = {"resgraph.classes", "resgraph.mean", "resgraph.std"}  # export knows these


@dataclass(frozen=True)
class Metadata:
    """The `resgraph.*` properties of a model."""

    network: str | None
    digest: str | None
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel, on the scale where 255 is 1."""
    std: tuple[float, ...]
    named: bool
    """Whether the model names its classes; else they go by number."""
    assumptions: tuple[str, ...]
    """A sentence for each thing that the model does not tell."""
    unfinished: str | None = None
    """What the model says of a training that did not come to its end."""

    @property
    def notes(self) -> tuple[str, ...]:
        """All that the user should know of the model, a sentence each."""
        told = () if self.unfinished is None else (f"the model: {self.unfinished}",)
        return (*told, *self.assumptions)


def read_metadata(
    properties: Mapping[str, str], channels: int, outputs: int
) -> Metadata:
    """Read the properties of a model with so many input channels and outputs.

    Raises `ResgraphError` if a property is damaged or contradicts the model.
    """
    assumptions = []
    classes = _strings(properties, "resgraph.classes", outputs)
    named = classes is not None
    if classes is None:
        classes = tuple(str(number) for number in range(outputs))
        assumptions.append("the model does not name its classes: they go by number")
    mean = _floats(properties, "resgraph.mean", channels)
    std = _floats(properties, "resgraph.std", channels)
    if mean is None or std is None:
        mean = std = (ASSUMED,) * channels
        assumptions.append(
            "the model does not tell how it was fed: pixels are brought to -1..1 "
            f"(mean {ASSUMED}, deviation {ASSUMED})"
        )
    if "resgraph.network" in properties and not _TRAINING & properties.keys():
        assumptions.append(
            "the model does not tell that it was trained: 'resgraph compile' fills models "
            "with random weights, 'resgraph export RUN' with trained ones"
        )
    if min(std) < 1 / _LARGEST:
        raise _damaged("resgraph.std", "a deviation is not above 0")
    return Metadata(
        _word(properties, "resgraph.network"),
        _word(properties, "resgraph.digest"),
        classes,
        mean,
        std,
        named,
        tuple(assumptions),
        plain(told, 200) if (told := properties.get("resgraph.unfinished")) else None,
    )


def _word(properties: Mapping[str, str], key: str) -> str | None:
    return plain(properties[key]) if key in properties else None


def _strings(
    properties: Mapping[str, str], key: str, count: int
) -> tuple[str, ...] | None:
    values = _list(properties, key, count)
    if values is None:
        return None
    if not all(isinstance(value, str) for value in values):
        raise _damaged(key, "not all of it is text")
    return tuple(plain(value) for value in values)


def _floats(
    properties: Mapping[str, str], key: str, count: int
) -> tuple[float, ...] | None:
    values = _list(properties, key, count)
    if values is None:
        return None
    if not all(type(v) in (int, float) and abs(v) <= _LARGEST for v in values):
        raise _damaged(key, f"not all of it are numbers of at most {_LARGEST:,.0f}")
    return tuple(float(value) for value in values)


def _list(properties: Mapping[str, str], key: str, count: int) -> list[Any] | None:
    if key not in properties:
        return None
    if len(properties[key]) > METADATA_CHARACTERS:
        raise _damaged(key, f"it has {len(properties[key]):,} characters")
    try:
        values = parsed_json(properties[key])
    except ValueError:
        raise _damaged(key, "it is no JSON") from None
    if not isinstance(values, list):
        raise _damaged(key, "it is no list")
    if len(values) != count:
        raise _damaged(key, f"it has {len(values)} entries for {count}")
    return values


def _damaged(key: str, what: str) -> ResgraphError:
    return ResgraphError(
        f"the model's metadata '{key}' cannot be used: {what}",
        "export the model anew: resgraph export RUN",
    )
