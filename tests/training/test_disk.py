"""Disks that are full, files that may not grow, folders that may not be written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resgraph.data import Dataset
from resgraph.train import Event, Generated, TrainOptions, open_run, train
from tests.helpers import refused
from tests.training.conftest import Trained, checkpoint_of
from tests.training.test_resume import comparable


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes; what is there already may stay larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "file"),
    [(10_000, "state.pt"), (4_000, "best.safetensors"), (300, "metrics.jsonl")],
)
def test_a_file_that_cannot_be_written(
    tiny: Generated,
    digits: Dataset,
    options: TrainOptions,
    tmp_path: Path,
    size: int,
    file: str,
) -> None:
    """A checkpoint, weights, a second record: the run ends, and can go on."""
    with contextlib.ExitStack() as stack:

        def limit(event: Event) -> None:
            if event.iteration == 7 and event.record is None:
                stack.enter_context(files_at_most(size))

        told = refused(lambda: train(tiny, digits, options, on_event=limit))
    run = open_run(tmp_path / "run")
    assert f"cannot write {run.folder / file}: File too large" in told
    assert "go on with --resume" in told
    assert checkpoint_of(run).state["standing"]["iteration"] == 0
    assert not list(run.folder.glob(".*"))
    if size > 2_000:  # else even run.json is too large to be written
        assert (run.status, run.about["results"]["iteration"]) == ("failed", 10)
        assert "File too large" in run.about["failure"]
    assert (
        train(tiny, digits, dataclasses.replace(options, resume=True)).iteration == 24
    )
    train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    assert comparable(run.folder) == comparable(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_records(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def fill(event: Event) -> None:
        if event.iteration == 10 and event.record is not None:
            (run / "metrics.jsonl").rename(tmp_path / "kept")
            (run / "metrics.jsonl").symlink_to("/dev/full")

    told = refused(lambda: train(tiny, digits, options, on_event=fill))
    assert "No space left on device" in told
    assert open_run(run).status == "failed"
    (tmp_path / "kept").rename(run / "metrics.jsonl")
    assert (
        train(tiny, digits, dataclasses.replace(options, resume=True)).iteration == 24
    )
    train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    assert comparable(run) == comparable(tmp_path / "whole")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can be mounted by root alone")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up(
    trained: Trained,
    tiny: Generated,
    digits: Dataset,
    options: TrainOptions,
    disk: Path,
    tmp_path: Path,
) -> None:
    def fill(event: Event) -> None:
        if event.iteration == 12:
            with contextlib.suppress(OSError), (disk / "other").open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()

    chosen = dataclasses.replace(options, out=disk / "run")
    told = refused(lambda: train(tiny, digits, chosen, on_event=fill))
    assert "No space left on device" in told
    run = open_run(disk / "run")
    assert checkpoint_of(run).state["standing"]["iteration"] == 10
    assert "No space left" in refused(lambda: trained(out=disk / "run", resume=True))
    (disk / "other").unlink()
    assert trained(out=disk / "run", resume=True).status == "finished"
    trained(out=tmp_path / "whole")
    assert comparable(disk / "run") == comparable(tmp_path / "whole")


def test_a_disk_that_may_only_be_read(trained: Trained, disk: Path) -> None:
    run = trained(out=disk / "run", stop_at=5).folder
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    told = refused(lambda: trained(out=run, resume=True))
    assert "cannot write" in told
    assert "Read-only file system" in told
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before
    for out in (disk / "new", run):
        told = refused(lambda out=out: trained(out=out, overwrite=True))
        assert "cannot write the run folder" in told
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(trained: Trained, tmp_path: Path) -> None:
    run = trained(stop_at=5).folder
    run.chmod(0o555)
    try:
        assert "cannot write" in refused(lambda: trained(resume=True))
    finally:
        run.chmod(0o755)
    assert trained(resume=True).status == "finished"
