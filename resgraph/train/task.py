"""What networks are trained for, which is classification. Another task would enter here.

A step lessens `loss`, and a test counts `mistakes`, both of the `logits`. Beside them only
three things know of classes: whether a network's output fits the data (`Generated.classes`,
`Dataset.check_fits`), and the name of the `test_error` in records.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from resgraph.outputs import classifying
from resgraph.train.module import named

NO_LABEL = -1
"""Of an image that fills up a batch and counts for nothing."""


def logits(output: Any) -> Tensor:
    """The logits [N, classes] of what a network gives, which may be several outputs."""
    if isinstance(output, Tensor):
        return output
    tensors = named(output)
    found = classifying({name: t.dim() == 2 for name, t in tensors.items()})
    if found is None:
        raise ValueError("the network gives no logits")
    return tensors[found]


def loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats of logits [N, classes] and labels [N]."""
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of [N] images are classified wrongly, single view."""
    wrong = (logits.argmax(1) != labels) & (labels != NO_LABEL)
    return wrong.sum()
