"""The events that TensorBoard reads, read back by the format's own definition."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from resgraph.train import open_run
from tests.training.conftest import Trained

Scalars = dict[str, list[tuple[int, float]]]


def events(file: Path) -> list[Event]:
    """The events of a file; both checksums of each must be right."""
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        head, body = data[:8], data[12 : 12 + length]
        for part, stored in ((head, data[8:12]), (body, data[12 + length :][:4])):
            assert struct.unpack("<I", stored)[0] == masked_crc32c(part)
        found.append(Event.FromString(body))
        data = data[16 + length :]
    return found


def scalars(run: Path) -> Scalars:
    """By tag, the steps and values of a run, but for those that are times."""
    found: Scalars = {}
    for file in open_run(run).event_files:
        for event in events(file):
            for value in event.summary.value:
                if value.tag != "train/images_per_s":
                    found.setdefault(value.tag, []).append(
                        (event.step, value.simple_value)
                    )
    return found


def test_the_events_are_the_records(trained: Trained) -> None:
    folder = trained().folder
    records = list(open_run(folder).records())
    (file,) = open_run(folder).event_files
    first, second, *rest = events(file)
    assert first.file_version == "brain.Event:2"
    assert second.session_log.status == SessionLog.START
    assert [event.step for event in rest] == [r.iteration for r in records]
    for event, record in zip(rest, records, strict=True):
        values = {value.tag: value.simple_value for value in event.summary.value}
        assert values.pop("train/loss") == pytest.approx(record.train_loss)
        assert values.pop("train/lr") == pytest.approx(record.lr)
        assert values.pop("train/images_per_s") == pytest.approx(record.images_per_s)
        assert values.pop("test/error", None) == (
            None if record.test_error is None else pytest.approx(record.test_error)
        )
        assert not values
    times = [event.wall_time for event in rest]
    assert times == sorted(times)


def test_no_step_comes_twice(trained: Trained, tmp_path: Path) -> None:
    whole = trained(out=tmp_path / "whole").folder
    parts = trained(stop_at=10).folder
    (parts / "events.out.tfevents.000001").open("ab").write(b"half an event")
    trained(stop_at=17, resume=True)
    trained(resume=True)
    assert scalars(parts) == scalars(whole)
    assert [f.name[-1] for f in open_run(parts).event_files] == ["3"]
