"""The ONNX model: valid, without torch, equal to the PyTorch module in numbers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from resgraph.diagnostics import ResgraphError
from resgraph.emit import outputs
from resgraph.emit.element import FLOAT16, FLOAT32, Element
from resgraph.emit.onnx_file import OnnxFile
from resgraph.emit.onnx_model import OPSET, write_onnx
from resgraph.emit.weights import drawn, stored
from resgraph.graph import Graph, digest
from resgraph.verify.models import noise
from resgraph.verify.rounding import DOUBLE, SINGLE
from resgraph.verify.tolerance import Deviation, deviation
from tests.helpers import SPECS, graph_from, graph_of, module_of

ZOO, TINY = SPECS / "zoo.yaml", SPECS / "tiny.yaml"


def run(path: Path, images: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": images.numpy()})
    return torch.from_numpy(logits)


def shaken(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The network with BN statistics, gammas and betas that are not the trivial ones."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
    network.train()
    for _ in range(3):
        network(torch.randn(8, *shape))
    return network.eval()


def check_equal(graph: Graph, tmp_path: Path) -> None:
    """The model is the module: in float64, and in ONNX Runtime as far as float32 can say.

    What rounding may do is seen in runs of the module with rounding noise; where it may
    pass a tenth of the value, float64 alone decides.
    """
    module = module_of(graph, tmp_path)
    network = shaken(getattr(module, module.__all__[0])(), graph.input)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    path = tmp_path / "model.onnx"
    write_onnx(graph, path, stored(tmp_path / "w.safetensors", graph))
    network.double()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):  # a model holds it in float32
            layer.eps = float(np.float32(layer.eps))
    images = torch.randn(8, *graph.input)
    exact = {"logits": network(images.double()).detach()}
    assert exact["logits"].isfinite().all()

    def far(found: torch.Tensor, unit: float) -> Deviation:
        def noisy(seed: int) -> dict[str, torch.Tensor]:
            with torch.no_grad(), noise(unit, seed):
                return {"logits": network(images.double()[: len(found)])}

        meant = {"logits": exact["logits"][: len(found)]}
        return deviation({"logits": found}, meant, noisy, unit, {}, 4)

    for batch in (1, 3, 8):
        few = images[:batch]
        if batch == 1:
            double = OnnxFile(path).in_float64(few.double().numpy())["logits"]
            assert (error := far(torch.from_numpy(double), DOUBLE)).within, str(error)
        error = far(run(path, few), SINGLE)
        assert error.within or error.says_nothing, str(error)


@pytest.mark.parametrize("spec", [ZOO, TINY], ids=["zoo", "tiny"])
def test_equals_torch(spec: Path, tmp_path: Path) -> None:
    check_equal(graph_of(spec), tmp_path)


def test_model_is_valid_and_named(tmp_path: Path) -> None:
    graph = graph_of(ZOO)
    path = tmp_path / "zoo.onnx"
    assert write_onnx(graph, path, drawn(0)) == [path]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(
        model, check_type=True, strict_mode=True, data_prop=True
    )
    assert len(inferred.graph.value_info) == len(model.graph.node) - 1
    assert model.opset_import[0].version == OPSET >= 20
    names = {
        i.name for i in model.graph.initializer if not i.name.startswith("constant/")
    }
    state = module_of(graph, tmp_path).Zoo().state_dict()
    assert names == {n for n in state if not n.endswith("num_batches_tracked")}
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["resgraph.digest"] == digest(graph)
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def tensors(path: Path) -> Mapping[str, np.ndarray]:
    return {
        i.name: onnx.numpy_helper.to_array(i, base_dir=str(path.parent))
        for i in onnx.load(path).graph.initializer
    }


def test_external_data_holds_the_same(tmp_path: Path) -> None:
    graph = graph_of(TINY)
    inline, external = tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"
    inline.parent.mkdir()
    external.parent.mkdir()
    write_onnx(graph, inline, drawn(3))
    files = write_onnx(graph, external, drawn(3), inline_bytes=1000)
    assert [f.name for f in files] == ["m.onnx", "m.onnx.data"]
    assert external.stat().st_size < inline.stat().st_size
    images = torch.randn(2, *graph.input)
    assert torch.equal(run(inline, images), run(external, images))
    ours, theirs = tensors(inline), tensors(external)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_weights_follow_the_seed_and_he(tmp_path: Path) -> None:
    graph = graph_of(Path("specs/preact_basic.yaml"), network="resnet20")
    path = tmp_path / "m.onnx"
    write_onnx(graph, path, drawn(0))
    first = tensors(path)
    write_onnx(graph, path, drawn(0))
    assert all(np.array_equal(first[n], t) for n, t in tensors(path).items())
    write_onnx(graph, path, drawn(1))
    assert not np.array_equal(
        first["stem_conv.weight"], tensors(path)["stem_conv.weight"]
    )
    weight = first["stage3.1.conv1.weight"]
    assert abs(weight.std() / (2 / (9 * weight.shape[0])) ** 0.5 - 1) < 0.02
    bound = 1 / 64**0.5
    linear = first["head_linear.weight"]
    assert 0.9 * bound < np.abs(linear).max() <= bound
    assert not first["head_linear.bias"].any()


def test_needs_no_torch(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from resgraph.cli import main\n"
        f"sys.argv = ['resgraph', 'compile', 'tests/specs/tiny.yaml', '--out', {str(tmp_path)!r}]\n"
        "main()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    assert (tmp_path / "tiny.onnx").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    graph = graph_of(TINY)
    path = tmp_path / "w.safetensors"
    save_file({"stem_conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ResgraphError, match=r"missing .*another shape"):
        stored(path, graph)
    path.write_bytes(b"not safetensors")
    with pytest.raises(ResgraphError, match="not a readable safetensors file"):
        stored(path, graph)
    with pytest.raises(ResgraphError, match="no such file"):
        stored(tmp_path / "absent.safetensors", graph)


def test_a_failed_compile_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(TINY)
    outputs.write([graph], tmp_path, lambda graph: drawn(0))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"tiny.py", "tiny.onnx"}

    def full_disk(name: str, weight: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResgraphError, match="No space left"):
        outputs.write([graph], tmp_path, lambda graph: full_disk)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_cannot_fit_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(TINY)
    monkeypatch.setattr(outputs, "MODEL_BYTES", 100)
    with pytest.raises(ResgraphError, match=r"of an ONNX file, and it holds 0\.0 GB"):
        outputs.write([graph], tmp_path / "out", lambda graph: drawn(0))
    assert not (tmp_path / "out").exists()
    outputs.write([graph], tmp_path / "out", None)
    assert [p.suffix for p in (tmp_path / "out").iterdir()] == [".py"]


def test_weights_beyond_the_disk_are_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda path: DiskUsage(9, 8, 1))
    with pytest.raises(ResgraphError, match=r"takes \S+ GB as ONNX, and \S+ has 0"):
        outputs.write([graph_of(TINY)], tmp_path / "o", lambda graph: drawn(0))
    assert not (tmp_path / "o").exists()


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


COLLIDING = """
resgraph: 1
title: Values of the stem that are called as the model's input and outputs are
units:
  body: {paths: {F: {from: x, ops: [bn, relu]}, out: {from: [x, F], ops: [add]}}}
