"""The ONNX model: what verification needs of its file, and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resgraph.diagnostics import ResgraphError, first_line
from resgraph.infer import providers


class OnnxNode(Protocol):
    """A node of a model."""

    @property
    def op(self) -> str:
        """Its type: `Conv`."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """As numbers, text and lists of numbers."""


class OnnxModel(Protocol):
    """What is needed of a model file (`resgraph.emit.onnx_file.OnnxFile`)."""

    path: Path
    metadata: Mapping[str, str]
    outputs: Sequence[str]
    """Their names."""

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The tensors of the state_dict by name."""

    def constants(self) -> dict[str, NDArray[Any]]:
        """The other tensors that stand in the file."""

    def nodes(self) -> Sequence[OnnxNode]:
        """In the order of the file, which is that of computing."""

    def shapes(self, batch: int) -> Mapping[str, tuple[int, ...]]:
        """The shape of every value at a batch size, as far as ONNX infers it."""

    def in_float64(self, images: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The outputs by ONNX's own reference evaluator. Raises `ResgraphError` where it
        cannot run the model."""

    def exposing(self, names: Sequence[str]) -> tuple[bytes, dict[str, str]]:
        """The model with the results of these nodes as outputs too, and what they are called
        there, of those that it has."""


def session(model: str | bytes, device: str, **settings: Any) -> Any:
    """An onnxruntime session with float32 arithmetic (no TF32) on `cpu` or `cuda`.

    `settings` are of `SessionOptions`: `graph_optimization_level`, `intra_op_num_threads`.
    Raises `ResgraphError` if the file is no model, or the device cannot be had.
    """
    import onnxruntime

    wanted = providers.provider_for(device)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised as well
    for name, value in settings.items():
        setattr(options, name, value)
    provider: Any = wanted
    if wanted == providers.CUDA:
        providers.preload()
        provider = (wanted, {"use_tf32": "0"})
    try:
        made = onnxruntime.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors have no common base
        raise ResgraphError(
            f"onnxruntime cannot load the model: {first_line(error)}",
            "it is damaged, or another tool has changed it: compile or export it anew",
        ) from None
    providers.require(device, wanted, made.get_providers())
    return made


def outputs(running: Any, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """The outputs for images [N, C, H, W]. Raises `ResgraphError` if it cannot run."""
    results = _run(running, names, images)
    return {n: torch.from_numpy(r) for n, r in zip(names, results, strict=True)}


def _run(running: Any, names: Sequence[str], images: Tensor) -> list[NDArray[Any]]:
    try:
        results: list[NDArray[Any]] = running.run(
            names, {"input": images.cpu().numpy()}
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise ResgraphError(
            f"onnxruntime cannot run the model: {first_line(error)}",
            "shapes inside it do not fit: compile or export it anew",
        ) from None
    return results


def values(model: OnnxModel, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """The values of the named nodes, as far as the model has them."""
    changed, found = model.exposing(names)
    results = _run(session(changed, "cpu"), [*found.values()], images)
    return {n: torch.from_numpy(r) for n, r in zip(found, results, strict=True)}
