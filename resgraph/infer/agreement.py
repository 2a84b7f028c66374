"""How far a form's logits are from those of float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Agreement:
    """Logits compared image by image."""

    images: int
    largest: float
    """Difference of any logit."""
    mean: float
    """Difference of the logits, without its sign."""
    scale: float
    """The largest logit, without its sign."""
    changed: int
    """Images whose likeliest class is another one."""

    def __str__(self) -> str:
        return (
            f"{self.changed} of {self.images} predictions changed; logits differ by "
            f"{self.mean:.2g} in the mean, {self.largest:.2g} at most (of up to "
            f"{self.scale:.3g})"
        )


def agreement(found: NDArray[Any], expected: NDArray[np.float32]) -> Agreement:
    """Compare logits [N, classes] with those of the float32 model."""
    apart = np.abs(found.astype(float) - expected)
    return Agreement(
        images=len(expected),
        largest=float(apart.max()),
        mean=float(apart.mean()),
        scale=float(np.abs(expected).max()),
        changed=int((found.argmax(1) != expected.argmax(1)).sum()),
    )
