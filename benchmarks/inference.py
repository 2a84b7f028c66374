"""The ways to classify images that `bench_infer` compares: torch's, and ONNX in onnxruntime."""

from __future__ import annotations

import copy
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.measure import ROOT
from resgraph.compiler import Compiler
from resgraph.emit.forms import Exported, export_form
from resgraph.graph import Graph
from resgraph.infer.machine import machine_properties
from resgraph.infer.providers import CPU, CUDA, RECORD, preload, require
from resgraph.ops import Weight
from resgraph.origin import origin
from resgraph.passes.deploy import prepare
from resgraph.train import load_generated

Images = NDArray[np.float32]
Way = Callable[[Images], Any]

THREADS = 2
MODELS = {
    "portable": ("portable", "portable"),
    "cpu": ("cpu", "portable"),
    "cuda": ("cuda", "portable"),
    "functions": ("portable", "functions"),
    "optimised": ("portable", "optimised"),
    "fp16": ("portable", "fp16"),
    "int8": ("integers", "int8"),
}
"""The target and the form of each model."""


def weights(name: str, weight: Weight) -> NDArray[np.float32]:
    """He's for convolutions; BNs that keep the sum of a thousand units finite."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if weight.init.constant is None:
        spread = weight.init.std or weight.init.bound / 3
        return random.normal(0, spread, weight.shape).astype(np.float32)
    if weight.trainable and weight.init.constant == 1:
        return random.normal(0.3, 0.1, weight.shape).astype(np.float32)
    return np.full(weight.shape, weight.init.constant, np.float32)


def loaded(name: str) -> tuple[Graph, nn.Module]:
    """The graph of a generated file, and the file's module with the same weights."""
    path = ROOT / "generated" / f"{name}.py"
    found = origin(path)
    assert found is not None
    graph = found.graph(Compiler())
    module = load_generated(path).build().eval()
    state = {
        full: torch.from_numpy(weights(full, weight))
        for full, weight in graph.tensors().items()
    }
    module.load_state_dict(state, strict=False)
    return graph, module


def images(graph: Graph, batch: int) -> Images:
    return np.random.default_rng(0).standard_normal((batch, *graph.input), np.float32)


def written(
    graph: Graph, folder: Path, wanted: Mapping[str, tuple[str, str]] = MODELS
) -> dict[str, Path]:
    """Models in files, each of its target and form."""
    models = {}
    for name, (target, form) in wanted.items():
        prepared, _ = prepare(graph, weights, target)
        exported = Exported(
            prepared.graph,
            prepared.weights,
            machine=machine_properties(),
            calibration=images(graph, 8) if form == "int8" else None,
        )
        models[name] = export_form(exported, form, folder / name)[0]
    return models


def traced(module: nn.Module, graph: Graph, path: Path) -> Path:
    torch.onnx.export(
        module,
        (torch.zeros(2, *graph.input),),
        path,
        dynamo=False,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
    )
    return path


@dataclass(frozen=True)
class Provider:
    """Where onnxruntime runs a model, and how."""

    name: str = CPU
    options: Mapping[str, str] = field(default_factory=dict)
    """The provider's own, as onnxruntime's documentation has them."""

    @property
    def device(self) -> str:
        return "cuda" if self.name == CUDA else "cpu"


def session_options(path: Path) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    options.add_session_config_entry(RECORD, "1")
    if path.name.endswith(".optimised.onnx"):
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    return options


def session(
    path: Path,
    provider: Provider = Provider(),
    options: onnxruntime.SessionOptions | None = None,
) -> onnxruntime.InferenceSession:
    """On that provider. Raises `ResgraphError` where onnxruntime takes another one instead."""
    preload()
    opened = onnxruntime.InferenceSession(
        path,
        options or session_options(path),
        providers=[(provider.name, dict(provider.options))],
        enable_fallback=0,
    )
    require(provider.device, provider.name, opened.get_providers())
    return opened


def all_ways(
    module: nn.Module, models: Mapping[str, Path], provider: Provider = Provider()
) -> dict[str, Way]:
    ways: dict[str, Way] = {
        "eager": by_torch(module, torch.contiguous_format),
        "channels_last": by_torch(laid_out(module), torch.channels_last),
    }
    return ways | {name: by_onnxruntime(p, provider) for name, p in models.items()}


def by_torch(module: Callable[[Tensor], Tensor], layout: torch.memory_format) -> Way:
    def answer(batch: Images) -> Any:
        given = torch.from_numpy(batch).contiguous(memory_format=layout)
        with torch.inference_mode():
            return module(given).numpy()

    return answer


def laid_out(module: nn.Module) -> nn.Module:
    """A copy with its weights in channels-last layout."""
    made = copy.deepcopy(module)
    for tensor in (*made.parameters(), *made.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return made


def by_onnxruntime(path: Path, provider: Provider = Provider()) -> Way:
    opened = session(path, provider)
    return lambda batch: opened.run(None, {"input": batch})[0]


def where(
    path: Path, batch: Images, runs: int = 5, provider: Provider = Provider()
) -> dict[str, float]:
    """Milliseconds of one run by kind of node, by onnxruntime's own profile, most first."""
    options = session_options(path)
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(".profile"))
    opened = session(path, provider, options)
    for _ in range(runs):
        opened.run(None, {"input": batch})
    spent: Counter[str] = Counter()
    for event in json.loads(Path(opened.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return {kind: round(us / 1000 / runs, 2) for kind, us in spent.most_common()}
