"""Every hint of training that names an option is carried out here, in each way it names."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from resgraph.train import open_run
from tests.conftest import ROOT
from tests.helpers import refused
from tests.training.conftest import Trained
from tests.training.test_disk import files_at_most

OPTION = re.compile(r"--([a-z][a-z-]*)")


@dataclass(frozen=True)
class Case:
    """A mistake: how it is made, what is hinted at, and what is done then."""

    part: str
    """Of the hint."""
    make: Callable[[Trained, Path], object]
    """Raises the error; the path is the run's folder."""
    ways: tuple[dict[str, Any], ...]
    """Of each way in the hint, the options as `TrainOptions` has them."""


def full(size: int) -> Callable[[Trained, Path], object]:
    """A disk on which no file may grow beyond so many bytes."""

    def make(trained: Trained, folder: Path) -> object:
        with files_at_most(size):
            return trained()

    return make


def damaged(trained: Trained, folder: Path) -> object:
    trained(stop_at=15)
    for path in folder.glob("state*.pt"):
        path.write_bytes(path.read_bytes()[:900])
    return trained(resume=True)


def lost(trained: Trained, folder: Path) -> object:
    trained(stop_at=15)
    for path in folder.glob("state*.pt"):
        path.unlink()
    return trained(resume=True)


def damaged_record(trained: Trained, folder: Path) -> object:
    trained(stop_at=15)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join([lines[0], "{}", *lines[2:], ""]))
    return trained(resume=True)


def exchanged(trained: Trained, folder: Path) -> object:
    trained(stop_at=15, seed=1, out=folder.with_name("other"))
    trained(stop_at=15)
    shutil.copy(folder.with_name("other") / "state.pt", folder)
    return trained(resume=True)


def other_tensors(trained: Trained, folder: Path) -> object:
    trained(stop_at=15)
    for path in folder.glob("state*.pt"):
        state = torch.load(path, weights_only=True)
        del state["network"]["conv.weight"]
        torch.save(state, path)
    return trained(resume=True)


def again(**first: Any) -> Callable[[Trained, Path], object]:
    """A run where there is one."""

    def make(trained: Trained, folder: Path) -> object:
        with contextlib.suppress(Exception):
            trained(**first)
        return trained()

    return make


def then(first: dict[str, Any], **second: Any) -> Callable[[Trained, Path], object]:
    def make(trained: Trained, folder: Path) -> object:
        trained(**first)
        return trained(**second)

    return make


def taken(trained: Trained, folder: Path) -> object:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    return trained()


