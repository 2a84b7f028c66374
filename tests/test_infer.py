"""The classifier against numpy, and models that are none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from resgraph.infer import Classifier
from resgraph.infer.providers import CPU, CUDA, provider_for, require
from tests.conftest import ROOT
from tests.helpers import refused

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
) -> Path:
    """Two layers: logits = relu(flatten(x) W1) W2 + BIAS."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = {"w1": W1, "w2": W2, "bias": BIAS}
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


# --- the classifier -------------------------------------------------------------------


def test_equals_numpy(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path), device="cpu", threads=1)
    images = noise()
    expected = oracle(images)
    np.testing.assert_allclose(classifier.logits(images), expected, atol=1e-4)
    powers = np.exp(expected)
    probabilities = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict(images), probabilities, atol=1e-5)
    assert classifier.classes == tuple(CLASSES)
    assert classifier.metadata.network == "tiny"
    assert classifier.metadata.digest == METADATA["resgraph.digest"]
    assert classifier.input_shape == SHAPE
    assert classifier.assumptions == ()
    assert classifier.provider == CPU


def test_both_layouts(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path), device="cpu")
    images = noise()
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(classifier.logits(images), classifier.logits(last))


@pytest.mark.parametrize("count", [1, 255, 256, 600])
def test_any_number_of_images(tmp_path: Path, count: int) -> None:
    classifier = Classifier(model(tmp_path), device="cpu")
    logits = classifier.logits(noise(count))
    assert logits.shape == (count, 4)
    np.testing.assert_allclose(logits, oracle(noise(count)), atol=1e-4)
    assert classifier.predict(noise(0)).shape == (0, 4)


def test_large_logits_do_not_overflow(tmp_path: Path) -> None:
    tiny = METADATA | {"resgraph.std": "[1e-4, 1e-4, 1e-4]"}
    probabilities = Classifier(model(tmp_path, tiny), "cpu").predict(noise())
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_top_k(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path), device="cpu")
    for row, logits in zip(classifier.top_k(noise(), 3), oracle(noise()), strict=True):
        order = np.argsort(-logits)[:3]
        assert [p.index for p in row] == order.tolist()
        assert [p.label for p in row] == [CLASSES[i] for i in order]
        powers = np.exp(logits - logits.max())
        shares = (powers / powers.sum())[order]
        assert [p.probability for p in row] == pytest.approx(shares, abs=1e-5)
    assert all(len(row) == 4 for row in classifier.top_k(noise(), 99))


def test_half_precision_and_a_batch_of_one(tmp_path: Path) -> None:
    half = Classifier(model(tmp_path, kind=TensorProto.FLOAT16), device="cpu")
    logits = half.logits(noise())
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, oracle(noise()), atol=0.05)
    single = Classifier(model(tmp_path, shape=(1, *SHAPE)), device="cpu")
    np.testing.assert_allclose(single.logits(noise()), oracle(noise()), atol=1e-4)


def test_without_metadata_assumptions_are_stated(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path, {}), device="cpu")
    assert classifier.classes == ("0", "1", "2", "3")
    assert len(classifier.assumptions) == 2
    assert "mean 0.5, deviation 0.5" in classifier.assumptions[1]
    expected = oracle(noise(), [0.5] * 3, [0.5] * 3)
    np.testing.assert_allclose(classifier.logits(noise()), expected, atol=1e-4)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, *SHAPE), np.float32),
        np.zeros(SHAPE, np.uint8),
        np.zeros((2, 3, 5, 6), np.uint8),
    ],
)
def test_other_images_are_refused(tmp_path: Path, images: np.ndarray) -> None:
    classifier = Classifier(model(tmp_path), device="cpu")
    told = refused(lambda: classifier.predict(images))
    assert "takes uint8 images [N, 3, 6, 5], not" in told


# --- models that are none -------------------------------------------------------------


def test_no_file_a_folder_and_rubbish(tmp_path: Path) -> None:
    assert "no model" in refused(lambda: Classifier(tmp_path / "x.onnx"))
    assert "is a folder" in refused(lambda: Classifier(tmp_path))
    path = model(tmp_path)
    assert "tiny.onnx" in refused(lambda: Classifier(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    assert "not an ONNX model that can be run" in refused(lambda: Classifier(path))
    path.write_text("print('hello')")
    assert "not an ONNX model that can be run" in refused(lambda: Classifier(path))
    path.write_bytes(b"")
    assert str(path) in refused(lambda: Classifier(path))


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (("N", 90), TensorProto.FLOAT, "input should be [N, C, H, W]"),
        (("N", 3, "H", "W"), TensorProto.FLOAT, "input should be [N, C, H, W]"),
        ((8, *SHAPE), TensorProto.FLOAT, "with N free"),
        (("N", *SHAPE), TensorProto.DOUBLE, "of floats, not tensor(double)"),
    ],
)
def test_foreign_models(
    tmp_path: Path, shape: tuple[Any, ...], kind: int, message: str
) -> None:
    path = model(tmp_path, shape=shape, kind=kind)
    assert message in refused(lambda: Classifier(path, device="cpu"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", '["ant"]', "it has 1 entries for 4"),
        ("classes", "[1, 2, 3, 4]", "not all of it is text"),
        ("classes", "ant bee", "it is no JSON"),
        ("mean", '{"red": 1}', "it is no list"),
        ("mean", '["a", 1, 2]', "not all of it are numbers"),
        ("std", "[0.1, 0, 0.1]", "a deviation is not above 0"),
        ("std", "[NaN, 1, 1]", "not all of it are numbers"),
    ],
)
def test_damaged_metadata(tmp_path: Path, key: str, value: str, message: str) -> None:
    path = model(tmp_path, METADATA | {f"resgraph.{key}": value})
    told = refused(lambda: Classifier(path, device="cpu"))
    assert f"'resgraph.{key}' cannot be used: {message}" in told


# --- devices --------------------------------------------------------------------------


def has_cuda() -> bool:
    return provider_for("auto") == CUDA


def test_auto_tells_what_it_took(tmp_path: Path) -> None:
    assert Classifier(model(tmp_path)).provider in (CPU, CUDA)


def test_unknown_device_and_threads(tmp_path: Path) -> None:
    path = model(tmp_path)
    assert "unknown device 'gpu'" in refused(lambda: Classifier(path, device="gpu"))
    assert "at least 1" in refused(lambda: Classifier(path, threads=0))


@pytest.mark.skipif(has_cuda(), reason="there is a CUDA device here")
def test_cuda_is_never_replaced_silently(tmp_path: Path) -> None:
    told = refused(lambda: Classifier(model(tmp_path), device="cuda"))
    assert "no CUDA here: " in told
    assert "--device cpu" in told


def test_a_fallback_is_noticed() -> None:
    assert require("cuda", CUDA, [CUDA, CPU]) == CUDA
    assert "cannot load its CUDA provider" in refused(
        lambda: require("cuda", CUDA, [CPU])
    )
    assert require("auto", CUDA, [CPU]) == CPU


@pytest.mark.skipif(not has_cuda(), reason="no CUDA device here")
def test_cuda(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path), device="cuda")
    assert classifier.provider == CUDA
    np.testing.assert_allclose(classifier.logits(noise()), oracle(noise()), atol=1e-2)


def test_torch_is_not_needed(tmp_path: Path) -> None:
    path = model(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from resgraph.infer import Classifier\n"
        f"print(Classifier({str(path)!r}, 'cpu').classes)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(tuple(CLASSES))
