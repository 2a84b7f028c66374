"""What a model declares of its input and output may be no text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from resgraph.infer.classifier import Classifier
from tests.helpers import refused


@pytest.mark.parametrize("word", [b"QIMAGE", b"QLOGIT", b"QBATCH", b"QSIDES"])
def test_a_name_that_is_no_text(word: bytes, tmp_path: Path) -> None:
    image = helper.make_tensor_value_info(
        "QIMAGE", TensorProto.FLOAT, ["QBATCH", 3, 4, 4]
    )
    logits = helper.make_tensor_value_info("QLOGIT", TensorProto.FLOAT, ["QSIDES", 48])
    node = helper.make_node("Flatten", ["QIMAGE"], ["QLOGIT"])
    graph = helper.make_graph([node], "g", [image], [logits])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = tmp_path / "model.onnx"
    damaged = b"\xce" + word[1:]
    path.write_bytes(model.SerializeToString().replace(word, damaged))
    told = refused(lambda: Classifier(path))
    assert "model.onnx" in told
    assert told.isprintable()


def several(path: Path, **shapes: list[int]) -> Path:
    """A model with outputs of these names, each an image's numbers in another shape."""
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 4, 4])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        for name, shape in shapes.items()
    ]
    nodes, tensors = [], []
    for name, shape in shapes.items():
        sides = helper.make_tensor(
            f"{name}_s", TensorProto.INT64, [len(shape) + 1], [0, *shape]
        )
        tensors.append(sides)
        nodes.append(helper.make_node("Reshape", ["input", f"{name}_s"], [name]))
    graph = helper.make_graph(nodes, "g", [image], outputs, tensors)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shapes", "classes"),
    [
        ({"p2": [3, 4, 4], "scores": [48]}, 48),
        ({"embedding": [48], "logits": [48], "p2": [3, 16]}, 48),
        ({"first": [48], "second": [48]}, 48),
    ],
)
def test_the_logits_among_several_outputs(
    shapes: dict[str, list[int]], classes: int, tmp_path: Path
) -> None:
    found = Classifier(several(tmp_path / "model.onnx", **shapes), "cpu")
    assert len(found.classes) == classes
    images = np.zeros((2, 3, 4, 4), np.uint8)
    assert found.logits(images).shape == (2, classes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"output": [3, 4, 4]}, "its output should be logits [N, classes], not"),
        ({"p2": [3, 4, 4], "p3": [3, 16]}, "one of its outputs should be logits"),
    ],
)
def test_a_model_that_classifies_nothing(
    shapes: dict[str, list[int]], message: str, tmp_path: Path
) -> None:
    told = refused(
        lambda: Classifier(several(tmp_path / "model.onnx", **shapes), "cpu")
    )
    assert message in told
