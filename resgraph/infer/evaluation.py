"""How often a network errs on a data set, and what it takes for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MATRIX = 20  # classes up to which the matrix is for reading
_CELL = 5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A confusion matrix, with its classes."""

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    """[true class, predicted class]: images."""

    @property
    def images(self) -> int:
        """How many there were."""
        return int(self.matrix.sum())

    @property
    def wrong(self) -> int:
        """How many were taken for another class."""
        return self.images - int(self.matrix.trace())

    @property
    def error(self) -> float:
        """The error rate in percent."""
        return 100 * self.wrong / self.images

    def confused(self, count: int) -> list[tuple[int, int, int]]:
        """The most confused classes: true, predicted, images; the most images first."""
        off = self.matrix.copy()
        np.fill_diagonal(off, 0)
        order = np.argsort(-off, axis=None, kind="stable")[:count]
        cells = (divmod(int(flat), len(self.classes)) for flat in order)
        return [
            (true, said, int(off[true, said]))
            for true, said in cells
            if off[true, said]
        ]

    def class_errors(self) -> list[float | None]:
        """Each true class's error rate in percent; None where there was no image of it."""
        totals = self.matrix.sum(axis=1)
        right = self.matrix.diagonal()
        return [
            100 * float(total - hit) / float(total) if total else None
            for total, hit in zip(totals, right, strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it for a program."""
        pairs = [
            {"true": self.classes[t], "predicted": self.classes[p], "images": n}
            for t, p, n in self.confused(20)
        ]
        return {
            "images": self.images,
            "wrong": self.wrong,
            "test_error": self.error,
            "classes": list(self.classes),
            "class_errors": self.class_errors(),
            "confusion": self.matrix.tolist(),
            "most_confused": pairs,
        }

    def lines(self) -> list[str]:
        """The matrix for reading; with many classes, the pairs that are most confused."""
        return self._table() if len(self.classes) <= _MATRIX else self._pairs()

    def _table(self) -> list[str]:
        corner = "true / predicted"
        labels = [f"{i:>2}  {name}" for i, name in enumerate(self.classes)]
        wide = max(map(len, [corner, *labels]))
        cell = max(_CELL, len(str(self.matrix.max())) + 1)
        header = "".join(f"{i:>{cell}}" for i in range(len(self.classes)))
        lines = [f"{corner:<{wide}}{header}"]
        for label, row in zip(labels, self.matrix.tolist(), strict=True):
            cells = "".join(f"{count or '.':>{cell}}" for count in row)
            lines.append(f"{label:<{wide}}{cells}")
        return lines

    def _pairs(self) -> list[str]:
        totals = self.matrix.sum(axis=1)
        return ["most confused:"] + [
            f"  {self.classes[true]} taken for {self.classes[said]}: "
            f"{count} of {totals[true]}"
            for true, said, count in self.confused(10)
        ]


def evaluation(
    classes: tuple[str, ...], labels: NDArray[np.int64], predicted: NDArray[np.int64]
) -> Evaluation:
    """Count [N] predicted classes against the [N] true ones, as indices of `classes`."""
    size = len(classes)
    cells = np.bincount(labels * size + predicted, minlength=size * size)
    return Evaluation(classes, cells.reshape(size, size).astype(np.int64))
