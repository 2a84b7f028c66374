"""How many images of the test set a network classifies wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.data import Dataset
from resgraph.train.batches import Normalise
from resgraph.train.compiled import uncompiled
from resgraph.train.cudagraph import GraphedStep
from resgraph.train.execution import Execution
from resgraph.train.precision import autocast

_BATCH = 500
_NO_LABEL = -1


class Evaluation:
    """A network's errors on a test set: single view, in the precision of training.

    With a CUDA graph in training this too is one, recorded at the first test. Units run as
    they are written, not compiled: a test's batches have other shapes, and too few of them
    to be worth it.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        normalise: Normalise,
        execution: Execution,
        share: range,
    ) -> None:
        self._network = network
        self._normalise = normalise
        self._execution = execution
        self._share = share
        self._images = torch.from_numpy(data.test_images)
        self._labels = torch.from_numpy(data.test_labels)
        self._batch = min(_BATCH, len(self._images))
        self._wrong = torch.zeros((), dtype=torch.int64, device=execution.device)
        self._graphed: GraphedStep | None = None
        if execution.cuda_graph:
            self._graphed = GraphedStep(self._count, [self._wrong], execution.device)

    def __call__(self, stop: Callable[[], bool]) -> Tensor | None:
        """How many of the share are classified wrongly; None if `stop` told to leave off."""
        self._network.eval()
        self._wrong.zero_()
        with torch.no_grad(), uncompiled():
            for start in range(self._share.start, self._share.stop, self._batch):
                if stop():
                    return None
                self._add(slice(start, min(start + self._batch, self._share.stop)))
        return self._wrong

    def _add(self, chosen: slice) -> None:
        images, labels = self._images[chosen], self._labels[chosen]
        if self._graphed is None:
            device = self._execution.device
            self._count([images.to(device), labels.to(device)])
            return
        missing = self._batch - len(labels)  # a graph knows one shape
        if missing:
            images = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))
            labels = functional.pad(labels, (0, missing), value=_NO_LABEL)
        self._graphed([images, labels])

    def _count(self, inputs: Sequence[Tensor]) -> None:
        images, labels = inputs
        images = self._normalise(images)
        if not self._execution.channels_last:
            images = images.contiguous()
        with autocast(self._execution.device, self._execution.precision):
            logits = self._network(images)
        wrong = (logits.argmax(1) != labels) & (labels != _NO_LABEL)
        self._wrong.add_(wrong.sum())
