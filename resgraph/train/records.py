"""What is told of a run while it goes on, and kept of it: in its files, and for TensorBoard.

An `Event` is told to each listener; the journal keeps it in the run folder.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from resgraph.files import read_bytes
from resgraph.limits import RECORDS_BYTES
from resgraph.train.about import FAILED, RUNNING, Record
from resgraph.train.checkpoint import Tested, save_checkpoint, save_weights
from resgraph.train.folder import RunFolder, writing

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event as EventProto


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


def result_of(run: RunFolder) -> Result:
    """The result that run.json holds."""
    results: dict[str, Any] = run.about["results"]
    named = {field.name for field in fields(Result)}
    kept = {name: value for name, value in results.items() if name in named}
    return Result(folder=run.folder, status=run.status, **kept)


# --- what a run writes down and tells -------------------------------------------------


class Journal:
    """The run folder and the listeners of one run; the writer's rank alone uses it.

    A `ResgraphError` is raised where the folder cannot be written, as with a full disk;
    what was in it before is as it was.
    """

    def __init__(self, run: RunFolder, listeners: Sequence[OnEvent]) -> None:
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


# --- the same numbers as TensorBoard events -------------------------------------------
# metrics.jsonl stays what counts. The events are made from it anew whenever a run is taken
# up again, so no step is in them twice.


class TensorBoard:
    """Scalars by iteration in one event file; each is on disk when `add` returns.

    An event's time is that of the run's clock, so breaks between sessions do not show.
    """

    def __init__(self, run: RunFolder, seconds: float) -> None:
        """Begin a new file with the run's records so far, in place of earlier files.

        `seconds` is the run's clock now. Raises `OSError` where that cannot be written.
        """
        from tensorboardX.record_writer import RecordWriter

        self._zero = time.time() - seconds
        earlier = run.event_files
        # A new name, so that a TensorBoard that is running goes on to it.
        number = int(earlier[-1].suffix[1:]) + 1 if earlier else 1
        self.path = run.event_file(number)
        self._writer = RecordWriter(str(self.path))
        records = [self._event(record) for record in run.records()]
        for event in (*_head(self._zero), *records):
            self._write(event)
        self._writer.flush()
        for file in earlier:
            file.unlink()

    def add(self, record: Record) -> None:
        """Write one more record. Raises `OSError` where that is not possible."""
        self._write(self._event(record))
        self._writer.flush()

    def close(self) -> None:
        """Let go of the file; what could not be written to it has been told already."""
        with contextlib.suppress(OSError):
            self._writer.close()

    def _write(self, event: EventProto) -> None:
        self._writer.write(event.SerializeToString())

    def _event(self, record: Record) -> EventProto:
        from tensorboardX.proto.event_pb2 import Event as EventProto
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = {
            "train/loss": record.train_loss,
            "train/lr": record.lr,
            "train/images_per_s": record.images_per_s,
            "test/error": record.test_error,
            "test/error_ema": record.test_error_ema,
        }
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
            if value is not None
        ]
        return EventProto(
            wall_time=self._zero + record.seconds,
            step=record.iteration,
            summary=Summary(value=values),
        )


def check_events(path: Path) -> None:
    """Raise `ValueError` for a file that is not whole records with their checksums."""
    from tensorboardX.crc32c import crc32c

    contents, start = read_bytes(path, RECORDS_BYTES), 0
    if not contents:
        raise ValueError("it is empty")
    while start < len(contents):
        length, of_length = struct.unpack_from("<QI", contents, start)
        end = start + 12 + length
        if end + 4 > len(contents):
            raise ValueError("it is cut short")
        data = contents[start + 12 : end]
        (of_data,) = struct.unpack_from("<I", contents, end)
        sums = (_masked(crc32c(contents[start : start + 8])), _masked(crc32c(data)))
        if (of_length, of_data) != sums:
            raise ValueError(f"wrong checksum of the record at byte {start:,}")
        start = end + 4


def _masked(checksum: int) -> int:
    """As the format has checksums."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _head(zero: float) -> tuple[EventProto, EventProto]:
    """The format's version, and word to a running TensorBoard to forget earlier files."""
    from tensorboardX.proto.event_pb2 import Event as EventProto
    from tensorboardX.proto.event_pb2 import SessionLog

    return (
        EventProto(wall_time=zero, file_version="brain.Event:2"),
        EventProto(wall_time=zero, session_log=SessionLog(status=SessionLog.START)),
    )
