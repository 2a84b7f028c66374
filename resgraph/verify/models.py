"""ONNX models in onnxruntime beside the graph in torch, in float32 and in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from resgraph.graph import Graph
from resgraph.verify import runtime
from resgraph.verify.devices import logits_on_cuda
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.numbers import Distance, distance
from resgraph.verify.places import by_node, first_divergence
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.runtime import OnnxModel
from resgraph.verify.trace import record


def onnx_checks(
    graph: Graph,
    model: OnnxModel,
    meant: Interpreter,
    batches: Sequence[Tensor],
    devices: Sequence[str],
) -> Iterator[Check]:
    """A check per device and batch of images [N, C, H, W]; `meant` has the model's weights.

    BN is computed in both ways that runtimes have, and the worse one says how far float32
    may be from float64: where a mean is large beside its deviation, they differ.
    """
    exact = deepcopy(meant).double().eval()
    ways = (meant.eval(), scaled(meant))
    for device in devices:
        running = runtime.session(str(model.path), device)
        for images in batches:
            with torch.no_grad():
                right = exact(images.double())
            ours = runtime.logits(running, images)
            name = f"ONNX on {device}, batch {len(images)}"
            far, way = max(
                ((_distance(ours, way, right, images, device), way) for way in ways),
                key=lambda found: found[0].allowed,
            )
            if far.within:
                yield passed(name, str(far))
            else:
                yield _located(name, str(far), graph, model, way, exact, images)


def scaled(network: Interpreter) -> Interpreter:
    """A copy at inference whose BNs multiply by one number and add another, per channel."""
    made = deepcopy(network).eval()
    for name, module in [*made.named_modules()]:
        if isinstance(module, nn.BatchNorm2d):
            home, _, last = name.rpartition(".")
            made.get_submodule(home).add_module(last, ScaleShift(module))
    return made


class ScaleShift(nn.Module):
    """BN at inference as scale * x + shift, both rounded to the BN's own precision."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias.detach() - norm.running_mean * scale
        self.register_buffer("scale", scale.reshape(-1, 1, 1))
        self.register_buffer("shift", shift.reshape(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def _distance(
    ours: Tensor, way: Interpreter, right: Tensor, images: Tensor, device: str
) -> Distance:
    """How far the model and one way of computing it in torch are from float64."""
    with torch.no_grad():
        theirs = logits_on_cuda(way, images) if device == "cuda" else way(images)
    return distance({"logits": ours}, {"logits": theirs}, {"logits": right})


def _located(
    name: str,
    text: str,
    graph: Graph,
    model: OnnxModel,
    meant: Interpreter,
    exact: Interpreter,
    images: Tensor,
) -> Check:
    """The failed check, with the first node of the model that diverges."""
    flow = record(meant.eval(), images[:1])
    right = record(exact, images[:1].double())
    nodes = {node: i for node, i in by_node(flow).items() if i != flow.output}
    ours = runtime.values(model, list(nodes), images[:1])
    theirs = {node: flow.values[i] for node, i in nodes.items()}
    wanted = {node: right.values[i] for node, i in nodes.items()}
    found = first_divergence(
        graph, [n for n in nodes if n in ours], ours, theirs, wanted
    )
    if found is None:
        return failed(name, f"{text}; the last node diverges", graph.head.span)
    return failed(name, f"{text}; {found}", found.place.span)


def weights_of(model: OnnxModel) -> Mapping[str, Tensor]:
    """The model's tensors, by their names in the state_dict."""
    return {name: torch.tensor(array) for name, array in model.weights().items()}
