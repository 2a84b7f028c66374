"""The classifier against numpy, and models that are none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

import resgraph
from resgraph.emit.optimised import optimise
from resgraph.infer import Classifier
from resgraph.infer.machine import machine_properties
from resgraph.infer.providers import CPU, CUDA, RECORD, placement, provider_for, require
from resgraph.infer.session import Bound, open_session, run, tensors
from tests.helpers import printed, refused
from tests.infer.common import BIAS, CLASSES, METADATA, SHAPE, model, noise, oracle

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


# --- threads, batches, buffers --------------------------------------------------------


def test_many_threads_get_what_one_gets(tmp_path: Path) -> None:
    classifier = Classifier(model(tmp_path), "cpu", threads=1, batch=3)
    images = noise(64)
    slices = [slice(i % 50, i % 50 + 1 + i % 7) for i in range(200)]
    serial = [classifier.predict(images[part]) for part in slices]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda part: classifier.predict(images[part]), slices))
    for one, other in zip(serial, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch(tmp_path: Path) -> None:
    path = model(tmp_path)
    small = Classifier(path, "cpu", batch=2)
    assert small.batch == 2
    assert Classifier(path, "cpu").batch == 256
    np.testing.assert_allclose(small.logits(noise()), oracle(noise()), atol=1e-4)
    assert "batch must be at least 1" in refused(lambda: Classifier(path, batch=0))
    single = model(tmp_path, shape=(1, *SHAPE))
    assert Classifier(single, "cpu").batch == 1
    told = refused(lambda: Classifier(single, "cpu", batch=2))
    assert "takes one image at a time, and not 2" in told


@pytest.mark.parametrize("fixed", [None, 8])
def test_buffers_on_the_device(tmp_path: Path, fixed: int | None) -> None:
    """What CUDA runs by, on the CPU: sizes that change, and threads."""
    path = model(tmp_path)
    session = open_session(path, CPU, 1)
    about = tensors(session, path)
    bound = Bound(session, about, "cpu", fixed)
    drawn = np.random.default_rng(2)
    sizes = [8, 8, 3, 1, 8, 5]
    batches = [drawn.standard_normal((n, *SHAPE)).astype(np.float32) for n in sizes]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(bound, batches * 10))
    for batch, result in zip(batches * 10, results, strict=True):
        np.testing.assert_allclose(result, run(session, about, batch), atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "follows", "bound_to"),
    [
        ([1, 2, 3, 5, 7, 8, 6], False, {1, 2, 4, 8}),
        ([8, 8, 3], True, {8}),
        ([20, 20], False, {12, 8, 4, 2, 1, 20}),
    ],
)
def test_few_sizes_are_bound(
    tmp_path: Path, sizes: list[int], follows: bool, bound_to: set[int]
) -> None:
    """Each new one has CUDA's libraries look for the fastest algorithms again."""
    path = model(tmp_path)
    session = open_session(path, CPU, 1)
    about = tensors(session, path)
    bound, seen = Bound(session, about, "cpu", full=8), set()
    for count in sizes:
        batch = noise(count).astype(np.float32)
        result = bound(batch, follows=follows and count < 8)
        np.testing.assert_allclose(result, run(session, about, batch), atol=1e-3)
        assert bound._buffers is not None
        seen.add(bound._buffers[0])
    assert seen <= bound_to


def test_nodes_are_counted_by_provider(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORD, "1")
    path = str(model(tmp_path))
    session = onnxruntime.InferenceSession(path, options, providers=[CPU])
    counted = session.get_provider_graph_assignment_info()
    assert sum(len(part.get_nodes()) for part in counted) >= 4
    assert str(placement(session)) == f"{CPU}, all nodes"
    assert Classifier(path, "cpu").placement.elsewhere == ()


# --- numbers that are none ------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite(tmp_path: Path, value: float) -> None:
    broken = BIAS.copy()
    broken[2] = value
    classifier = Classifier(model(tmp_path, bias=broken), "cpu")
    told = refused(lambda: classifier.predict(noise(5)))
    assert "not finite (NaN or infinite) for 5 of 5 images" in told
    assert classifier.predict(noise(0)).shape == (0, 4)


