"""What a model declares of its input and output may be no text."""

from __future__ import annotations

from pathlib import Path

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
