"""An ONNX model file that resgraph wrote, opened to be looked into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto, numpy_helper

from resgraph.diagnostics import ResgraphError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OnnxFile:
    """The model, with its weights in memory."""

    def __init__(self, path: Path) -> None:
        """Read the file, and the weights beside it where it has them there.

        Raises `ResgraphError` if it is missing, damaged, not from resgraph, or in another
        form than the portable one.
        """
        self.path = path
        self._model = _read(path)
        self.metadata: Mapping[str, str] = {
            p.key: p.value for p in self._model.metadata_props
        }
        if not {"resgraph.network", "resgraph.digest"} <= self.metadata.keys():
            raise ResgraphError(
                f"{path} is an ONNX model, but not one of resgraph's: it names no graph",
                "only models from 'resgraph compile' and 'resgraph export' have a spec to "
                "be verified against",
            )
        keys = ("resgraph.target", "resgraph.form")
        if marks := [self.metadata[key] for key in keys if key in self.metadata]:
            raise ResgraphError(
                f"{path} is a network's {' '.join(marks)} form, whose nodes and tensors "
                "are not one by one the spec's",
                "verify the portable model, which it was made of: resgraph export RUN",
            )

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The tensors of the state_dict by name; the model's small constants are not among them."""
        return {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in self._model.graph.initializer
            if not tensor.name.startswith("constant/")
        }

    def exposing(self, names: Sequence[str]) -> tuple[bytes, list[str]]:
        """The model with these values as outputs too, and which of them it has.

        `logits` stands for the last of the names, as it does in the model.
        """
        model = ModelProto()
        model.CopyFrom(self._model)
        made = {output for node in model.graph.node for output in node.output}
        found = [name for name in names if name in made]
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in found
        )
        return model.SerializeToString(), found


def _read(path: Path) -> ModelProto:
    if not path.is_file():
        raise ResgraphError(f"no model {path}", "write it first: resgraph compile SPEC")
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's errors have no stable home
        why = first_line(error)
        raise ResgraphError(
            f"{path} is no whole ONNX model: {why}",
            "it is truncated, or its .data file is missing: compile or export it anew",
        ) from None
    if not model.graph.node:
        raise ResgraphError(f"{path} is no ONNX model: it has no nodes")
    return model
