"""An exported network, ready to classify pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import ResgraphError
from resgraph.infer import providers
from resgraph.infer.metadata import read_metadata

_BATCH = 256  # images at a time, so that memory does not grow with their number
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Prediction:
    """One class for one picture."""

    label: str
    index: int
    """Of the class."""
    probability: float


class Classifier:
    """An ONNX model with one input [N, C, H, W] and one output of logits [N, classes]."""

    def __init__(
        self, model_path: str | Path, device: str = "auto", threads: int | None = None
    ) -> None:
        """Load the model on `auto`, `cpu` or `cuda`, on the CPU with so many threads.

        Raises `ResgraphError` if the file is missing, damaged or no such model, and if
        `cuda` is asked for where it cannot be had.
        """
        self.path = Path(model_path)
        if threads is not None and threads < 1:
            raise ResgraphError(f"threads must be at least 1, not {threads}")
        _require_file(self.path)
        wanted = providers.provider_for(device)
        self._session = _open(self.path, wanted, threads)
        self._provider = providers.require(
            device, wanted, self._session.get_providers()
        )
        self._input, self.input_shape, self._chunk = _input_of(self._session, self.path)
        outputs = _outputs_of(self._session, self.path)
        properties = self._session.get_modelmeta().custom_metadata_map
        self.metadata = read_metadata(properties, self.input_shape[0], outputs)
        mean = np.array(self.metadata.mean, np.float32).reshape(1, -1, 1, 1)
        std = np.array(self.metadata.std, np.float32).reshape(1, -1, 1, 1)
        self._scale, self._shift = 1 / (255 * std), -mean / std

    @property
    def provider(self) -> str:
        """The execution provider that runs the model, by onnxruntime's name."""
        return self._provider

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the logits."""
        return self.metadata.classes

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What had to be assumed, a sentence each; to be shown to the user."""
        return self.metadata.assumptions

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits [N, classes] of images [N, C, H, W] or [N, H, W, C], uint8.

        Images that fit both layouts are taken as [N, C, H, W].
        Raises `ResgraphError` for images of another shape or type.
        """
        images = self._arranged(images)
        parts = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(images), self._chunk):
            normal = images[start : start + self._chunk] * self._scale + self._shift
            fed = {self._input.name: normal.astype(_TYPES[self._input.type])}
            parts.append(self._run(fed).astype(np.float32))
        return np.concatenate(parts)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities [N, classes] of images as `logits` takes them."""
        logits = self.logits(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def top_k(self, images: NDArray[np.uint8], k: int = 5) -> list[list[Prediction]]:
        """The `k` likeliest classes of each image, the likeliest first."""
        rows = self.predict(images)
        best = np.argsort(-rows, axis=1, kind="stable")[:, : max(1, k)]
        return [
            [Prediction(self.classes[i], int(i), float(row[i])) for i in indices]
            for row, indices in zip(rows, best, strict=True)
        ]

    def _arranged(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The images as [N, C, H, W]."""
        channels, height, width = self.input_shape
        if images.dtype == np.uint8 and images.ndim == 4:
            if images.shape[1:] == (channels, height, width):
                return images
            if images.shape[1:] == (height, width, channels):
                return images.transpose(0, 3, 1, 2)
        raise ResgraphError(
            f"the model takes uint8 images [N, {channels}, {height}, {width}], "
            f"not {images.dtype} {list(images.shape)}",
            "read_images brings pictures to that size",
        )

    def _run(self, fed: dict[str, NDArray[Any]]) -> NDArray[Any]:
        try:
            result = self._session.run(None, fed)[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise ResgraphError(
                f"{self.path} fails on {self._provider}: {_first_line(error)}"
            ) from None
        return np.asarray(result)


def _require_file(path: Path) -> None:
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


def _open(path: Path, provider: str, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    if provider == providers.CUDA:
        providers.preload()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # onnxruntime's errors have no common base
        raise ResgraphError(
            f"{path} is not an ONNX model that can be run: {_first_line(error)}",
            "compile or export it anew: resgraph export RUN",
        ) from None


def _input_of(session: Any, path: Path) -> tuple[Any, tuple[int, int, int], int]:
    """The input, its [C, H, W], and how many images it takes at a time."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    whole = [isinstance(size, int) and size > 0 for size in shape]
    if len(shape) != 4 or not all(whole[1:]) or (whole[0] and shape[0] != 1):
        shown = "; ".join(f"{i.name} {i.shape}" for i in inputs)
        raise _foreign(
            path, f"its input should be [N, C, H, W] with N free, not {shown}"
        )
    if inputs[0].type not in _TYPES:
        raise _foreign(path, f"its input should be of floats, not {inputs[0].type}")
    return inputs[0], (shape[1], shape[2], shape[3]), 1 if whole[0] else _BATCH


def _outputs_of(session: Any, path: Path) -> int:
    """The number of classes."""
    outputs = session.get_outputs()
    shape = outputs[0].shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise _foreign(path, f"its output should be logits [N, classes], not {shape}")
    return int(shape[1])


def _foreign(path: Path, what: str) -> ResgraphError:
    return ResgraphError(
        f"{path} is not an image classifier as resgraph exports them: {what}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