network:
  input: [3, 4, 4]
  stem:
    paths:
      a: {from: x, ops: [{conv: {kernel: 1, channels: 4, name: same}}]}
      b: {from: a, ops: [{bn: {name: p2}}]}
      c: {from: b, ops: [{option_a: {channels: 6, stride: 2, name: constant}}]}
      d: {from: c, ops: [{global_avg_pool: {keepdim: true}}, {conv: {kernel: 1, channels: 4}}]}
      e: {from: [b, d], ops: [mul]}
      f: {from: [b, e], ops: [add]}
      out: {from: f, ops: [{conv: {kernel: 1, channels: 4, name: p3}}, {relu: {name: logits}}]}
  stages: {c2: [body], c3: [body]}
  head: {from: c3, ops: [global_avg_pool, {linear: {features: 3, name: output}}]}
  outputs: {p2: c2, p3: c3, logits: head, same: c3, output: stem}
"""


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("kind", [FLOAT32, FLOAT16], ids=lambda kind: kind.name)
def test_public_names_are_kept_and_others_give_way(
    functions: bool, kind: Element, tmp_path: Path
) -> None:
    graph = graph_from(COLLIDING, tmp_path)
    path = tmp_path / "m.onnx"
    write_onnx(graph, path, drawn(0), element=kind, functions=functions)
    model = onnx.load(path)
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == [*graph.outputs]
    made = [name for node in model.graph.node for name in node.output]
    assert len(made) == len({*made, "input"}) - 1
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.randn(2, 3, 4, 4).numpy()
    p2, p3, logits, same, stem = session.run(None, {"input": images})
    assert np.array_equal(p3, same)
    assert (p2.shape, logits.shape, stem.shape) == ((2, 4, 4, 4), (2, 3), (2, 4, 4, 4))
    # The sum has no cancellation: at most 7 roundings, of BN's scale (3), of its product and
    # shift, of a conversion, and of the sum, each of half an eps.
    np.testing.assert_allclose(
        p3,
        p2 + np.maximum(p2 / np.sqrt(1 + 1e-5), 0),
        rtol=4 * float(np.finfo(np.float16 if kind is FLOAT16 else np.float32).eps),
    )


OPS = st.sampled_from(
    [
        "bn",
        "relu",
        "sigmoid",
        "one_minus",
        "identity",
        "{scale: {factor: -0.5}}",
        "{dropout: {rate: 0.25}}",
        "{conv: {kernel: 3, channels: width}}",
        "{conv: {kernel: 1, channels: width, bias: true}}",
        "{conv: {kernel: 3, channels: width, groups: width, dilation: 2}}",
        "{option_a: {channels: width}}",
        "{max_pool: {kernel: 3, stride: 1, padding: 1}}",
        "{avg_pool: {kernel: 3, stride: 1, padding: 1}}",
    ]
)
CHAIN = st.lists(OPS, min_size=1, max_size=5).map(", ".join)
MERGE = st.sampled_from(["add", "mul", "concat"])


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=CHAIN, second=CHAIN, merge=MERGE, after=CHAIN, repeat=st.integers(1, 3))
def test_any_topology_equals_torch(
    first: str, second: str, merge: str, after: str, repeat: int, tmp_path: Path
) -> None:
    text = f"""
resgraph: 1
title: Drawn by hypothesis
units:
  body:
    params: [width]
    paths:
      h: {{from: x, ops: [{first}]}}
      F: {{from: h, ops: [{second}, {{conv: {{kernel: 1, channels: width}}}}]}}
      out: {{from: [h, F, x], ops: [{merge}, {after}]}}
network:
  input: [2, 6, 5]
  stem: [{{conv: {{kernel: 3, channels: 4}}}}]
  stages: [[{{body: {{width: 4}}{f", repeat: {repeat}" if merge != "concat" else ""}}}]]
  head: [global_avg_pool, {{linear: {{features: 3}}}}]
"""
    try:
        graph = graph_from(text, tmp_path)
    except ResgraphError as error:
        assert "groups" in str(error) or "option_a" in str(error)
        return
    check_equal(graph, tmp_path)