RESUME, OVERWRITE = {"resume": True}, {"overwrite": True}
ELSEWHERE: dict[str, Any] = {"out": None}
LOWER = {**OVERWRITE, "lr": 0.01}
CASES = {
    "no run.json": Case("give the same command again", full(100), ({},)),
    "no weights": Case("go on with --resume", full(5_000), (RESUME,)),
    "no checkpoint": Case("go on with --resume", full(10_000), (RESUME,)),
    "a run is there": Case(
        "replace it with --overwrite, or choose another --out",
        again(stop_at=5),
        (RESUME, OVERWRITE, ELSEWHERE),
    ),
    "a finished run is there": Case(
        "replace it with --overwrite, or choose another --out",
        again(),
        (OVERWRITE, ELSEWHERE),
    ),
    "a diverged run is there": Case(
        "replace it with --overwrite, or choose another --out",
        again(lr=1e30),
        (OVERWRITE, ELSEWHERE),
    ),
    "diverged": Case(
        "start anew with --overwrite and a lower --lr",
        then({"stop_at": 1, "out": None}, lr=1e30),
        (LOWER,),
    ),
    "damaged": Case(
        "start anew with --overwrite or in another folder", damaged, (OVERWRITE,)
    ),
    "lost": Case("put it back, or start anew with --overwrite", lost, (OVERWRITE,)),
    "a damaged record": Case(
        "take the line out, or start anew with --overwrite",
        damaged_record,
        (OVERWRITE,),
    ),
    "exchanged": Case(
        "put this run's own file back, or start anew with --overwrite",
        exchanged,
        (OVERWRITE,),
    ),
    "does not fit": Case(
        "start anew with --overwrite or in another folder", other_tensors, (OVERWRITE,)
    ),
    "another seed": Case(
        "start anew with another --out",
        then({"stop_at": 5}, resume=True, seed=1),
        ({**ELSEWHERE, "seed": 1},),
    ),
    "a finished run is given more": Case(
        "its schedule is at its end: start anew with --overwrite or another --out",
        then({}, resume=True, iterations=48),
        ({**OVERWRITE, "iterations": 48}, {**ELSEWHERE, "iterations": 48}),
    ),
    "other parts": Case(
        "leave it out, or start anew with another --out",
        then({"stop_at": 5, "freeze": ("conv",)}, resume=True, freeze=("bn",)),
        (RESUME, {**ELSEWHERE, "freeze": ("bn",)}),
    ),
    "another recipe": Case(
        "--resume alone goes on by the run's own recipe",
        then({"stop_at": 5}, resume=True, lr=0.5),
        ({**RESUME, "iterations": None},),
    ),
    "a folder that is no run's": Case("choose another with --out", taken, (ELSEWHERE,)),
    "a batch too large": Case(
        "give --batch 1437 or less",
        then({"stop_at": 1, "out": None}, batch=2000),
        ({"batch": 1437},),
    ),
    "no CUDA": Case(
        "train with --device cpu",
        then({"stop_at": 1, "out": None}, device="cuda"),
        ({"device": "cpu"},),
    ),
    "precision": Case(
        "give --precision fp32",
        then({"stop_at": 1, "out": None}, precision="tf32"),
        ({"precision": "fp32"},),
    ),
    "fused kernels on the CPU": Case(
        "leave out --fused-kernels",
        then({"stop_at": 1, "out": None}, fused_kernels=True),
        ({"fused_kernels": None},),
    ),
    "fused kernels of what is compiled": Case(
        "leave out --compile or --fused-kernels",
        then({"stop_at": 1, "out": None}, fused_kernels=True, compile=True),
        ({"compile": None, "fused_kernels": None},),
    ),
    "a graph on the CPU": Case(
        "leave out --cuda-graph",
        then({"stop_at": 1, "out": None}, cuda_graph=True),
        ({"cuda_graph": None},),
    ),
}
ON_THE_CPU = {
    *("no CUDA", "precision", "a graph on the CPU", "fused kernels on the CPU"),
    "fused kernels of what is compiled",
}
ELSEWHERE_TESTED = {
    "wait for it or stop it, or choose another folder with --out": "test_resume",
    "--no-compile": "test_compiled",
    "says that they stay": "test_nested",
    "--memory-budget": "a device with too little memory",
    "--no-cuda-graph": "CUDA",
    "--nproc-per-node": "several ranks",
    "go on with --resume if the run had begun": "test_world",
    "put those back, or start anew with --overwrite": "test_parts",
}


@pytest.mark.parametrize("name", CASES)
def test_a_hint_is_true(
    name: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, folder = CASES[name], tmp_path / "run"
    if name in ON_THE_CPU and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    monkeypatch.chdir(tmp_path)
    told = refused(lambda: case.make(trained, folder))
    hint = told.partition(" | ")[2]
    assert case.part in hint
    named = {option.replace("-", "_") for option in OPTION.findall(hint)}
    tried = {option for way in case.ways for option in way}
    assert named <= tried
    resumed = any("resume" in way for way in case.ways)
    assert resumed == ("resume" in named or hint.startswith("leave it out"))
    kept = tmp_path / "kept"
    if folder.exists():
        shutil.copytree(folder, kept)
    for way in case.ways:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, folder)
        result = trained(**way)
        assert result.status == "finished"
        assert open_run(result.folder).status == "finished"


def hints() -> Iterator[str]:
    """What the errors of training say after their message, as far as it is written there."""
    for path in sorted((ROOT / "resgraph" / "train").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error"):
                for argument in node.args[1:2]:
                    yield "".join(
                        part.value
                        for part in ast.walk(argument)
                        if isinstance(part, ast.Constant)
                        and isinstance(part.value, str)
                    )


def test_no_hint_is_untried() -> None:
    named = [hint for hint in hints() if OPTION.search(hint)]
    assert len(named) > 12
    parts = [re.sub(r"\d+", "", case.part) for case in CASES.values()]
    untried = [
        hint
        for hint in named
        if not any(part in hint for part in (*parts, *ELSEWHERE_TESTED))
    ]
    assert untried == []
