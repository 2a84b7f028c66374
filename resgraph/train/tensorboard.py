"""A run's records as TensorBoard events: the same numbers, for another reader.

metrics.jsonl stays what counts. The events are made from it anew whenever a run is taken
up again, so no step is in them twice.
"""

from __future__ import annotations

import contextlib
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph.files import read_bytes
from resgraph.limits import RECORDS_BYTES
from resgraph.train.about import Record
from resgraph.train.run import Run

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event


class TensorBoard:
    """Scalars by iteration in one event file; each is on disk when `add` returns.

    An event's time is that of the run's clock, so breaks between sessions do not show.
    """

    def __init__(self, run: Run, seconds: float) -> None:
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

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())

    def _event(self, record: Record) -> Event:
        from tensorboardX.proto.event_pb2 import Event
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
        return Event(
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


def _head(zero: float) -> tuple[Event, Event]:
    """The format's version, and word to a running TensorBoard to forget earlier files."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    return (
        Event(wall_time=zero, file_version="brain.Event:2"),
        Event(wall_time=zero, session_log=SessionLog(status=SessionLog.START)),
    )
