"""Parts of a network that are frozen, or trained at a rate of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from resgraph.data import Dataset
from resgraph.recipe import Recipe
from resgraph.train import Generated, TrainOptions, open_run, train
from resgraph.train.optimizer import WHOLE, parameter_groups, parts_of
from resgraph.train.pretrained import Pretrained, Pretraining
from tests.helpers import refused
from tests.training.conftest import Trained, written
from tests.training.preload import DIGITS
from tests.training.processes import die_at, ended, run_ranks, started
from tests.training.test_kill import assert_same
from tests.training.test_resume import comparable
from tests.training.test_world import NO_DROPOUT, assert_close

OPTIONS: dict[str, Any] = {
    "freeze": ("conv", "bn"),
    "lr_of": {"linear*": 2.0, "linear.bias": 0.5},
}
ONE = TrainOptions(device="cpu", iterations=12, eval_every=5, log_every=2, **OPTIONS)


class Net(nn.Module):
    """A stem, and two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem_conv = nn.Conv2d(1, 2, 3)
        self.stem_bn = nn.BatchNorm2d(2)
        self.stage1 = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2, affine=False))
        self.head = nn.Linear(2, 3)


FITS = {
    "stem_conv": {"stem_conv.weight", "stem_conv.bias"},
    "stem*": {"stem_conv.weight", "stem_conv.bias", "stem_bn.weight", "stem_bn.bias"},
    "*.bias": {"stem_conv.bias", "stem_bn.bias", "stage1.0.bias", "head.bias"},
    "stage1": {"stage1.0.weight", "stage1.0.bias"},
    "stage?.0": {"stage1.0.weight", "stage1.0.bias"},
    "head.weight": {"head.weight"},
    "[sh]*d": {"head.weight", "head.bias"},
}


@pytest.mark.parametrize("pattern", FITS)
def test_a_pattern_names_tensors_and_modules(pattern: str) -> None:
    assert parts_of(Net(), [pattern], {}).frozen == FITS[pattern]
    factors = parts_of(Net(), [], {pattern: 3.0}).factors
    assert factors == dict.fromkeys(FITS[pattern], 3.0)


def test_which_statistics_stay() -> None:
    """Of BNs whose every parameter is frozen; of one without any, if it is named."""
    assert parts_of(Net(), ["stem_bn"], {}).norms == ("stem_bn",)
    assert parts_of(Net(), ["*.weight"], {}).norms == ()
    assert parts_of(Net(), ["stage1"], {}).norms == ("stage1.1",)
    assert parts_of(Net(), ["stage1.0"], {}).norms == ()


WRONG: dict[str, tuple[tuple[str, ...], Mapping[str, float], str]] = {
    "nothing": (("stem_cnov",), {}, "freeze 'stem_cnov' fits no parameter | did you"),
    "no part": (("body",), {}, "freeze 'body' fits no parameter | known here: head, "),
    "all": (("*",), {}, "freeze leaves nothing to train"),
    "no rate": ((), {"hed": 2.0}, "lr_of 'hed' fits no parameter"),
    "frozen": (("head",), {"head": 2.0}, "lr_of 'head' fits only what is frozen"),
}


@pytest.mark.parametrize("case", WRONG)
def test_patterns_that_are_wrong(case: str) -> None:
    freeze, lr_of, told = WRONG[case]
    assert told in refused(lambda: parts_of(Net(), freeze, lr_of))


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_factors_that_are_wrong(factor: float) -> None:
    told = refused(lambda: TrainOptions(lr_of={"head": factor}))
    assert told.startswith(f"lr_of head={factor}: the factor must be above 0")


def test_the_whole_network_is_one_group_as_ever() -> None:
    network = Net()
    groups = parameter_groups(network, Recipe())
    (group,) = WHOLE.of(groups, network, 0.1)
    assert [*map(id, group["params"])] == [*map(id, network.parameters())]
    assert (group["lr"], group["lr_factor"]) == (0.1, 1.0)


def test_parts_of_what_has_no_weight_decay() -> None:
    """Each factor within each group; what is frozen in none."""
    network = Net()
    recipe = Recipe.of({"no_weight_decay": ["bn", "bias"]})
    parts = parts_of(network, ["stem_conv"], {"head": 2.0})
    names = {id(p): name for name, p in network.named_parameters()}
    found = {
        (group["weight_decay"], group["lr"]): [names[id(p)] for p in group["params"]]
        for group in parts.of(parameter_groups(network, recipe), network, 0.5)
    }
    assert found == {
        (1e-4, 0.5): ["stage1.0.weight"],
        (1e-4, 1.0): ["head.weight"],
        (0.0, 0.5): ["stem_bn.weight", "stem_bn.bias", "stage1.0.bias"],
        (0.0, 1.0): ["head.bias"],
    }


