"""`resgraph fsck` tells every damage of a run folder, and what it advises then works."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from resgraph.cli import app
from resgraph.cli.exporting import export_command
from resgraph.fsck import Checkup, State, fsck
from resgraph.train import open_run
from resgraph.train.folder import locked
from tests.helpers import refused
from tests.test_cli import resgraph
from tests.training.conftest import resume


def cut(path: Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) * 2 // 3])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[len(contents) * 3 // 5] ^= 0x84
    path.write_bytes(contents)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def noise(path: Path) -> None:
    path.write_bytes(hashlib.sha256(path.name.encode()).digest() * 40)


DAMAGES: tuple[Callable[[Path], None], ...] = (
    *(cut, zeroed, flipped, emptied, removed, noise),
)
FILES = (
    *("run.json", "tiny.py", "spec.yaml", "metrics.jsonl", "units.jsonl"),
    *("events.out.tfevents.000001", "state.pt", "state.previous.pt"),
    *("last.safetensors", "best.safetensors"),
)
MODELS = ("tiny.onnx", "tiny.cpu.fp16.onnx")


@pytest.fixture(scope="module")
def made(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped run with a monitor, and a finished one with models."""
    folder = tmp_path_factory.mktemp("made") / "at"
    shutil.copytree(whole_run, folder)
    here = Path.cwd()
    os.chdir(folder)
    try:
        shutil.rmtree("run")
        resume(Path("run"), resume=False, monitor=True, stop_at=4)
        shutil.copytree("run", "done")
        resume(Path("done"), monitor=True)
        export_command(Path("done"))
        export_command(Path("done"), form=["fp16"], target="cpu")
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "at")
    monkeypatch.chdir(tmp_path / "at")
    return tmp_path / "at"


def states(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def checked(folder: Path) -> Checkup:
    """What is found, without a change to anything."""
    before = states(folder)
    found = fsck(folder)
    assert states(folder) == before
    return found


def followed(found: Checkup) -> None:
    """Carry out the advice exactly; where run.json is lost, a short run on the digits."""
    words = shlex.split(found.next)
    assert words[0] == "resgraph"
    if words[1] == "train" and "--out" in words:
        words += ["--iterations", "3", "--data", "digits"]
    code = app(words[1:], standalone_mode=False)
    assert not code, found.next


def test_a_whole_run(project: Path) -> None:
    found = checked(Path("run"))
    assert found.whole
    assert found.resumable
    assert {item.file for item in found.items} == {*FILES}
    assert {item.state for item in found.items} == {State.WHOLE}
    assert found.next == "resgraph train run"
    followed(found)
    found = checked(Path("run"))
    assert found.whole
    assert found.next == "resgraph export run"
    followed(found)
    found = checked(Path("run"))
    assert found.whole
    assert found.next == "resgraph infer run/tiny.onnx --data digits"
    followed(found)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file", FILES)
def test_every_damage_of_a_stopped_run(
    project: Path, file: str, damage: Callable[[Path], None]
) -> None:
    run = Path("run")
    damage(run / file)
    if file == "run.json" and damage is removed:
        assert "is not a run folder" in refused(lambda: fsck(run))
        return
    found = checked(run)
    told = [item for item in found.items if item.file == file]
    spare = file.startswith(("events", "state", "units")) and damage is removed
    if file.startswith("events") or spare:
        assert damage is removed or told[0].state is State.NOTE
        assert not file.startswith("state") or told[0].state is State.NOTE
    else:
        assert not found.whole
        assert told[0].state is State.DAMAGED
    followed(found)
    if file == "run.json":
        assert fsck(Path("run-anew")).whole
        return
    assert open_run(run).status == "finished"
    assert checked(run).whole


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file", [*FILES, *MODELS])
def test_every_damage_of_a_finished_run(
    project: Path, file: str, damage: Callable[[Path], None]
) -> None:
    """The advice works; where something can be made again, it then is whole."""
    if file == "run.json" and damage is removed:
        return
    run = Path("done")
    file = file.replace("000001", "000002")  # of its second session
    damage(run / file)
    found = checked(run)
    optional = file.startswith("state") or file in MODELS
    rounded = file == "tiny.cpu.fp16.onnx"  # its numbers have nothing to be held to
    unseen = (optional and damage is removed) or (rounded and damage is flipped)
    if not file.startswith(("events", "units")) and not unseen:
        assert not found.whole
    followed(found)
    if file in (*MODELS, "last.safetensors"):
        again = checked(run)
        assert again.is_whole(run / file) or damage is removed or file[0] == "l"


def test_both_checkpoints_damaged(project: Path) -> None:
    run = Path("run")
    for path in (run / "state.pt", run / "state.previous.pt"):
        flipped(path)
    found = checked(run)
    assert not found.resumable
    assert found.next == "resgraph train run --overwrite"
    followed(found)
    assert checked(run).whole


def test_models_of_other_weights(project: Path) -> None:
    """The best weights put in the last's place, a model of another run."""
    run = Path("done")
    (run / "last.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    resume(Path("other"), resume=False, seed=1)
    export_command(Path("other"))
    shutil.copy("other/tiny.onnx", run)
    found = checked(run)
    (item,) = [i for i in found.items if i.file == "tiny.onnx"]
    assert (item.state, "of other weights" in item.words) == (State.DAMAGED, True)


def test_a_held_and_a_killed_run(project: Path) -> None:
    run = Path("run")
    open_run(run).update(status="running")
    (run / "state.next.pt").write_bytes(b"half")
    (run / ".run.json.abc").write_bytes(b"half")
    found = checked(run)
    words = {i.file: i.words for i in found.items if i.state is State.NOTE}
    assert "the last was killed" in words["run"]
    assert words["state.next.pt"].startswith("left half done")
    assert words[".run.json.abc"].startswith("left half done")
    assert found.whole
    with locked(run):
        held = checked(run)
    assert held.next == "resgraph fsck run"
    assert "a process is training here" in held.items[1].words
    followed(found)
    assert checked(run).whole


def test_a_run_that_diverged(project: Path) -> None:
    run = Path("run")
    open_run(run).update(status="diverged", failure="the loss is no number")
    found = checked(run)
    assert found.next == "resgraph train run --overwrite --lr 0.01"
    followed(found)
    assert open_run(run).status == "finished"


def test_a_run_without_its_first_checkpoint(project: Path) -> None:
    run = Path("run")
    for name in ("state.pt", "state.previous.pt", "metrics.jsonl", "last.safetensors"):
        (run / name).unlink()
    (run / "best.safetensors").unlink()
    found = checked(run)
    assert found.whole
    assert found.resumable
    followed(found)
    assert open_run(run).status == "finished"


def test_the_command(project: Path) -> None:
    flipped(Path("done") / "best.safetensors")
    told = resgraph("fsck", "run", "done", cwd=project)
    assert told.returncode == 1
    first, second = told.stdout.strip().split("\n\n")
    assert first.startswith(
        "run: whole\n  whole    run.json: stopped at iteration 4 of 6"
    )
    assert first.splitlines()[-1].startswith("next: resgraph train ")
    assert second.startswith("done: damaged; it can be resumed")
    found = resgraph("fsck", "run", "--json", cwd=project)
    assert found.returncode == 0
    (run,) = json.loads(found.stdout)["runs"]
    assert (run["folder"], run["whole"], run["resumable"]) == ("run", True, True)
    assert {item["state"] for item in run["items"]} == {"whole"}
    told = resgraph("fsck", "generated", "run", cwd=project)
    assert told.returncode == 1
    assert "generated is not a run folder: it holds no run.json" in told.stdout
    assert "run: whole" in told.stdout
