"""`resgraph infer` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgraph.infer import Classifier, find_pictures, read_files
from tests.conftest import ROOT
from tests.helpers import refused
from tests.infer.common import BIAS, METADATA, model, noise
from tests.test_cli import resgraph

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pictures of the model's size, two of them broken."""
    made = tmp_path_factory.mktemp("pictures")
    (made / "deep").mkdir()
    for i, image in enumerate(noise(300)):
        place = made / ("deep" if i % 2 else "") / f"{i:03}.png"
        Image.fromarray(image.transpose(1, 2, 0)).save(place)
    (made / "deep" / "007.png").write_bytes(b"no picture")
    whole = (made / "100.png").read_bytes()
    (made / "100.png").write_bytes(whole[: len(whole) // 2])
    return made


def test_two_unreadable_among_many(tmp_path: Path, folder: Path) -> None:
    path = model(tmp_path)
    arguments = (path, folder, folder / "0*.png", "--json", "--batch", 64, *CPU)
    result = resgraph("infer", *arguments)
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert told["provider"] == "CPUExecutionProvider"
    assert told["nodes_elsewhere"] == {}
    broken = [Path(p["path"]).name for p in told["problems"]]
    assert sorted(broken) == ["007.png", "100.png"]
    assert "2 of 300 pictures could not be read" in result.stderr
    found = {Path(i["path"]).name: i["classes"][0]["index"] for i in told["images"]}
    assert len(found) == len(told["images"]) == 298
    best = Classifier(path, "cpu").predict(noise(300)).argmax(axis=1)
    assert all(best[int(name[:3])] == index for name, index in found.items())


def test_a_file_that_goes_away_is_a_problem(folder: Path) -> None:
    gone = folder / "gone.png"
    pictures = read_files([folder / "000.png", gone], (3, 6, 5))
    assert [p.path for p in pictures.problems] == [gone]
    np.testing.assert_array_equal(pictures.images, noise(1))


def test_files_folders_and_patterns(folder: Path) -> None:
    assert len(find_pictures([folder])) == 300
    assert len(find_pictures([folder, folder / "deep", folder / "*.png"])) == 300
    assert len(find_pictures([f"{folder}/**/1*.png"])) == 100
    assert "no picture" in refused(lambda: find_pictures([folder / "x*.png"]))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.png"], 1, "no picture nowhere.png"),
        (["README.md", "--batch", "0"], 1, "batch must be at least 1"),
        (["--data", "digits", "x.png"], 2, "and not both"),
        ([], 2, "name pictures"),
        (["--data", "cifar11"], 1, "cifar11"),
        (["--data", "digits"], 1, "tells 4 apart"),
    ],
)
def test_mistakes(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = resgraph("infer", model(tmp_path), *arguments, *CPU)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr


def test_a_model_of_nan(tmp_path: Path, folder: Path) -> None:
    path = model(tmp_path, bias=BIAS * np.nan)
    result = resgraph("infer", path, folder / "000.png", *CPU)
    assert (result.returncode, result.stdout) == (1, "")
    assert "logits that are not finite" in result.stderr


def test_notes_and_provider(tmp_path: Path, folder: Path) -> None:
    fresh = {k: METADATA[k] for k in ("resgraph.network", "resgraph.digest")}
    result = resgraph("infer", model(tmp_path, fresh), folder / "000.png", *CPU)
    assert result.returncode == 0
    assert "note: the model does not tell that it was trained" in result.stderr
    assert "images/s) by" in result.stdout
    assert result.stdout.rstrip().endswith("on CPUExecutionProvider, all nodes")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_for_terminals_alone(tmp_path: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "resgraph", "infer", str(model(tmp_path))]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*command, str(folder), "--batch", "32", *CPU],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            seen += os.read(ours, 10_000)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert child.stdout is not None
    lines = child.stdout.read().splitlines()
    child.stdout.close()
    assert child.wait(20) == 1
    assert b"images/s" in seen
    assert b"300/300" in seen
    assert len(lines) == 299
    assert all(": " in line or "images/s" in line for line in lines)


def test_evaluation_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images, labels = noise(12), np.arange(12) % 4
    for part in ("train", "test"):
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = tmp_path / "data" / part / "wxyz"[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{i}.png")
    path = model(tmp_path)
    arguments = ("infer", path, "--data", tmp_path / "data", *CPU)
    result = resgraph(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    assert "have other names than those of" in result.stderr
    told = json.loads(result.stdout)
    best = Classifier(path, "cpu").predict(images).argmax(axis=1)
    wanted = np.zeros((4, 4), int)
    np.add.at(wanted, (labels, best), 1)
    assert told["confusion"] == wanted.tolist()
    assert told["test_error"] == pytest.approx(100 * np.mean(best != labels))
    shown = resgraph(*arguments, "--show", 1).stdout
    assert shown.startswith("test image 0, 'w': ")
    assert "true / predicted" in shown