ADAM = {
    "optimizer": "adamw",
    "ema": 0.9,
    "clip_grad_norm": 1.0,
    "no_weight_decay": ("bn",),
    "schedule": "cosine",
}


def test_with_all_of_a_recipe_it_is_resumed_bitwise(
    trained: Trained, tmp_path: Path
) -> None:
    """AdamW, averages and clipping, with parts of their own."""
    chosen = {**OPTIONS, "freeze": ("conv",), "recipe": ADAM, "lr": 0.01}
    whole = trained(out=tmp_path / "whole", **chosen).folder
    for stop in (4, 13):
        trained(stop_at=stop, resume=stop > 4, **chosen)
    run = trained(resume=True, iterations=None).folder
    for name in ("last.safetensors", "last.ema.safetensors"):
        one, two = load_file(whole / name), load_file(run / name)
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert comparable(whole) == comparable(run)


def test_frozen_parts_stay_bitwise(
    trained: Trained, tiny: Generated, tmp_path: Path
) -> None:
    first = trained(out=tmp_path / "first", stop_at=1).folder
    before = load_file(first / "last.safetensors")  # of iteration 0
    run = trained(**OPTIONS).folder
    after = load_file(run / "last.safetensors")
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"linear.weight", "linear.bias"}
    assert {"bn.running_mean", "bn.num_batches_tracked"} <= after.keys()
    assert open_run(run).about["options"]["lr_of"] == OPTIONS["lr_of"]


def step_of(trained: Trained, out: Path, **chosen: Any) -> dict[str, Tensor]:
    """By how much each tensor moves in the first step."""
    paths = [out.with_name(f"{out.name}{stop}") for stop in (0, 1)]
    folder = trained(out=paths[0], stop_at=1, checkpoint_every=1, **chosen).folder
    state = torch.load(folder / "state.pt", weights_only=True)["network"]
    start = load_file(folder / "last.safetensors")
    return {name: state[name] - start[name] for name in start}


def test_a_factor_is_on_the_rate(trained: Trained, tmp_path: Path) -> None:
    plain = step_of(trained, tmp_path / "plain")
    other = step_of(trained, tmp_path / "other", lr_of={"linear": 0.25, "conv": 3.0})
    for name, factor in (("linear.weight", 0.25), ("conv.weight", 3), ("bn.bias", 1)):
        torch.testing.assert_close(other[name], factor * plain[name])
        assert plain[name].any()


