"""What a training run tells: while it goes on, where it stands, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from resgraph.train.about import Record
from resgraph.train.run import Run


@dataclass(frozen=True)
class Event:
    """What `on_event` is told: a step, and perhaps a record or a word on it."""

    iteration: int
    """Steps done."""
    iterations: int
    """Steps of the whole run."""
    record: Record | None = None
    text: str | None = None
    """At the beginning and at the end: what begins, how it ended."""


OnEvent = Callable[[Event], None]


@dataclass
class Standing:
    """Where a run stands; saved with it."""

    iteration: int = 0
    tested: int = 0
    """The iteration of the last test."""
    recorded: int = 0
    """The iteration of the last record."""
    train_loss: float | None = None
    test_error: float | None = None
    test_error_ema: float | None = None
    """Of the average of the weights, where the recipe has one."""
    best_error: float | None = None
    best_iteration: int | None = None
    seconds: float = 0.0

    def without_clock(self) -> dict[str, Any]:
        """What equal runs have in common at equal steps, and so equal checkpoints."""
        return {k: v for k, v in asdict(self).items() if k != "seconds"}


class Monitor(Protocol):
    """What looks into the network at each record."""

    def record(self, iteration: int, images: Tensor, labels: Tensor) -> None:
        """Look at the network after `iteration` steps, on this rank's last batch."""

    def forget_after(self, iteration: int) -> None:
        """Drop what was noted for later iterations, which will come again."""


@dataclass(frozen=True)
class Result:
    """How a run ended, or how far it came."""

    folder: Path
    status: str
    """`finished`, `stopped` (at `stop_at`) or `interrupted` (by Ctrl-C or SIGTERM)."""
    iteration: int
    train_loss: float | None
    """Mean cross-entropy in nats, as in the last record."""
    test_error: float | None
    """Percent, at the last test."""
    best_error: float | None
    """Percent, the lowest of all tests."""
    best_iteration: int | None
    seconds: float
    """Wall time of training and testing, over all sessions of the run."""
    test_error_ema: float | None = None
    """Percent, at the last test, of the average of the weights."""

    @property
    def test_accuracy(self) -> float | None:
        """Percent, at the last test."""
        return None if self.test_error is None else 100 - self.test_error


def result_of(run: Run) -> Result:
    """The result that run.json holds."""
    results: dict[str, Any] = run.about["results"]
    named = {field.name for field in fields(Result)}
    kept = {name: value for name, value in results.items() if name in named}
    return Result(folder=run.folder, status=run.status, **kept)
