"""A model of two layers, and what numpy says it computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (3, 6, 5)
CLASSES = ["ant", "bee", "cat", "dog"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
METADATA = {
    "resgraph.network": "tiny",
    "resgraph.digest": "sha256:" + "0" * 64,
    "resgraph.classes": json.dumps(CLASSES),
    "resgraph.mean": json.dumps(MEAN),
    "resgraph.std": json.dumps(STD),
}
RANDOM = np.random.default_rng(0)
W1 = RANDOM.standard_normal((90, 16)).astype(np.float32) / 9
W2 = RANDOM.standard_normal((16, 4)).astype(np.float32)
BIAS = RANDOM.standard_normal(4).astype(np.float32)


def model(
    folder: Path,
    metadata: dict[str, str] = METADATA,
    shape: tuple[Any, ...] = ("N", *SHAPE),
    kind: int = TensorProto.FLOAT,
    bias: np.ndarray = BIAS,
) -> Path:
    """Two layers: logits = relu(flatten(x) W1) W2 + bias."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = {"w1": W1, "w2": W2, "bias": bias}
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"]),
        helper.make_node("Add", ["c", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("logits", kind, [shape[0], 4])],
        [numpy_helper.from_array(v.astype(dtype), k) for k, v in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 10
    helper.set_model_props(made, metadata)
    path = folder / "tiny.onnx"
    onnx.save(made, path)
    return path


def oracle(images: np.ndarray, mean: Any = MEAN, std: Any = STD) -> np.ndarray:
    """Logits of [N, C, H, W] uint8, in float64."""
    x = (images / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    hidden = np.maximum(x.reshape(len(x), -1) @ W1.astype(float), 0)
    return hidden @ W2 + BIAS


def noise(count: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *SHAPE), np.uint8)
