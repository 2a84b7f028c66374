"""ONNX models beside the graph: as structure, in float64, and in onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.verify import runtime
from resgraph.verify.flow import Flow
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.onnx_flow import onnx_flow
from resgraph.verify.places import Divergence, by_node, first_divergence
from resgraph.verify.report import Check, Verdict, failed, passed, skipped
from resgraph.verify.rounding import DOUBLE, SINGLE, Rounding
from resgraph.verify.runtime import OnnxModel
from resgraph.verify.structure import Compared, against_onnx, as_unproven
from resgraph.verify.tolerance import NOTHING, Deviation, deviation
from resgraph.verify.trace import record, trace

STRUCTURE, DOUBLES = "structure: ONNX", "ONNX in float64"


_RUNS = 4
"""With noise: inference is quick, and what it says of float32 is told as a figure."""


@dataclass
class Inference:
    """The graph at inference: what it computes exactly, and what rounding may make of it.

    `meant` has the weights and statistics, and its ops' numbers (a BN's eps, a scale's
    factor) as float32 holds them, which is how a model does.
    """

    graph: Graph
    meant: Interpreter
    runs: dict[tuple[float, int, int], Tensor] = field(default_factory=dict)
    """Logits with noise, by its unit, the number of images and of the run."""

    def __post_init__(self) -> None:
        self.meant.double().eval()

    def judged(self, name: str, logits: Tensor, images: Tensor) -> Check:
        """Whether logits [N, classes] that were computed in float32 are these images'."""
        far = self.deviation(logits, images, SINGLE)
        if far.says_nothing and far.error < far.norm:
            return skipped(
                name,
                f"{far}: float32 says nothing here, rounding alone may pass "
                f"{NOTHING:.0%} of the value; float64 decides",
            )
        return passed(name, str(far)) if far.within else failed(name, str(far))

    def deviation(self, logits: Tensor, images: Tensor, unit: float) -> Deviation:
        """How far logits are from the exact ones, beside noise of this unit roundoff."""

        def run(k: int) -> Mapping[str, Tensor]:
            key = (unit, len(images), k)
            if key not in self.runs:
                with noise(unit, k):
                    self.runs[key] = self.logits(images)
            return {"logits": self.runs[key]}

        exact = self.logits(images)
        return deviation({"logits": logits}, {"logits": exact}, run, unit, {}, _RUNS)

    def logits(self, images: Tensor) -> Tensor:
        """[N, classes] in float64, of images [N, C, H, W]."""
        with torch.no_grad():
            logits: Tensor = self.meant(images.double())
        return logits


@dataclass
class OnnxComparison:
    """A model beside the graph's inference with the model's weights."""

    inference: Inference
    model: OnnxModel

    def checks(
        self, batches: Sequence[Tensor], devices: Sequence[str]
    ) -> Iterator[Check]:
        """Structure, float64, and per device a check for each batch [N, C, H, W]."""
        structure = self.structure()
        double, error = self.in_float64(batches[0])
        if structure.match is None and structure.apart and double.verdict == "passed":
            yield as_unproven(structure, error)
        else:
            yield structure.check
        yield double
        for device in devices:
            running = runtime.session(str(self.model.path), device)
            for images in batches:
                yield self.in_float32(running, images, device)

    def structure(self) -> Compared:
        """The model's nodes and attributes, one by one the graph's."""
        graph = self.inference.graph
        meant = trace(self.inference.meant, graph.input, training=False)
        return against_onnx(STRUCTURE, graph, onnx_flow(self.model), meant)

    def in_float64(self, images: Tensor) -> tuple[Check, float]:
        """ONNX's own definition of its ops, evaluated in float64, and the relative error."""
        try:
            found = self.model.in_float64(images.double().numpy())
        except ResgraphError as error:
            return skipped(DOUBLES, error.message), 0.0
        far = self.inference.deviation(torch.from_numpy(found), images, DOUBLE)
        text = f"by ONNX's reference evaluator: {far}"
        check = passed(DOUBLES, text) if far.within else failed(DOUBLES, text)
        return check, far.relative

    def in_float32(self, running: Any, images: Tensor, device: str) -> Check:
        """What onnxruntime computes, within what float32's rounding does to this network."""
        name = f"ONNX on {device}, batch {len(images)}"
        check = self.inference.judged(name, runtime.logits(running, images), images)
        if check.verdict is not Verdict.failed:
            return check
        found = self._first_divergence(images)
        if found is None:
            span = self.inference.graph.head.span
            return failed(name, f"{check.detail}; the last node diverges", span)
        return failed(name, f"{check.detail}; {found}", found.place.span)

    def _first_divergence(self, images: Tensor) -> Divergence | None:
        """The first node of the model that diverges, of one image."""
        image = images[:1].double()
        flow = record(self.inference.meant, image)
        nodes = {node: i for node, i in by_node(flow).items() if i != flow.output}
        found = runtime.values(self.model, list(nodes), images[:1])
        ours = {node: found[node] for node in nodes if node in found}

        def named(flow: Flow) -> dict[str, Tensor]:
            return {node: flow.values[i] for node, i in nodes.items()}

        def noisy(k: int) -> dict[str, Tensor]:
            with noise(SINGLE, k):
                return named(record(self.inference.meant, image))

        return first_divergence(self.inference.graph, ours, named(flow), noisy, SINGLE)


def noise(unit: float, seed: int) -> Rounding:
    """Rounding as runtimes round, which fold BN into the weights."""
    return Rounding(unit, seed, folding=True)


def weights_of(model: OnnxModel) -> Mapping[str, Tensor]:
    """The model's tensors, by their names in the state_dict."""
    return {name: torch.tensor(array) for name, array in model.weights().items()}
