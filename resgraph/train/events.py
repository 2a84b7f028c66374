"""What a training run tells: while it goes on, where it stands, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resgraph.train.run import Record, Run


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
    train_loss: float | None = None
    test_error: float | None = None
    best_error: float | None = None
    best_iteration: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """How a run ended, or how far it came."""

    folder: Path
    status: str
    """`finished`, `stopped` (at `stop_at`) or `interrupted` (by Ctrl-C)."""
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

    @property
    def test_accuracy(self) -> float | None:
        """Percent, at the last test."""
        return None if self.test_error is None else 100 - self.test_error


def result_of(run: Run) -> Result:
    """The result that run.json holds."""
    fields: dict[str, Any] = dict(run.about["results"])
    fields.pop("tested", None)
    return Result(folder=run.folder, status=run.status, **fields)
