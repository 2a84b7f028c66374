"""How long a run has taken, and how fast it trains."""

from __future__ import annotations

import time

BETWEEN_CHECKPOINTS = 60.0
"""Seconds. Saving ResNet-1001 takes one, and what is lost to a kill is trained anew."""


class Clock:
    """Wall time of a run over all its sessions, and the speed of its steps alone."""

    def __init__(self, seconds: float = 0.0) -> None:
        """`seconds` is what earlier sessions took."""
        self._began = time.perf_counter() - seconds
        self.restart()
        self.saved()

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return time.perf_counter() - self._began

    def restart(self) -> None:
        """Measure the speed from here on."""
        self._steps = 0
        self._mark = time.perf_counter()

    def saved(self) -> None:
        """A checkpoint is made now."""
        self._saved = time.perf_counter()

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is so old that another is worth its time."""
        return time.perf_counter() - self._saved >= BETWEEN_CHECKPOINTS

    def step(self) -> None:
        """Count a step."""
        self._steps += 1

    @property
    def steps_per_s(self) -> float:
        """Steps per second since the clock was restarted."""
        return self._steps / max(time.perf_counter() - self._mark, 1e-9)
