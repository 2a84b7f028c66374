"""A model as onnxruntime has it after its own optimisations, saved to start sooner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto


def optimise(model: Path, out: Path, metadata: Mapping[str, str]) -> None:
    """Write `model`, optimised for this CPU, to `out`.

    Its layouts are those of this CPU and this onnxruntime, which `metadata` should tell: it
    is added to the model's own.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
    added = ModelProto()
    for key, value in metadata.items():
        added.metadata_props.add(key=key, value=value)
    with out.open("ab") as stream:  # serialised messages that follow one another merge
        stream.write(added.SerializeToString())