def test_an_untrained_model_is_noted(tmp_path: Path) -> None:
    fresh = {k: METADATA[k] for k in ("resgraph.network", "resgraph.digest")}
    *_, last = Classifier(model(tmp_path, fresh), "cpu").notes
    assert "does not tell that it was trained" in last
    assert Classifier(model(tmp_path), "cpu").notes == ()


# --- models that are none -------------------------------------------------------------


def test_no_file_a_folder_and_rubbish(tmp_path: Path) -> None:
    assert "no model" in refused(lambda: Classifier(tmp_path / "x.onnx"))
    assert "is a folder" in refused(lambda: Classifier(tmp_path))
    path = model(tmp_path)
    assert "tiny.onnx" in refused(lambda: Classifier(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a whole one: it is cut short" in refused(lambda: Classifier(path))
    path.write_text("print('hello')")
    assert "not a whole one" in refused(lambda: Classifier(path))
    path.write_bytes(b"")
    assert str(path) in refused(lambda: Classifier(path))


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (("N", 90), TensorProto.FLOAT, "it takes a vector [C] = [90], and no images"),
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


def test_a_type_that_the_cpu_lacks(tmp_path: Path) -> None:
    path = model(tmp_path, kind=TensorProto.BFLOAT16)
    told = refused(lambda: Classifier(path, device="cpu"))
    assert "no kernel for it here: bf16" in told


def test_a_model_optimised_here_and_elsewhere(tmp_path: Path) -> None:
    path, fast = model(tmp_path), tmp_path / "optimised.onnx"
    here = machine_properties()
    optimise(path, fast, here)
    classifier = Classifier(fast, threads=1)
    assert classifier.provider == CPU
    assert classifier.classes == tuple(CLASSES)
    np.testing.assert_allclose(classifier.logits(noise()), oracle(noise()), atol=1e-4)
    assert "in layouts that CUDA has not" in refused(lambda: Classifier(fast, "cuda"))
    elsewhere = here["resgraph.machine"].replace(onnxruntime.__version__, "1.0.0")
    optimise(path, fast, {"resgraph.machine": elsewhere})
    assert "optimised for onnxruntime 1.0.0" in refused(lambda: Classifier(fast))


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


@pytest.mark.skipif(has_cuda(), reason="there is a CUDA device here")
@pytest.mark.parametrize("option", ["tf32", "cuda_graph"])
def test_what_is_cudas_is_refused_on_the_cpu(tmp_path: Path, option: str) -> None:
    for device in ("cpu", "auto"):
        told = refused(lambda: Classifier(model(tmp_path), device, **{option: True}))  # noqa: B023
        assert "needs CUDA, and the model would run on the CPU" in told


@pytest.mark.skipif(not has_cuda(), reason="no CUDA device here")
@pytest.mark.parametrize("options", [{"tf32": True}, {"cuda_graph": True, "batch": 4}])
def test_options_of_cuda(tmp_path: Path, options: dict[str, Any]) -> None:
    classifier = Classifier(model(tmp_path), "cuda", **options)
    assert classifier.placement.provider == CUDA
    for count in (4, 1, 9):
        logits = classifier.logits(noise(count))
        np.testing.assert_allclose(logits, oracle(noise(count)), atol=0.05)


def test_resgraph_itself_has_it() -> None:
    assert resgraph.Classifier is Classifier
    with pytest.raises(AttributeError, match="no attribute 'Klassifier'"):
        resgraph.Klassifier  # noqa: B018
    code = (
        "import resgraph, sys; print(sorted({'numpy', 'onnxruntime'} & {*sys.modules}))"
    )
    told = printed(code)
    assert told == "[]"


def test_torch_is_not_needed(tmp_path: Path) -> None:
    path = model(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from resgraph.infer import Classifier\n"
        f"print(Classifier({str(path)!r}, 'cpu').classes)"
    )
    told = printed(code)
    assert told == str(tuple(CLASSES))
