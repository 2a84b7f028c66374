"""`train --weights`: a file, a run or a callable, with as many classes or with others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from resgraph.train import load_generated, open_run
from tests.training.test_again import QUICK, TINY, here, same

THEIRS = """
import torch
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.c2, self.n2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.stride, self.more = stride, b - a

    def forward(self, x):
        f = self.n2(self.c2(F.relu(self.n1(self.c1(x)))))
        if self.stride > 1:
            x = F.avg_pool2d(x, 1, self.stride)
        if self.more:
            x = F.pad(x, (0, 0, 0, 0, 0, self.more))
        return F.relu(x + f)

class Net(nn.Module):
    def __init__(self, classes, relu=True):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.fc, self.relu = nn.Linear(16, classes), relu

    def forward(self, x):
        x = self.norm(self.first(x))
        x = self.blocks(F.relu(x) if self.relu else x)
        return self.fc(x.mean((2, 3)))

def made(*arguments):
    torch.manual_seed(1)
    network = Net(*arguments)
    with torch.no_grad():
        for tensor in network.buffers():
            if tensor.dtype == torch.float32:
                tensor += 0.25
    return network

def five(): return made(5)
def ten(): return made(10)
def other(): return made(5, False)
"""
NAMES = {
    "stem_conv": "first",
    "stem_bn": "norm",
    "stage1.0.conv1": "blocks.0.c1",
    "stage1.0.bn2": "blocks.0.n2",
    "stage2.0.conv2": "blocks.1.c2",
    "head_linear": "fc",
}
HEAD = {"head_linear.weight", "head_linear.bias"}
TRAIN = f"resgraph train specs/tiny.yaml {QUICK} --out run --stop-at 1"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tiny.yaml").write_text(TINY)
    (tmp_path / "theirs.py").write_text(THEIRS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def theirs(name: str) -> dict[str, Tensor]:
    found: dict[str, Any] = {}
    exec(THEIRS, found)
    state: dict[str, Tensor] = found[name]().state_dict()
    return state


def fresh() -> dict[str, Tensor]:
    """What a run without weights starts from."""
    here(f"{TRAIN.replace('--out run', '--out fresh')}")
    return load_file("fresh/last.safetensors")


def first() -> dict[str, Tensor]:
    """What the run started from."""
    return load_file("run/last.safetensors")


@pytest.mark.parametrize(("name", "new"), [("ten", set()), ("five", HEAD)])
def test_a_callable(name: str, new: set[str]) -> None:
    told = here(f"{TRAIN} --weights theirs.py:{name}")
    assert f"tensors along 21 matching ops of theirs.py:{name}" in told
    assert ("a new head: head_linear.weight, head_linear.bias" in told) == bool(new)
    assert ("(it had 5 classes)" in told) == bool(new)
    start, source, plain = first(), theirs(name), fresh()
    for ours, other in NAMES.items():
        for kind in ("weight", "bias", "running_mean"):
            tensor = start.get(f"{ours}.{kind}")
            if tensor is not None and f"{ours}.{kind}" not in new:
                assert torch.equal(tensor, source[f"{other}.{kind}"])
    assert all(torch.equal(start[name], plain[name]) for name in new)
    about = open_run("run").about["weights"]
    assert {*about["new"]} == new
    assert about["taken"] == 27 - len(new)
    assert about["classes"] == (5 if new else None)
    assert open_run("run").about["options"]["weights"] == f"theirs.py:{name}"
    Path("theirs.py").unlink()  # which the checkpoint has no more use for
    assert "finished" in here("resgraph train run")


def test_a_run_and_its_file() -> None:
    here(TRAIN.replace("--out run", "--out source --set classes=10"))
    wanted = load_file("source/last.safetensors")
    for source in ("source", "source/last.safetensors"):
        shutil.rmtree("run", ignore_errors=True)
        told = here(f"{TRAIN} --seed 4 --weights {source}")
        assert "weights: 27 tensors of source" in told
        assert "topology" not in told
        start = first()
        assert all(torch.equal(start[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("head", [0, 3])
def test_a_file_with_another_head(head: int) -> None:
    """Of three classes, or without one."""
    source = fresh()
    tensors = {name: t + 0.5 for name, t in source.items() if name not in HEAD}
    if head:
        tensors["head_linear.weight"] = torch.ones(head, 16)
        tensors["head_linear.bias"] = torch.ones(head)
    save_file(tensors, "body.safetensors")
    told = here(f"{TRAIN} --weights body.safetensors")
    assert "weights: 25 tensors of body.safetensors, by name" in told
    assert ("(it had 3 classes)" in told) == bool(head)
    start = first()
    for name, tensor in start.items():
        if not name.endswith("num_batches_tracked"):
            added = 0 if name in HEAD else 0.5
            assert torch.equal(tensor, source[name] + added), name
    open_run("run")


def test_a_run_of_another_topology_is_told() -> None:
    spec = Path("specs/tiny.yaml")
    spec.write_text(TINY.replace("ops: [add, relu]", "ops: [add]"))
    here(TRAIN.replace("--out run", "--out source"))
    spec.write_text(TINY)
    told = here(f"{TRAIN} --weights source")
    assert "note: source: not the end of its training" in told
    assert "note: source is a run of another topology than tiny" in told


def wide() -> None:
    tensors = fresh()
    tensors["stem_conv.weight"] = torch.zeros(9, 3, 3, 3)
    save_file(tensors, "wide.safetensors")


def names() -> None:
    torch.save(theirs("five"), "five.pth")


def more() -> None:
    save_file({**fresh(), "extra": torch.zeros(1)}, "more.safetensors")


def infinite() -> None:
    tensors = fresh()
    tensors["stem_bn.bias"][0] = float("nan")
    save_file(tensors, "nan.safetensors")


REFUSED: dict[str, tuple[Any, int, str]] = {
    "nowhere.pth": (None, 2, "--weights nowhere.pth: no such file"),
    "theirs.py:nobody": (None, 1, "has no 'nobody'"),
    "theirs.py:other": (None, 1, "is another network than tiny"),
    "wide.safetensors": (wide, 1, "stem_conv.weight is [9, 3, 3, 3], and the spec has"),
    "more.safetensors": (more, 1, "extra is not in the spec"),
    "five.pth": (names, 1, "name a function that loads it into the network"),
    "nan.safetensors": (infinite, 1, "weights that are NaN or infinite: stem_bn.bias"),
    "specs": (None, 1, "specs is not a run folder"),
    "specs/tiny.yaml": (None, 1, "weights come from .safetensors"),
}


@pytest.mark.parametrize("where", REFUSED)
def test_what_does_not_fit_is_refused_before_there_is_a_folder(where: str) -> None:
    make, code, told = REFUSED[where]
    if make is not None:
        make()
    assert told in here(f"{TRAIN} --weights {where}", code)
    assert not Path("run").exists()


OPTIONS = {
    "--lr-of x": "--lr-of 'x' is not PATTERN=FACTOR",
    "--lr-of x=y": "--lr-of 'x=y' is not PATTERN=FACTOR",
    "--lr-of stem_conv=0": "--lr-of stem_conv=0.0: the factor must be above 0",
    "--lr-of heat=2": "--lr-of 'heat' fits no parameter",
    "--freeze stage3": "--freeze 'stage3' fits no parameter",
    "--freeze '*'": "--freeze leaves nothing to train",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_wrong_options_name_themselves(options: str) -> None:
    assert OPTIONS[options] in here(f"{TRAIN} {options}", 2)
    assert not Path("run").exists()


def test_it_goes_on_bitwise_by_the_folder_alone() -> None:
    """With weights, frozen parts, rates and a monitor; from before its first checkpoint."""
    chosen = (
        "--weights theirs.py:five --freeze 'stem*' --freeze '*.bn1' --lr-of head*=2"
    )
    line = f"resgraph train specs/tiny.yaml {QUICK} {chosen} --monitor"
    here(f"{line} --out whole")
    here(f"{line} --out run --stop-at 7")
    shutil.copytree("run", "again")
    here("resgraph train run")
    same(Path("run"), Path("whole"))
    for path in Path("again").iterdir():
        if path.name not in ("run.json", "tiny.py", "spec.yaml"):
            path.unlink()
    here("resgraph train again")
    same(Path("again"), Path("whole"))


@pytest.mark.parametrize("budget", ["2000KiB", "1550KiB"])
def test_less_memory_changes_no_number(budget: str) -> None:
    """Where whole segments are frozen, and where a part of one is."""
    chosen = f"{QUICK} --freeze 'stem*' --freeze stage1 --freeze stage2.0.bn1"
    plain = here(f"resgraph train specs/tiny.yaml {chosen} --out plain")
    line = f"resgraph train specs/tiny.yaml {chosen} --out run --memory-budget {budget}"
    told = here(line)
    assert "anew" in told
    assert "anew" not in plain
    same(Path("run"), Path("plain"))


def test_the_weights_are_the_networks_own() -> None:
    """The network's own file, from which it was trained, loads the weights back."""
    here(f"{TRAIN} --weights theirs.py:five")
    network = load_generated(Path("run/tiny.py")).build()
    network.load_state_dict(first())
