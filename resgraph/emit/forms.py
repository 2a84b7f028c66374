"""The forms in which a network is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph.diagnostics import ResgraphError, did_you_mean
from resgraph.emit.outputs import refuse_too_large
from resgraph.emit.weights import WeightSource
from resgraph.files import staged
from resgraph.graph import Graph
from resgraph.limits import MODEL_BYTES
from resgraph.names import IMAGES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMS = {
    "portable": "float32, one node after the other: runs anywhere",
    "functions": "the same with one ONNX function per distinct unit",
    "fp16": "weights and activations in float16; float32 goes in and comes out",
    "bf16": "the same in bfloat16, for GPUs from Ampere on",
    "int8": "8-bit integers, quantised on calibration images",
    "optimised": "as onnxruntime optimises it, for this CPU and onnxruntime alone",
}
_REWRITTEN = ("int8", "optimised")
"""What onnxruntime makes of the portable form."""


@dataclass(frozen=True)
class Exported:
    """What is exported, whatever the form."""

    graph: Graph
    weights: WeightSource
    target: str = "portable"
    """Of the passes that the graph went through, for the file's name."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What travels in the file of each form."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Metadata that name this CPU and onnxruntime; for `optimised`."""
    calibration: NDArray[np.float32] | None = None
    """Images [N, C, H, W] as the network takes them; for `int8`."""

    def file(self, form: str) -> str:
        """NAME.onnx, with the target and the form in it where they are not portable."""
        marks = [mark for mark in (self.target, form) if mark != "portable"]
        return ".".join([self.graph.name, *marks, "onnx"])

    def of_form(self, form: str) -> Mapping[str, str]:
        """The metadata that a form has beside those of the network: its name."""
        return {} if form == "portable" else {"resgraph.form": form}


def check_form(form: str) -> None:
    """Raise `ResgraphError` for a form that there is not."""
    if form not in FORMS:
        raise ResgraphError(f"unknown form '{form}'", did_you_mean(form, FORMS))


def export_form(exported: Exported, form: str, folder: Path) -> tuple[Path, ...]:
    """Write the network into `folder` in that form; the files written, the model first.

    `optimised` has the portable model written next to it. Raises `ResgraphError` as
    `resgraph.emit.write` does, and for a form that there is not.
    """
    check_form(form)
    refuse_too_large(exported.graph, folder)
    if form in _REWRITTEN:
        _refuse_two_files(exported.graph, form)
    with staged(folder) as stage:
        files = _written(exported, form, stage)
    return tuple(folder / file.name for file in files)


def _refuse_two_files(graph: Graph, form: str) -> None:
    """onnxruntime makes these of a model that is one file."""
    from resgraph.emit.onnx_parts import Model

    model = Model(graph, {})
    size = model.size + model.numbers
    if size > MODEL_BYTES:
        raise ResgraphError(
            f"{graph.name} takes {size / 1e9:,.1f} GB as ONNX, and {form} is made of a "
            f"model of up to {MODEL_BYTES / 1e9:,.1f} GB, which is one file",
            "portable, functions, fp16 and bf16 have their weights in a file beside them",
        )


def _written(exported: Exported, form: str, stage: Path) -> list[Path]:
    from resgraph.emit import element
    from resgraph.emit.onnx_model import write_onnx

    path = stage / exported.file(form)
    about = {**exported.metadata, **exported.of_form(form)}
    given = exported.graph, path, exported.weights, about
    match form:
        case "functions":
            return write_onnx(*given, functions=True)
        case "fp16":
            return write_onnx(*given, element=element.FLOAT16)
        case "bf16":
            return write_onnx(*given, element=element.BFLOAT16)
        case "portable":
            return write_onnx(*given)
    if form == "optimised":
        from resgraph.emit.optimised import optimise

        plain = _written(exported, "portable", stage)
        optimise(plain[0], path, {**exported.of_form(form), **exported.machine})
        return [path, *plain]
    from resgraph.emit.quantise import quantise

    assert exported.calibration is not None
    whole = stage / exported.file("portable")
    plain = write_onnx(exported.graph, whole, exported.weights, about)
    quantise(plain[0], path, IMAGES, exported.calibration)
    for file in plain:
        file.unlink()
    return [path]
