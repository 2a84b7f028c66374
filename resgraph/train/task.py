"""What networks are trained for, which is classification. Another task would enter here.

A step lessens `loss`, and a test counts `mistakes`. Beside them only three things know of
classes: whether a network's output fits the data (`Generated.classes`,
`Dataset.check_fits`), and the name of the `test_error` in records.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

NO_LABEL = -1
"""Of an image that fills up a batch and counts for nothing."""


def loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats of logits [N, classes] and labels [N]."""
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of [N] images are classified wrongly, single view."""
    wrong = (logits.argmax(1) != labels) & (labels != NO_LABEL)
    return wrong.sum()
