"""What the monitor measures in each unit, and that it leaves no trace in training."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from resgraph.compiler import Compiler
from resgraph.data import load_data
from resgraph.prove.cuts import truncating
from resgraph.train import TrainOptions, load_generated, train
from resgraph.train.folder import UNITS
from resgraph.train.module import units_of
from resgraph.train.monitor import PROBE, Monitor, UnitRecords
from resgraph.train.recompute import planned
from tests.conftest import ROOT
from tests.helpers import graph_from, graph_of, module_of, refused

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
IDENTITY_F = ("preact", "relu_before_add", "relu_only_preact")  # Fig. 4c, d and e


ON_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"
)


def generators(device: str) -> list[list[int]]:
    """The states of torch's generators."""
    states = [torch.get_rng_state()]
    if device == "cuda":
        states.append(torch.cuda.get_rng_state())
    return [state.tolist() for state in states]


def small(spec: str, tmp_path: Path) -> tuple[nn.Module, dict[str, bool]]:
    """A network of few units with the spec's topology, and which of them cut."""
    depth = 29 if "bottleneck" in spec else 20
    graph = graph_of(ROOT / "specs" / f"{spec}.yaml", f"depth={depth}")
    torch.manual_seed(0)
    return network_of(module_of(graph, tmp_path)), truncating(graph)


def network_of(module: ModuleType) -> nn.Module:
    network: nn.Module = getattr(module, module.__all__[0])()
    return network


