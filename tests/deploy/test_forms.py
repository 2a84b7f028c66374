"""The forms of one network: valid, equal to the portable one, or as near as they can be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from resgraph.emit.element import BFLOAT16, FLOAT16
from resgraph.emit.forms import FORMS, Exported, export_form
from resgraph.graph import Graph
from resgraph.infer.agreement import agreement
from resgraph.infer.machine import (
    PROPERTY,
    check_machine,
    is_optimised,
    machine_properties,
    properties_of,
)
from resgraph.passes.deploy import prepare
from resgraph.passes.edit import Weighted
from tests.conftest import ROOT
from tests.deploy.networks import Drawn, error, exact, logits, pictures
from tests.helpers import SPECS, graph_of, module_of, refused

ZOO = SPECS / "zoo.yaml"
METADATA = {"resgraph.classes": '["a"]'}


def exported(graph: Graph, target: str = "portable", seed: int = 0) -> Exported:
    network, _ = prepare(graph, Drawn(seed), target)
    images = pictures(32, graph.input, 5).astype(np.float32)
    return Exported(
        graph=network.graph,
        weights=network.weights,
        target=target,
        metadata=METADATA,
        machine=machine_properties(),
        calibration=images,
    )


def bottleneck() -> Graph:
    return graph_of(ROOT / "specs" / "preact_bottleneck.yaml", "depth=29")


@pytest.mark.parametrize("target", ["portable", "cpu", "cuda"])
@pytest.mark.parametrize("zoo", [True, False], ids=["zoo", "bottleneck"])
def test_functions_are_the_same_network(zoo: bool, target: str, tmp_path: Path) -> None:
    graph = graph_of(ZOO) if zoo else bottleneck()
    what = exported(graph, target)
    (portable,) = export_form(what, "portable", tmp_path)
    (functions,) = export_form(what, "functions", tmp_path)
    images = pictures(3, graph.input)
    assert error(logits(functions, images), logits(portable, images)) < 1e-6
    model, flat = onnx.load(functions), onnx.load(portable)
    distinct = {id(i) for _, i in what.graph.parts() if i.nodes}
    assert len(model.functions) == len(distinct)
    assert len(model.graph.node) < len(flat.graph.node) / 2
    weights = [
        {i.name: i for i in m.graph.initializer if not i.name.startswith("constant/")}
        for m in (model, flat)
    ]
    assert weights[0] == weights[1]
    onnx.checker.check_model(model, full_check=True)


def test_functions_do_not_grow_with_depth(tmp_path: Path) -> None:
    spec = ROOT / "specs" / "preact_bottleneck.yaml"
    models = []
    for depth in (29, 56):
        what = exported(graph_of(spec, f"depth={depth}"))
        models.append(onnx.load(export_form(what, "functions", tmp_path)[0]))
    assert models[0].functions == models[1].functions
    assert [f.name for f in models[0].functions] == [
        "stem",
        "entry",
        "body",
        "entry_2",
        "body_2",
        "entry_3",
        "body_3",
        "head",
    ]
    assert models[0].functions[2].doc_string == "body(width=16) of [64, 32, 32]"


@pytest.mark.parametrize("target", ["portable", "cpu", "cuda"])
def test_float16_rounds_and_no_more(target: str, tmp_path: Path) -> None:
    graph = bottleneck()
    what = exported(graph, target)
    (path,) = export_form(what, "fp16", tmp_path)
    model = onnx.load(path)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert kinds == {TensorProto.FLOAT16}
    for value in (model.graph.input[0], model.graph.output[0]):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    images = pictures(8, graph.input)
    expected = exact(Weighted(what.graph, what.weights), images)
    found = logits(path, images)
    assert found.dtype == np.float32
    assert 1e-5 < error(found, expected) < 2e-2
    (plain,) = export_form(what, "portable", tmp_path)
    assert path.stat().st_size < 0.7 * plain.stat().st_size


def test_bfloat16_is_valid_onnx_of_rounded_weights(tmp_path: Path) -> None:
    graph = graph_of(ZOO)
    what = exported(graph)
    (path,) = export_form(what, "bf16", tmp_path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    weights = graph.tensors()
    for tensor in model.graph.initializer:
        assert tensor.data_type in (TensorProto.BFLOAT16, TensorProto.INT64)
        if tensor.name in weights:
            full = what.weights(tensor.name, weights[tensor.name])
            expected = torch.from_numpy(full).float().bfloat16().double().numpy()
            found = numpy_helper.to_array(tensor).astype(float)
            np.testing.assert_array_equal(found, expected)


def test_rounding_is_to_nearest() -> None:
    one, step = np.float32(1), np.float32(2**-7)
    values = np.array([1, 1 + step / 2, 1 + 3 * step / 2, -one - step], np.float32)
    bits = np.frombuffer(BFLOAT16.raw("w", values), np.uint16).astype(np.uint32) << 16
    back = bits.view(np.float32)
    np.testing.assert_array_equal(back, [1, 1, 1 + 2 * step, -1 - step])
    infinite = np.array([np.inf, -np.inf], np.float32)
    for element, kind in ((FLOAT16, np.float16), (BFLOAT16, np.uint16)):
        raw = np.frombuffer(element.raw("w", infinite), kind)
        wide = raw.astype(np.float32) if kind == np.float16 else raw
        assert wide[0] in (np.inf, 0x7F80)


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    what = exported(graph_of(ZOO))
    large = replace(what, weights=lambda n, w: 1e5 * what.weights(n, w))
    told = refused(lambda: export_form(large, "fp16", tmp_path))
    assert "float16 ends at 65,504 | bf16 has" in told
    assert not list(tmp_path.glob("*"))
    assert export_form(large, "bf16", tmp_path)


@pytest.mark.parametrize("kind", ["mixed", "tiny"])
@pytest.mark.parametrize("spec", ["preact_bottleneck", "bn_after_add_bottleneck"])
def test_int8_stays_near_and_in_integers(spec: str, kind: str, tmp_path: Path) -> None:
    graph = graph_of(ROOT / "specs" / f"{spec}.yaml", "depth=20")
    network, _ = prepare(graph, Drawn(0, kind), "integers")
    images = pictures(32, graph.input, 5)
    calibration = images.astype(np.float32)
    what = Exported(
        network.graph, network.weights, metadata=METADATA, calibration=calibration
    )
    (path,) = export_form(what, "int8", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    model = onnx.load(path)
    weights = {i.data_type for i in model.graph.initializer if len(i.dims) == 4}
    assert weights == {TensorProto.INT8}
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["resgraph.classes"] == METADATA["resgraph.classes"]
    (plain,) = export_form(what, "portable", tmp_path)
    agreed = agreement(logits(path, images), logits(plain, images))
    assert 0 < agreed.mean < 0.05 * agreed.scale
    assert agreed.changed <= 6
    run = run_as(path, tmp_path / "run.onnx")
    assert run["QuantizeLinear"] == run["DequantizeLinear"] == 1
    assert run["QLinearAdd"] == 6
    assert not run.keys() & {"Add", "Relu", "Conv", "BatchNormalization"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_cpu_runs_all_float32_forms_as_the_traced_export(tmp_path: Path) -> None:
    graph = bottleneck()
    source = module_of(graph, tmp_path)
    network = getattr(source, source.__all__[0])()
    traced = tmp_path / "traced.onnx"
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, *graph.input),),
        traced,
        dynamo=False,
        dynamic_axes={"input": {0: "N"}},
        input_names=["input"],
    )
    expected = run_as(traced, tmp_path / "run.onnx")
    assert expected["Conv"] > 29
    for target in ("portable", "cpu"):
        for form in ("portable", "functions"):
            (path,) = export_form(exported(graph, target), form, tmp_path)
            assert run_as(path, tmp_path / "run.onnx") == expected, (target, form)


def run_as(model: Path, optimised: Path) -> Counter[str]:
    """The kinds of nodes that onnxruntime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(optimised).graph.node)


