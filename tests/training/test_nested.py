"""Training networks of blocks within blocks, with skips between stages and several outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError
from resgraph.infer import Classifier
from resgraph.plan import strategies
from resgraph.train import open_run
from resgraph.train.batches import Normalise
from resgraph.train.execution import compile_units
from resgraph.train.module import units_of
from resgraph.train.recompute import planned
from resgraph.train.task import logits
from tests.helpers import graph_from, module_of, refused
from tests.plan.nested import NETWORKS, SE, SEVERAL, UNET

SHORT = ("--data", "digits", "--device", "cpu", "--batch", "8", "--log-every", "1")
SMALL = "700KiB"
HEAD = "  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]\n"
AUX = SEVERAL.replace(
    HEAD,
    "    aux: {from: c2, units: [{body: {width: 4, stride: 2}}]}\n"
    + HEAD.replace("[bn,", "{from: m, ops: [bn,").replace("]\n", "]}\n"),
).replace("side: streams.one", "side: aux")


NO_IMAGES = """\
resgraph: 1
title: Nothing to see
units:
  gate:
    paths: {out: {from: x, ops: [sigmoid]}}
network:
  input: SHAPE
  stages:
    a: [gate]
  head: [relu]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def trained(text: str, out: str, *words: str) -> dict[str, torch.Tensor]:
    """The weights after a few steps of the network of a spec."""
    Path("net.yaml").write_text(text)
    more = () if "--iterations" in words else ("--iterations", "4")
    command("train", "net.yaml", *SHORT, *more, "--out", out, *words)
    return load_file(Path(out) / "last.safetensors")


def network_of(text: str, tmp_path: Path) -> nn.Module:
    torch.manual_seed(0)
    module = module_of(graph_from(text, tmp_path), tmp_path)
    network: nn.Module = getattr(module, module.__all__[0])()
    return network


def test_a_budget_changes_no_number() -> None:
    plain = trained(SE, "plain")
    anew = trained(SE, "anew", "--memory-budget", "420KiB")
    assert open_run(Path("anew")).about["memory"]["segments"].keys() == {"c2", "c3"}
    assert all(torch.equal(plain[name], anew[name]) for name in plain)
    assert "c2.0.se.gate_conv1.weight" in plain


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Weights, images and so all that is computed of them."""
    normalised = Normalise.__call__
    monkeypatch.setattr(
        Normalise, "__call__", lambda self, images: normalised(self, images).double()
    )
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_float64")
def test_a_skip_within_a_budget() -> None:
    """Its gradients are added in another order: the same up to float64's rounding."""
    plain = trained(UNET, "plain", "--iterations", "2")
    anew = trained(UNET, "anew", "--iterations", "2", "--memory-budget", "390KiB")
    assert "d3" in open_run(Path("anew")).about["memory"]["segments"]
    assert {t.dtype for t in plain.values()} == {torch.float64, torch.int64}
    torch.testing.assert_close(anew, plain)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("words", [(), ("--memory-budget", SMALL)])
def test_a_resumed_run_ends_bitwise_the_same(name: str, words: tuple[str, ...]) -> None:
    text = NETWORKS[name]
    whole = trained(text, "whole", *words)
    trained(text, "parts", *words, "--stop-at", "2")
    command("train", "parts")
    again = load_file("parts/last.safetensors")
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_several_outputs_train_on_the_logits_and_are_exported() -> None:
    trained(SEVERAL, "run", "--monitor")
    records = Path("run/units.jsonl").read_text().splitlines()
    assert json.loads(records[0])["units"] == [
        *(f"c2.{i}" for i in range(2)),
        *(f"streams.{i}" for i in range(4)),
        "m.0",
    ]
    assert all(g for g in json.loads(records[-1])["gradient"])
    command("export", "run", "--out", "out")
    (model,) = Path("out").glob("*.onnx")
    assert len(Classifier(model, "cpu").classes) == 10


def test_parts_by_the_names_of_stages() -> None:
    start = trained(SE, "start", "--iterations", "1")
    words = ("--freeze", "c2", "--lr-of", "c3.0.pre*=0.5", "--weights", "start")
    tuned = trained(SE, "tuned", *words)
    moved = {name for name in start if not torch.equal(start[name], tuned[name])}
    counts = ".num_batches_tracked"  # which weights from elsewhere do not bring
    assert not [n for n in moved if n.startswith("c2.") and not n.endswith(counts)]
    assert "c3.0.pre1.conv1.weight" in moved


def test_what_no_logit_depends_on_is_not_trained_silently() -> None:
    told = refused(lambda: trained(AUX, "run"))
    assert "the logits do not depend on aux.0." in told
    assert "| --freeze aux says that they stay" in told
    assert not Path("run").exists()
    trained(AUX, "run", "--freeze", "aux")


def test_the_hint_freezes_just_what_no_logit_depends_on() -> None:
    """Whole stages, and a part of a unit on whose other part the logits depend."""
    two = AUX.replace("    m: [merge]\n", "").replace("from: m,", "from: streams.two,")
    text = two.replace("side: aux", "side: aux, one: streams.one")
    told = refused(lambda: trained(text, "run"))
    words = told.partition(" | ")[2].partition(" says")[0].split()
    assert words == ["--freeze", "streams.3.d_body", "--freeze", "aux"]
    trained(text, "run", *words)


@pytest.mark.parametrize(
    ("shape", "said"),
    [("[16, 8]", "tokens [T, C] = [16, 8]"), ("[8]", "a vector [C] = [8]")],
)
def test_what_takes_no_images_is_told_first(shape: str, said: str) -> None:
    """At the line of the input, whatever the network ends in."""
    text = NO_IMAGES.replace("SHAPE", shape)
    with pytest.raises(ResgraphError) as error:
        trained(text, "run")
    assert f"net.yaml:7:10: error[wrong-rank]: the network takes {said}" in str(
        error.value
    )
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (
            "  head: [bn, relu]\n",
            ":40:14: error[wrong-output]: the network ends in the map",
        ),
        (
            "  outputs: {p3: d3, p2: c2}\n",
            ":40:17: error[wrong-output]: of the outputs p3 [16, 8, 8], p2 [8, 16, 16] none",
        ),
    ],
)
def test_maps_are_no_logits(ending: str, message: str) -> None:
    """Refused at the spec's line, with nothing written; compiled, and refused by `infer`."""
    text = UNET.replace(HEAD, ending).replace("  params: {classes: 10}\n", "")
    with pytest.raises(ResgraphError) as error:
        trained(text, "run")
    assert message in str(error.value)
    assert "^^" in str(error.value)
    assert not Path("run").exists()
    command("compile", "net.yaml")
    told = refused(lambda: Classifier("generated/net.onnx", "cpu"))
    assert "should be logits [N, classes]" in told


@pytest.mark.parametrize("name", NETWORKS)
def test_units_are_compiled_whatever_their_stage_is(name: str, tmp_path: Path) -> None:
    """The outermost ones, each once; within segments that are computed anew, too."""
    text = NETWORKS[name]
    network = network_of(text, tmp_path)
    graph = graph_from(text, tmp_path)
    names = [prefix.removesuffix(".") for prefix, _ in graph.parts() if prefix]
    assert [*units_of(network)] == names
    x = torch.randn(4, *graph.input)
    *_, smallest = strategies(graph, 4)
    planned(network, smallest)
    assert [*units_of(network)] == names
    expected = logits(network_of(text, tmp_path)(x))
    compile_units(network, backend="eager")
    found = logits(network(x))
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