@pytest.mark.parametrize("stops", [(7,), (3, 10, 11)])
def test_it_is_resumed_bitwise(
    trained: Trained, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    whole = trained(out=tmp_path / "whole", **OPTIONS).folder
    trained(stop_at=stops[0], **OPTIONS)
    for stop in stops[1:]:
        trained(stop_at=stop, resume=True)  # which knows its parts
    parts = trained(resume=True).folder
    one, two = (load_file(f / "last.safetensors") for f in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert comparable(whole) == comparable(parts)


def test_it_is_never_resumed_otherwise(trained: Trained) -> None:
    trained(stop_at=5, **OPTIONS)
    told = refused(lambda: trained(resume=True, freeze=("linear",)))
    assert "with another --freeze: it was begun with ('conv', 'bn')" in told
    assert "--lr-of" in refused(lambda: trained(resume=True, lr_of={"linear": 3.0}))
    assert "--weights" in refused(lambda: trained(resume=True, weights="other.pth"))
    assert trained(resume=True, **OPTIONS).status == "finished"


# --- from weights -----------------------------------------------------------------------


def given(seed: int = 5, leave: str = "linear") -> Pretraining:
    """Weights of another start, all but one layer's."""

    def read() -> Pretrained:
        random = torch.Generator().manual_seed(seed)
        tensors = {
            "conv.weight": torch.randn(8, 1, 3, 3, generator=random),
            "bn.weight": torch.rand(8, generator=random),
            "bn.bias": torch.randn(8, generator=random),
            "bn.running_mean": torch.randn(8, generator=random),
            "bn.running_var": torch.rand(8, generator=random) + 0.5,
        }
        return Pretrained(tensors, f"seed {seed}", "by chance", 7)

    return read


def session(source: Path, out: Path, *death: Any, seed: int = 5) -> None:
    """Begin a run from weights or go on with it, until it ends or until `die_at` this."""
    from resgraph.train import load_generated

    options = dataclasses.replace(
        ONE, out=out, checkpoint_every=3, resume=(out / "run.json").exists()
    )
    if death:
        die_at(*death)
    train(load_generated(source), DIGITS, options, pretraining=given(seed))


def test_a_run_starts_from_weights(
    tiny: Generated, digits: Dataset, options: TrainOptions
) -> None:
    """All else starts as without them; the first weights in the folder are these."""
    chosen = dataclasses.replace(options, stop_at=1)
    plain = dataclasses.replace(chosen, out=Path(f"{options.out}-plain"))
    start = load_file(train(tiny, digits, plain).folder / "last.safetensors")
    run = train(tiny, digits, chosen, pretraining=given()).folder
    ours, wanted = load_file(run / "last.safetensors"), given()().tensors
    for name, tensor in ours.items():
        assert torch.equal(tensor, wanted.get(name, start[name])), name
    about = open_run(run).about["weights"]
    assert about["taken"] == 5
    assert about["new"] == ["linear.weight", "linear.bias"]
    assert (about["source"], about["classes"]) == ("seed 5", 7)


def test_killed_at_any_change_it_ends_the_same(tmp_path: Path) -> None:
    source, run = written(tmp_path), tmp_path / "run"
    assert ended(started(session, source, tmp_path / "whole")) == 0
    for change in (2, 4, 6, 9, 13, 18, 24):
        ended(started(session, source, run, change, run))
    assert ended(started(session, source, run)) == 0
    assert_same(run, tmp_path / "whole")


def test_killed_before_its_first_checkpoint(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    """It begins anew from the same weights, and from no others."""
    run = tmp_path / "run"
    chosen = dataclasses.replace(options, resume=True)
    whole = dataclasses.replace(options, out=tmp_path / "whole")
    train(tiny, digits, whole, pretraining=given())
    source = written(tmp_path)
    die = started(session_of, source, options)
    assert ended(die) != 0
    assert (run / "run.json").exists()
    assert not (run / "state.pt").exists()
    told = refused(lambda: train(tiny, digits, chosen))
    assert "starts from weights of seed 5 | give them again" in told
    told = refused(lambda: train(tiny, digits, chosen, pretraining=given(6)))
    assert "seed 6 has other weights than when the run was begun" in told
    train(tiny, digits, chosen, pretraining=given())
    assert_same(run, tmp_path / "whole")
    anew = dataclasses.replace(options, overwrite=True)
    assert train(tiny, digits, anew, pretraining=given(6)).status == "finished"


def session_of(source: Path, options: TrainOptions) -> None:
    from resgraph.train import load_generated

    assert options.out is not None
    die_at(1, options.out, "state")
    train(load_generated(source), DIGITS, options, pretraining=given())


def on_rank(source: Path, options: TrainOptions) -> None:
    from resgraph.train import load_generated
    from resgraph.train.distributed import joined

    with joined(cuda=False) as world:
        train(load_generated(source), DIGITS, options, world=world, pretraining=given())


@pytest.mark.parametrize("freeze", [("conv",), ("conv", "bn")], ids=["conv", "bn"])
def test_ranks_follow_one(
    digits: Dataset, options: TrainOptions, tmp_path: Path, freeze: tuple[str, ...]
) -> None:
    from resgraph.train import load_generated

    source = written(tmp_path, NO_DROPOUT)
    chosen = dataclasses.replace(options, freeze=freeze, lr_of={"linear": 0.5})
    alone = dataclasses.replace(chosen, out=tmp_path / "alone")
    train(load_generated(source), digits, alone, pretraining=given())
    assert run_ranks(2, on_rank, source, chosen) == [0, 0]
    assert_close(tmp_path / "run", tmp_path / "alone")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_has_each_group_at_its_own_rate(
    trained: Trained, tmp_path: Path
) -> None:
    chosen = {**OPTIONS, "device": "cuda", "precision": "fp32", "compile": False}
    for graph in (False, True):
        out = tmp_path / str(graph)
        trained(out=out, cuda_graph=graph, **chosen)
    ours, theirs = (
        load_file(tmp_path / str(graph) / "last.safetensors") for graph in (False, True)
    )
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-5)