def batch(count: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


def read(folder: Path) -> UnitRecords:
    records = UnitRecords.read(folder)
    assert records is not None
    return records


@pytest.mark.parametrize("spec", SPECS, ids=[s.stem for s in SPECS])
def test_which_units_cut_is_a_fact_of_the_graph(spec: Path) -> None:
    expected = not spec.stem.startswith(IDENTITY_F)
    for graph in Compiler().graphs(spec):
        cuts = truncating(graph)
        assert set(cuts.values()) == {expected}
        names = [prefix.removesuffix(".") for prefix, _ in graph.parts() if prefix]
        assert [*cuts] == names


BODY = """\
resgraph: 1
title: A unit after another
units:
  body:
    params: [width]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: width}}, relu]}
      out: {from: [x, F], ops: [add, %s]}
network:
  params: {classes: 10}
  input: [1, 8, 8]
  stem: [{conv: {kernel: 3, channels: 8}}, relu]
  stages:
    - [{body: {width: 8}, repeat: 2}]
  head: [global_avg_pool, {linear: {features: classes}}]
"""


@pytest.mark.parametrize(
    ("after", "cuts"), [("bn, relu", True), ("relu", False), ("sigmoid", False)]
)
def test_what_a_cut_at_zero_is(after: str, cuts: bool, tmp_path: Path) -> None:
    """A ReLU of what is never negative cuts nothing, nor does a sigmoid."""
    graph = graph_from(BODY % after, tmp_path)
    assert truncating(graph) == {"stage1.0": cuts, "stage1.1": cuts}


@pytest.mark.parametrize(
    "spec", ["original_basic", "bn_after_add_basic", "preact_bottleneck"]
)
def test_the_numbers_are_those_of_a_plain_forward(spec: str, tmp_path: Path) -> None:
    """Outputs and gradients taken unit by unit, with nothing of the monitor's."""
    network, cuts = small(spec, tmp_path)
    images, labels = batch()
    network.train()
    outputs: list[Tensor] = []

    def keep(unit: nn.Module, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    hooks = [unit.register_forward_hook(keep) for unit in units_of(network).values()]
    functional.cross_entropy(network(images), labels).backward()
    for hook in hooks:
        hook.remove()
    Monitor(network, cuts, tmp_path).record(7, images, labels)
    (record,) = read(tmp_path).records
    assert record.iteration == 7
    for index, output in enumerate(outputs):
        zero = (output == 0).float().mean().item()
        is_cut = [*cuts.values()][index]
        assert record.truncated[index] == pytest.approx(zero if is_cut else 0, rel=1e-4)
        below = (output < 0).float().mean().item()
        assert record.negative[index] == pytest.approx(below, rel=1e-4)
        deviation = output.std(correction=0).item()
        assert record.response[index] == pytest.approx(deviation, rel=1e-4)
        assert output.grad is not None
        norm = output.grad.norm().item()
        assert record.gradient[index] == pytest.approx(norm, rel=1e-4)


def test_f_of_the_paper_truncates_and_that_of_preactivation_does_not(
    tmp_path: Path,
) -> None:
    shares = {}
    for spec in ("original_basic", "relu_before_add_basic"):
        network, cuts = small(spec, tmp_path)
        (tmp_path / spec).mkdir()
        Monitor(network, cuts, tmp_path / spec).record(1, *batch())
        (record,) = read(tmp_path / spec).records
        shares[spec] = record.truncated
    assert all(0.05 < share < 0.95 for share in shares["original_basic"])
    # h + relu(F) is exactly zero in many places, and nothing has been truncated there.
    assert set(shares["relu_before_add_basic"]) == {0.0}
    assert (forward_zeros("relu_before_add_basic", tmp_path)) > 0.05


def forward_zeros(spec: str, tmp_path: Path) -> float:
    """The share of zeros in the first unit's output."""
    network, _ = small(spec, tmp_path)
    found: list[float] = []
    unit = units_of(network)["stage1.0"]
    unit.register_forward_hook(
        lambda *call: found.append((call[2] == 0).float().mean())
    )
    network(batch()[0])
    return float(found[0])


def trained(network: nn.Module, monitor: Monitor | None) -> dict[str, Tensor]:
    """The state after three steps, probed before and after each or not at all."""
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        images, labels = batch(8, step)
        network.train()
        if monitor:
            monitor.record(10 * step, images, labels)
        functional.cross_entropy(network(images), labels).backward()
        if monitor:
            monitor.record(10 * step + 1, images, labels)
        optimizer.step()
        optimizer.zero_grad(
            set_to_none=False
        )  # so that gradients are there all the time
    return network.state_dict()


@pytest.mark.parametrize("spec", ["dropout_shortcut", "preact_basic"])
def test_training_ends_bitwise_as_without_a_monitor(spec: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    states = []
    for watched in (False, True):
        network, cuts = small(spec, tmp_path)
        monitor = Monitor(network, cuts, tmp_path / "run") if watched else None
        states.append(trained(network, monitor))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert len(read(tmp_path / "run").records) == 6


def test_runs_with_a_monitor_end_as_those_without_and_go_on(tmp_path: Path) -> None:
    graph = graph_from(BODY % "relu", tmp_path)
    module_of(graph, tmp_path)
    generated = load_generated(tmp_path / f"{graph.name}.py")
    digits = load_data("digits", (1, 8, 8))

    def run(folder: str, **changes: Any) -> dict[str, Tensor]:
        options = {"iterations": 6, "log_every": 2, "eval_every": 3} | changes
        chosen = TrainOptions(device="cpu", out=tmp_path / folder, **options)
        train(generated, digits, chosen, cuts=truncating(graph))
        return load_file(tmp_path / folder / "last.safetensors")

    plain, watched = run("plain"), run("watched", monitor=True)
    run("parts", monitor=True, stop_at=3)
    with (tmp_path / "parts" / UNITS).open("a") as file:
        file.write('{"iteration": 4, "trun')  # as a kill leaves it
    parts = run("parts", monitor=True, resume=True)
    assert all(torch.equal(plain[key], watched[key]) for key in plain)
    assert all(torch.equal(plain[key], parts[key]) for key in plain)
    assert UnitRecords.read(tmp_path / "plain") is None
    whole = (tmp_path / "watched" / UNITS).read_text()
    assert (tmp_path / "parts" / UNITS).read_text() == whole
    assert [r.iteration for r in read(tmp_path / "watched").records] == [2, 3, 4, 6]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
def test_a_probe_leaves_everything_as_it_was(device: str, tmp_path: Path) -> None:
    network, cuts = small("dropout_shortcut", tmp_path)
    network.to(device).train()
    network.get_submodule("stage2").eval()
    first = next(network.parameters())
    first.grad = torch.ones_like(first)
    gradients = [p.grad for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    random = generators(device)
    Monitor(network, cuts, tmp_path).record(1, *(part.to(device) for part in batch()))
    assert all(
        p.grad is g for p, g in zip(network.parameters(), gradients, strict=True)
    )
    assert torch.equal(first.grad, torch.ones_like(first))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(network.state_dict()[key], state[key]) for key in state)
    assert generators(device) == random
    assert not any(module._forward_hooks for module in network.modules())


def test_it_sees_the_same_where_units_are_computed_anew(tmp_path: Path) -> None:
    plain, cuts = small("preact_basic", tmp_path)
    anew, _ = small("preact_basic", tmp_path)
    norms = [
        name
        for name, module in anew.named_modules()
        if isinstance(module, nn.BatchNorm2d) and "stage" in name and "a_bn" not in name
    ]
    segments = {"stage1": [(0, 2)], "stage2": [(1, 3)], "stage3": [(0, 3)]}
    planned(anew, SimpleNamespace(segments=segments, bn_relu=norms))
    records = []
    for name, network in (("plain", plain), ("anew", anew)):
        (tmp_path / name).mkdir()
        Monitor(network, cuts, tmp_path / name).record(1, *batch())
        records += read(tmp_path / name).records
    assert records[0] == records[1]
    assert all(share > 0 for share in records[0].gradient)


def test_compiled_units_run_eagerly_in_a_probe(tmp_path: Path) -> None:
    def refuse(graph: Any, inputs: Any) -> Any:
        raise AssertionError("a probe must not compile")

    network, cuts = small("original_basic", tmp_path)
    plain = Monitor(network, cuts, tmp_path)
    plain.record(1, *batch())
    for unit in units_of(network).values():
        unit.compile(backend=refuse)
    plain.record(2, *batch())
    one, two = read(tmp_path).records
    assert one.response == two.response


def test_at_most_so_many_images(tmp_path: Path) -> None:
    network, cuts = small("original_basic", tmp_path)
    sizes: list[int] = []
    network.register_forward_hook(lambda *call: sizes.append(len(call[1][0])))
    Monitor(network, cuts, tmp_path).record(1, *batch(PROBE + 8))
    assert sizes == [PROBE]


def test_the_file_and_its_reader(tmp_path: Path) -> None:
    network, cuts = small("original_basic", tmp_path)
    monitor = Monitor(network, cuts, tmp_path)
    for iteration in (10, 20, 30):
        monitor.record(iteration, *batch())
    lines = (tmp_path / UNITS).read_text().splitlines()
    assert json.loads(lines[0])["units"] == [*cuts]
    assert set(json.loads(lines[1])) == {
        "iteration",
        "truncated",
        "negative",
        "response",
        "gradient",
    }
    whole = read(tmp_path)
    assert whole.units == tuple(cuts)
    assert not whole.torn
    with (tmp_path / UNITS).open("a") as file:
        file.write(lines[1][: len(lines[1]) // 2])
    torn = read(tmp_path)
    assert torn.torn
    assert torn.records == whole.records
    monitor.forget_after(20)
    assert [r.iteration for r in read(tmp_path).records] == [10, 20]
    monitor.record(30, *batch())
    assert read(tmp_path).records == whole.records


@pytest.mark.parametrize("text", ["", "{", '{"units": 3}\n', '{"un'])
def test_a_file_without_its_first_line_is_begun_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / UNITS).write_text(text)
    assert UnitRecords.read(tmp_path) is None
    network, cuts = small("original_basic", tmp_path)
    monitor = Monitor(network, cuts, tmp_path)
    monitor.forget_after(0)
    monitor.record(1, *batch())
    assert [r.iteration for r in read(tmp_path).records] == [1]


def test_numbers_that_are_none(tmp_path: Path) -> None:
    network, cuts = small("original_basic", tmp_path)
    with torch.no_grad():
        network.get_submodule("stage3.2.bn2").weight.fill_(math.nan)
    Monitor(network, cuts, tmp_path).record(1, *batch())
    assert "NaN" not in (tmp_path / UNITS).read_text()
    (record,) = read(tmp_path).records
    assert math.isnan(record.response[-1])


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    network, cuts = small("original_basic", tmp_path)
    before = {*tmp_path.iterdir()}
    monitor = Monitor(network, cuts, None)
    monitor.forget_after(0)
    monitor.record(1, *batch())
    assert {*tmp_path.iterdir()} == before


def test_what_cannot_be_monitored(tmp_path: Path) -> None:
    network, cuts = small("original_basic", tmp_path)
    lacking = partial(Monitor, network, {"stage1.0": True}, tmp_path)
    assert "units are not those of its spec" in refused(lacking)
    other = partial(Monitor, nn.Linear(2, 2), {}, tmp_path)
    assert "no stages of units" in refused(other)
    away = Monitor(network, cuts, tmp_path / "gone")
    assert "cannot write" in refused(lambda: away.record(1, *batch()))
