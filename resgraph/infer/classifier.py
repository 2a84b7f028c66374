"""An exported network, ready to classify pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import ResgraphError, first_line, plain
from resgraph.infer import machine, providers
from resgraph.infer.metadata import read_metadata
from resgraph.infer.providers import Placement
from resgraph.infer.session import (
    Bound,
    metadata_of,
    open_session,
    require_file,
    run,
    tensors,
)

_BATCH = 256  # images at a time, at most,
_NUMBERS = 2**22  # and so many numbers, so that memory does not grow with their size


@dataclass(frozen=True)
class Prediction:
    """One class for one picture."""

    label: str
    index: int
    """Of the class."""
    probability: float


class Classifier:
    """An ONNX model with one input [N, C, H, W] and an output of logits [N, classes].

    Other outputs, such as feature maps, are not read.

    Its methods may be called from any number of threads at once, and give what they give
    alone: threads share the model and, on the CPU, onnxruntime's pool.
    """

    def __init__(
        self,
        model_path: str | Path,
        device: str = "auto",
        threads: int | None = None,
        *,
        batch: int | None = None,
        tf32: bool = False,
        cuda_graph: bool = False,
    ) -> None:
        """Load the model on `auto`, `cpu` or `cuda`, on the CPU with so many threads.

        `batch` is how many images are computed at a time; by default up to 256, fewer where
        they are large. `tf32` lets CUDA round float32 products to TF32. `cuda_graph` has
        CUDA replay one recorded graph for batches of exactly `batch` images, smaller ones
        being filled up.

        Raises `ResgraphError` if the file is missing, damaged or no such model, if `cuda` is
        asked for where it cannot be had, or anything of CUDA's where the CPU computes.
        """
        self.path = Path(model_path)
        for name, value in (("threads", threads), ("batch", batch)):
            if value is not None and value < 1:
                raise ResgraphError(f"{name} must be at least 1, not {value}")
        require_file(self.path)
        optimised = _optimised(self.path, device)
        wanted, idle = providers.choose("cpu" if optimised else device)
        options = (("TF32", tf32), ("a CUDA graph", cuda_graph))
        asked = [what for what, given in options if given]
        _refuse_on_cpu(wanted, asked, idle)
        self._session = open_session(
            self.path,
            wanted,
            threads,
            optimised=optimised,
            tf32=tf32,
            cuda_graph=cuda_graph,
        )
        had = self._session.get_providers()
        self._provider = providers.require(device, wanted, had)
        if self._provider != wanted:
            idle = "the GPU is not used: onnxruntime cannot load its CUDA provider"
            _refuse_on_cpu(self._provider, asked, idle)
        self._about = about = tensors(self._session, self.path)
        self.input_shape = about.shape
        self.batch = _batch(batch, about.shape, about.single, self.path)
        properties = metadata_of(self._session, self.path)
        self.metadata = read_metadata(properties, about.shape[0], about.classes)
        self.notes = (*self.metadata.notes, *([idle] if idle else []))
        self._compute = self._runner(cuda_graph)
        mean = np.array(self.metadata.mean, np.float32).reshape(1, -1, 1, 1)
        std = np.array(self.metadata.std, np.float32).reshape(1, -1, 1, 1)
        self._scale, self._shift = 1 / (255 * std), -mean / std

    @property
    def provider(self) -> str:
        """The execution provider that runs the model, by onnxruntime's name."""
        return self._provider

    @cached_property
    def placement(self) -> Placement:
        """The provider and how many of the model's nodes are not on it."""
        return providers.placement(self._session)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the logits."""
        return self.metadata.classes

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What had to be assumed of the model, a sentence each; to be shown to the user.

        `notes` has these, and what is to be said of the device.
        """
        return self.metadata.assumptions

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits [N, classes] of images [N, C, H, W] or [N, H, W, C], uint8.

        Images that fit both layouts are taken as [N, C, H, W].
        Raises `ResgraphError` for images of another shape or type, and if the model gives
        logits that are not finite.
        """
        images = self._arranged(images)
        parts = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(images), self.batch):
            normal = images[start : start + self.batch] * self._scale + self._shift
            given = normal.astype(self._about.dtype, copy=False)
            parts.append(self._run(given, follows=start > 0))
        return np.concatenate(parts)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities [N, classes] of images as `logits` takes them."""
        logits = self.logits(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def top_k(self, images: NDArray[np.uint8], k: int = 5) -> list[list[Prediction]]:
        """The `k` likeliest classes of each image, the likeliest first."""
        return [self.likeliest(row, k) for row in self.predict(images)]

    def likeliest(self, row: NDArray[np.float32], k: int) -> list[Prediction]:
        """The `k` likeliest classes by one row of `predict`, the likeliest first."""
        best = np.argsort(-row, kind="stable")[: max(1, k)]
        return [Prediction(self.classes[i], int(i), float(row[i])) for i in best]

    def _runner(self, graph: bool) -> Callable[[NDArray[np.generic], bool], object]:
        """What computes a batch: on CUDA with its buffers on the device."""
        if self._provider == providers.CUDA:
            fixed = self.batch if graph else None
            return Bound(self._session, self._about, "cuda", fixed, self.batch)
        return lambda batch, _: run(self._session, self._about, batch)

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

    def _run(
        self, batch: NDArray[np.generic], follows: bool = False
    ) -> NDArray[np.float32]:
        try:
            logits = np.asarray(self._compute(batch, follows), np.float32)
        except Exception as error:  # onnxruntime's errors have no common base
            raise ResgraphError(
                f"{plain(self.path)} fails on {self._provider}: "
                f"{plain(first_line(error), 400)}"
            ) from None
        bad = int((~np.isfinite(logits)).any(axis=1).sum())
        if bad:
            raise ResgraphError(
                f"{self.path} gives logits that are not finite (NaN or infinite) for {bad} "
                f"of {len(logits)} images",
                "its training diverged, its weights are damaged, or float16 overflows: "
                "look at the run's metrics.jsonl, or export another form",
            )
        return logits


def _optimised(path: Path, device: str) -> bool:
    """Whether the model is optimised already, for this CPU.

    Raises `ResgraphError` if it is for another one, or `cuda` is asked for.
    """
    properties = machine.properties_of(path)
    if not machine.is_optimised(properties):
        return False
    machine.check_machine(properties)
    if device == "cuda":
        raise ResgraphError(
            f"{path} was optimised for the CPU, in layouts that CUDA has not",
            "take the portable model on CUDA",
        )
    return True


def _refuse_on_cpu(provider: str, asked: list[str], idle: str | None) -> None:
    """Raise `ResgraphError` for what only CUDA has, instead of leaving it out silently."""
    if asked and provider != providers.CUDA:
        raise ResgraphError(
            f"{asked[0]} needs CUDA, and the model would run on the CPU",
            idle or "--device cuda says what CUDA lacks here",
        )


def _batch(
    wanted: int | None, shape: tuple[int, int, int], single: bool, path: Path
) -> int:
    """How many images at a time."""
    if single:
        if wanted not in (None, 1):
            raise ResgraphError(
                f"{path} takes one image at a time, and not {wanted}",
                "leave --batch out, or export it with N free",
            )
        return 1
    return wanted or max(1, min(_BATCH, _NUMBERS // int(np.prod(shape))))
