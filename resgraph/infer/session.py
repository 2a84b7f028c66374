"""An onnxruntime session for an image classifier: opened, checked, run batch by batch."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.data.source import called
from resgraph.diagnostics import ResgraphError, first_line, plain
from resgraph.infer import providers
from resgraph.outputs import classifying
from resgraph.reading import chunk_budget, refuse_beyond
from resgraph.reading.models import check_model

TYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
"""Of the input and the output, as numpy knows them."""


@dataclass(frozen=True)
class Tensors:
    """What a model takes and gives."""

    input: str
    output: str
    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    classes: int
    dtype: type[np.floating[Any]]
    """Of the input."""
    result: type[np.floating[Any]]
    """Of the output."""
    single: bool
    """Whether it takes one image at a time only."""


def require_file(path: Path) -> None:
    """Raise `ResgraphError` unless the path is a file."""
    if path.is_dir():
        found = sorted(file.name for file in path.glob("*.onnx"))[:5]
        raise ResgraphError(
            f"{path} is a folder, not an ONNX model",
            f"name one of its models: {', '.join(found)}"
            if found
            else "make a model of a run: resgraph export RUN",
        )
    if not path.exists():
        raise ResgraphError(f"no model {path}", "make one: resgraph export RUN")


def open_session(
    path: Path,
    provider: str,
    threads: int | None = None,
    *,
    optimised: bool = False,
    tf32: bool = False,
    cuda_graph: bool = False,
) -> Any:
    """A session on that provider; TF32 and CUDA graphs are for CUDA alone.

    A model that is `optimised` already is left as it is, and so starts sooner.

    Raises `ResgraphError` if the file is no model that can be run there.
    """
    import onnxruntime

    check_model(path)
    options = onnxruntime.SessionOptions()
    # What goes wrong is raised as well; CUDA's libraries that are missing are logged only.
    options.log_severity_level = 3 if provider == providers.CUDA else 4
    if optimised:
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    chosen: Any = provider
    if provider == providers.CUDA:
        providers.preload()
        options.add_session_config_entry(providers.RECORD, "1")
        flags = {"use_tf32": tf32, "enable_cuda_graph": cuda_graph}
        chosen = (provider, {key: str(int(value)) for key, value in flags.items()})
    try:
        # Without fallback, an error of CUDA's is one, and not a second try on the CPU.
        return onnxruntime.InferenceSession(
            str(path), options, providers=[chosen], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise ResgraphError(
            f"{plain(path)} is not an ONNX model that can be run: "
            f"{plain(first_line(error), 400)}",
            _remedy(error, cuda_graph),
        ) from None


@dataclass(frozen=True)
class _Declared:
    """An input or output as the model has it, read once: each name may be no text."""

    name: str
    shape: list[Any]
    type: str


def tensors(session: Any, path: Path) -> Tensors:
    """The one input [N, C, H, W] and the output [N, classes].

    Raises `ResgraphError` for a model that has others.
    """
    try:
        inputs, outputs = (
            [_Declared(value.name, value.shape, value.type) for value in values]
            for values in (session.get_inputs(), session.get_outputs())
        )
    except UnicodeDecodeError:
        raise _foreign(
            path, "the name of an input, output or side is no text"
        ) from None
    if not outputs or not all(value.name for value in (*inputs, *outputs)):
        raise _foreign(path, "it has no output, or one without a name")
    shape = inputs[0].shape if len(inputs) == 1 else []
    whole = [isinstance(size, int) and size > 0 for size in shape]
    if len(shape) in (2, 3) and all(whole[1:]):
        raise _foreign(path, f"it takes {called(shape[1:])}, and no images [C, H, W]")
    if len(shape) != 4 or not all(whole[1:]) or (whole[0] and shape[0] != 1):
        shown = "; ".join(f"{i.name} {i.shape}" for i in inputs)
        raise _foreign(
            path, f"its input should be [N, C, H, W] with N free, not {plain(shown)}"
        )
    refuse_beyond(
        chunk_budget(), 4 * math.prod(shape[1:]), f"{path}: an image of {shape[1:]}"
    )
    if inputs[0].type not in TYPES:
        raise _foreign(path, f"its input should be of floats, not {inputs[0].type}")
    output = _logits(outputs, path)
    refuse_beyond(
        chunk_budget(), 64 * output.shape[1], f"{path}: {output.shape[1]:,} classes"
    )
    if output.type not in TYPES:
        raise _foreign(path, f"its output should be of floats, not {output.type}")
    return Tensors(
        input=inputs[0].name,
        output=output.name,
        shape=(shape[1], shape[2], shape[3]),
        classes=output.shape[1],
        dtype=TYPES[inputs[0].type],
        result=TYPES[output.type],
        single=whole[0],
    )


def _logits(outputs: list[_Declared], path: Path) -> _Declared:
    """The output that tells classes apart; of several vectors the first, if none is named so.

    Raises `ResgraphError` where there is none.
    """
    vectors = {value.name: _is_vector(value.shape) for value in outputs}
    named = {value.name: value for value in outputs}
    if found := classifying(vectors):
        return named[found]
    if vectors[outputs[0].name]:
        return outputs[0]
    if len(outputs) == 1:
        given = plain(outputs[0].shape)
        raise _foreign(path, f"its output should be logits [N, classes], not {given}")
    shown = "; ".join(f"{value.name} {value.shape}" for value in outputs)
    raise _foreign(
        path,
        f"one of its outputs should be logits [N, classes], and they are {plain(shown)}",
    )


def _is_vector(shape: list[Any]) -> bool:
    return len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 0


def metadata_of(session: Any, path: Path) -> dict[str, str]:
    """What the model says of itself, by key. Raises `ResgraphError` if that is no text."""
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError:
        raise _foreign(path, "its metadata are no text") from None


def run(session: Any, about: Tensors, batch: NDArray[Any]) -> NDArray[Any]:
    """Logits [N, classes] of a batch, from any number of threads at once."""
    return np.asarray(session.run([about.output], {about.input: batch})[0])


class Bound:
    """A session with its input and output in buffers on the device, which stay there.

    One batch at a time, whatever the number of threads. With a `fixed` size, smaller batches
    are filled up to it, so that the buffers never move: what a CUDA graph replays is their
    addresses. Without, there are few sizes all the same, since for each new one CUDA's libraries
    look for the fastest algorithms again, which takes seconds: powers of two below the `full`
    size, and the full size for whatever follows a full batch.
    """

    def __init__(
        self,
        session: Any,
        about: Tensors,
        device: str,
        fixed: int | None = None,
        full: int = 1,
    ) -> None:
        """Bind on `cuda`, or on `cpu`, which computes the same and gains nothing."""
        self._session, self._about = session, about
        self._device, self._fixed, self._full = device, fixed, full
        self._lock = threading.Lock()
        self._buffers: tuple[int, Any, Any, Any] | None = None

    def __call__(self, batch: NDArray[Any], follows: bool = False) -> NDArray[Any]:
        """Logits [N, classes] of a batch of at most the fixed size.

        `follows` says that it comes after a full batch of the same images.
        """
        count = len(batch)
        size = self._fixed or self._size(count, follows)
        if count < size:
            rest = np.zeros((size - count, *batch.shape[1:]), batch.dtype)
            batch = np.concatenate([batch, rest])
        with self._lock:
            if self._buffers is None or self._buffers[0] != size:
                self._buffers = self._bind(size)
            _, binding, given, result = self._buffers
            given.update_inplace(np.ascontiguousarray(batch))
            binding.synchronize_inputs()
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            # On the CPU numpy sees the buffer itself, which the next batch overwrites.
            return np.array(result.numpy()[:count])

    def _size(self, count: int, follows: bool) -> int:
        """To how many images a batch of so many is filled up."""
        if count >= self._full:
            return count
        return self._full if follows else min(self._full, 1 << (count - 1).bit_length())

    def _bind(self, size: int) -> tuple[int, Any, Any, Any]:
        """The size, the binding, and the buffers of its input and output."""
        from onnxruntime import OrtValue

        about, make = self._about, OrtValue.ortvalue_from_shape_and_type
        given = make([size, *about.shape], about.dtype, self._device, 0)
        result = make([size, about.classes], about.result, self._device, 0)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(about.input, given)
        binding.bind_ortvalue_output(about.output, result)
        return size, binding, given, result


def _remedy(error: Exception, cuda_graph: bool) -> str:
    if type(error).__name__ == "NotImplemented":
        return "no kernel for it here: bf16, for one, is for GPUs; export another form"
    if cuda_graph:
        return "a CUDA graph needs every node on CUDA: try without --cuda-graph"
    return "compile or export it anew: resgraph export RUN"


def _foreign(path: Path, what: str) -> ResgraphError:
    return ResgraphError(
        f"{path} is not an image classifier as resgraph exports them: {what}"
    )
