"""A training set that is read from disk while training goes on.

Processes beside the training read each iteration's images from the memory-mapped arrays,
in the run's own order and some iterations ahead.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

_AHEAD = 4  # iterations that each process reads in advance


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Iteration -> its images [batch, C, H, W] uint8 and labels [batch] int64."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        indices: Callable[[int], Tensor],
    ) -> None:
        self.images = images
        self.labels = labels
        self.indices = indices

    def __getitem__(self, iteration: int) -> tuple[Tensor, Tensor]:
        chosen = self.indices(iteration).numpy()
        images, labels = self.images[chosen], self.labels[chosen]
        return torch.from_numpy(images), torch.from_numpy(labels)

    def __getstate__(self) -> dict[str, Any]:
        """For a process that does not share this one's memory: files, not contents."""
        return {**self.__dict__, "images": _mapping(self.images)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        images = state["images"]
        mapped = np.memmap(**images) if isinstance(images, dict) else images
        self.__dict__.update({**state, "images": mapped})


def _mapping(array: NDArray[np.uint8]) -> NDArray[np.uint8] | dict[str, Any]:
    """How to map the file again that an array is mapped from; else the array itself."""
    # A part of a mapped array has the whole one's offset, which is not its own.
    if not isinstance(array, np.memmap) or isinstance(array.base, np.memmap):
        return array
    return {
        "filename": array.filename,
        "dtype": array.dtype,
        "mode": "c",
        "offset": array.offset,
        "shape": array.shape,
    }


class Stream:
    """The batches of `Rows` by iteration, read ahead as long as they are asked for in turn."""

    def __init__(self, rows: Rows, workers: int, pinned: bool) -> None:
        self._rows = rows
        self._workers = workers
        self._pinned = pinned
        self._batches: Iterator[tuple[Tensor, Tensor]] | None = None
        self._next = 0
        self._aside = -1

    def __getitem__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Images and labels of an iteration.

        One that is out of turn is read aside, and the reading ahead goes on where it was;
        when the next one follows that, the reading ahead begins anew there.
        """
        follows = self._aside >= 0 and iteration == self._aside + 1
        if self._batches is None or (iteration != self._next and follows):
            self._batches, self._next = iter(self._loader(iteration)), iteration
        if iteration != self._next:
            self._aside = iteration
            return self._rows[iteration]
        self._next, self._aside = iteration + 1, -1
        return next(self._batches)

    def _loader(self, first: int) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            self._rows,
            batch_size=None,  # an item is a batch already
            sampler=itertools.count(first),
            num_workers=self._workers,
            prefetch_factor=_AHEAD if self._workers else None,
            pin_memory=self._pinned,
            worker_init_fn=_ignore_interrupts,
            multiprocessing_context=_context() if self._workers else None,
            # Without one, starting it would draw from the generator that dropout uses.
            generator=torch.Generator(),
        )


def _ignore_interrupts(_worker: int) -> None:
    """Ctrl-C reaches all processes, and only the training itself is to answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _context() -> str:
    """Forked processes start at once and share the arrays."""
    methods = multiprocessing.get_all_start_methods()
    return "fork" if "fork" in methods else methods[0]


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of images can stay on the device beside the training.

    A quarter of a GPU's free memory may go to them, or half of the machine's memory.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return size <= free // 4
    if not hasattr(os, "sysconf"):  # Windows: its own paging has to do
        return True
    return size <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
