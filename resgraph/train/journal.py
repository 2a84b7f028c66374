"""What a run writes down and tells: records, weights, checkpoints, how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from resgraph.train.about import FAILED, RUNNING, Record
from resgraph.train.checkpoint import save_checkpoint
from resgraph.train.events import Event, OnEvent, Standing
from resgraph.train.run import Run
from resgraph.train.tensorboard import TensorBoard
from resgraph.train.weights import Tested, save_weights
from resgraph.train.writing import writing


class Journal:
    """The run folder and the listeners of one run; the writer's rank alone uses it.

    A `ResgraphError` is raised where the folder cannot be written, as with a full disk;
    what was in it before is as it was.
    """

    def __init__(self, run: Run, listeners: Sequence[OnEvent]) -> None:
        self.run = run
        self.listeners = listeners
        self.begun = False
        """Whether what is in the folder is this session's."""
        self._tensorboard: TensorBoard | None = None

    def begin(self, at: Standing) -> None:
        """Bring the folder to where the run stands: later records will come again."""
        self.begun = True
        with writing(self.run.folder):
            self.run.tidy()
            self.run.forget_after(at.recorded)
            self._tensorboard = TensorBoard(self.run, at.seconds)
            self.run = self.run.update(status=RUNNING, failure=None)

    def record(self, record: Record) -> None:
        """Add a record to the metrics."""
        with writing(self.run.metrics):
            self.run.append(record)
        if self._tensorboard is not None:
            with writing(self._tensorboard.path):
                self._tensorboard.add(record)

    def weights(self, state: Mapping[str, Tensor], tested: Tested, best: bool) -> None:
        """Keep a state_dict as the last one, and perhaps as the best one."""
        for path in (self.run.best, self.run.last) if best else (self.run.last,):
            with writing(path):
                save_weights(self.run, path, state, tested)

    def average(self, state: Mapping[str, Tensor], tested: Tested) -> None:
        """Keep the average of the weights beside the last ones."""
        with writing(self.run.last_average):
            save_weights(self.run, self.run.last_average, state, tested)

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep what the run is resumed from, beside the checkpoint before."""
        with writing(self.run.state):
            save_checkpoint(self.run, state)

    def conclude(self, status: str, at: Standing) -> None:
        """Say in run.json how the run ended, or how far it came."""
        with writing(self.run.folder):
            self.run = self.run.update(status=status, results=asdict(at))

    def fail(self, error: Exception, at: Standing, status: str = FAILED) -> None:
        """Say in run.json what ended the run, if the disk still takes that much."""
        about = {"status": status, "failure": str(error), "results": asdict(at)}
        with contextlib.suppress(OSError):
            self.run = self.run.update(**about)

    def close(self) -> None:
        """Let go of open files."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def tell(self, event: Event) -> None:
        """Pass an event on to all who listen."""
        for listener in self.listeners:
            listener(event)
