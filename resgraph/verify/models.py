"""ONNX models beside the graph: as structure, in float64, and in onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resgraph.diagnostics import ResgraphError, plain
from resgraph.graph import Graph
from resgraph.verify import runtime
from resgraph.verify.flow import Flow
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.onnx_flow import onnx_flow
from resgraph.verify.places import (
    Divergence,
    by_node,
    first_beyond,
    first_divergence,
)
from resgraph.verify.report import (
    Check,
    Verdict,
    failed,
    passed,
    skipped,
    unproven,
)
from resgraph.verify.returned import by_name
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
    runs: dict[tuple[float, int, int], Mapping[str, Tensor]] = field(
        default_factory=dict
    )
    """Outputs with noise, by its unit, the number of images and of the run."""

    def __post_init__(self) -> None:
        self.meant.double().eval()

    @property
    def names(self) -> list[str]:
        """Of the outputs."""
        return [*self.graph.outputs]

    def judged(self, name: str, found: Mapping[str, Tensor], images: Tensor) -> Check:
        """Whether outputs that were computed in float32 are these images'."""
        far = self.deviation(found, images, SINGLE)
        if far.says_nothing and far.error < far.norm:
            return skipped(
                name,
                f"{far}: float32 says nothing here, rounding alone may pass "
                f"{NOTHING:.0%} of the value; float64 decides",
            )
        if not far.within and (place := self.beyond(images, torch.float32)):
            why = f"float32 cannot hold the network's own values, {place}"
            return skipped(name, f"{why}; float64 decides")
        return passed(name, str(far)) if far.within else failed(name, str(far))

    def beyond(self, images: Tensor, dtype: torch.dtype) -> str:
        """Where its values are beyond what this type holds, if they are."""
        return first_beyond(self.graph, record(self.meant, images.double()), dtype)

    def deviation(
        self, found: Mapping[str, Tensor], images: Tensor, unit: float
    ) -> Deviation:
        """How far outputs are from the exact ones, beside noise of this unit roundoff."""

        def run(k: int) -> Mapping[str, Tensor]:
            key = (unit, len(images), k)
            if key not in self.runs:
                with noise(unit, k):
                    self.runs[key] = self.outputs(images)
            return self.runs[key]

        return deviation(found, self.outputs(images), run, unit, {}, _RUNS)

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """In float64, of images [N, C, H, W]."""
        with torch.no_grad():
            found = self.meant(images.double())
        return by_name(found, self.names, self.graph.name)


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
        return against_onnx(
            STRUCTURE, graph, onnx_flow(self.model, self.inference.names), meant
        )

    def in_float64(self, images: Tensor) -> tuple[Check, float]:
        """ONNX's own definition of its ops, evaluated in float64, and the relative error."""
        try:
            found = self.model.in_float64(images.double().numpy())
        except ResgraphError as error:
            return skipped(DOUBLES, error.message), 0.0
        outputs = {n: torch.from_numpy(found[n]) for n in self.inference.names}
        far = self.inference.deviation(outputs, images, DOUBLE)
        if not far.within and (place := self.inference.beyond(images, torch.float64)):
            why = f"float64 cannot hold the network's own values, {place}"
            return unproven(DOUBLES, why), 0.0
        text = f"by ONNX's reference evaluator: {far}"
        check = passed(DOUBLES, text) if far.within else failed(DOUBLES, text)
        return check, far.relative

    def in_float32(self, running: Any, images: Tensor, device: str) -> Check:
        """What onnxruntime computes, within what float32's rounding does to this network."""
        name = f"ONNX on {device}, batch {len(images)}"
        found = runtime.outputs(running, self.inference.names, images)
        check = self.inference.judged(name, found, images)
        if check.verdict is not Verdict.failed:
            return check
        first = self._first_divergence(images)
        if first is None:
            span = self.inference.graph.span
            return failed(name, f"{check.detail}; the last node diverges", span)
        return failed(name, f"{check.detail}; {first}", first.place.span)

    def _first_divergence(self, images: Tensor) -> Divergence | None:
        """The first node of the model that diverges, of one image."""
        image = images[:1].double()
        flow = record(self.inference.meant, image)
        nodes = {node: i for node, i in by_node(flow).items() if i not in flow.outputs}
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


def refuse_other_outputs(model: OnnxModel, graph: Graph) -> None:
    """Raise `ResgraphError` for a model that lacks an output of the graph."""
    missing = [name for name in graph.outputs if name not in model.outputs]
    if missing:
        raise ResgraphError(
            f"{plain(model.path)} has no output '{missing[0]}', as {graph.name} has: "
            f"{plain(', '.join(model.outputs)) or 'none at all'}",
            "another tool has changed it: compile or export it anew",
        )


def weights_of(model: OnnxModel) -> Mapping[str, Tensor]:
    """The model's tensors, by their names in the state_dict."""
    return {name: torch.tensor(array) for name, array in model.weights().items()}