def test_optimised_is_the_same_network_and_names_its_machine(tmp_path: Path) -> None:
    graph = bottleneck()
    path, plain = export_form(exported(graph), "optimised", tmp_path)
    assert [path.name, plain.name] == [
        f"{graph.name}.optimised.onnx",
        f"{graph.name}.onnx",
    ]
    images = pictures(3, graph.input)
    assert error(logits(path, images), logits(plain, images)) < 1e-6
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["resgraph.classes"] == METADATA["resgraph.classes"]
    assert properties_of(path) == {PROPERTY: properties[PROPERTY]}
    assert is_optimised(properties_of(path))
    check_machine(properties)
    assert properties_of(plain) == {}
    check_machine({})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"onnxruntime": "0.1"}, "optimised for onnxruntime 0.1, and this is"),
        ({"cpu": "Abacus"}, "another CPU: Abacus, and this is"),
        ({"instructions": ["avx9"]}, "other instructions"),
        ({"instructions": None}, "cannot be used"),
    ],
)
def test_another_machine_is_refused(changed: dict[str, object], message: str) -> None:
    about = json.loads(machine_properties()[PROPERTY]) | changed
    told = refused(lambda: check_machine({PROPERTY: json.dumps(about)}))
    assert message in told
    assert "--form optimised" in told


def test_damaged_machine_metadata_are_refused() -> None:
    assert "cannot be used" in refused(lambda: check_machine({PROPERTY: "{"}))


def test_names_say_target_and_form() -> None:
    what = exported(graph_of(ZOO), "cuda")
    assert what.file("portable") == "zoo.cuda.onnx"
    assert what.file("fp16") == "zoo.cuda.fp16.onnx"
    told = refused(lambda: export_form(what, "fp8", Path()))
    assert "unknown form 'fp8' | known here: bf16, fp16" in told
    assert set(FORMS) >= {"portable", "functions", "int8", "optimised"}


def test_agreement_counts() -> None:
    ours = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    theirs = np.array([[2.5, 2.0], [3.0, 1.0]], np.float32)
    found = agreement(ours, theirs)
    assert (found.images, found.changed, found.largest) == (2, 1, 1.5)
    assert found.mean == pytest.approx(1.5 / 4)
    assert "1 of 2 predictions changed" in str(found)
