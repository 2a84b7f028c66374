"""ONNX models in onnxruntime beside the graph in torch, in float32 and in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from resgraph.graph import Graph
from resgraph.verify import runtime
from resgraph.verify.devices import logits_on_cuda
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.numbers import distance
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
    """A check per device and batch of images [N, C, H, W]; `meant` has the model's weights."""
    exact = deepcopy(meant).double().eval()
    for device in devices:
        running = runtime.session(str(model.path), device)
        for images in batches:
            with torch.no_grad():
                theirs = meant.eval()(images)
                right = exact(images.double())
            if device == "cuda":
                theirs = logits_on_cuda(meant, images)
            ours = runtime.logits(running, images)
            name = f"ONNX on {device}, batch {len(images)}"
            far = distance({"logits": ours}, {"logits": theirs}, {"logits": right})
            if far.within:
                yield passed(name, str(far))
            else:
                yield _located(name, str(far), graph, model, meant, exact, images)


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
