"""Networks in the styles of the zoos, held to specs: one structure, and their weights carried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from resgraph.cli.subjects import exporter
from resgraph.emit.torch_source import torch_source
from resgraph.graph import Graph
from resgraph.train import Generated
from resgraph.verify import (
    Here,
    Options,
    Present,
    Subject,
    carry,
    load_generated,
    state,
    verify,
)
from resgraph.verify.numbers import (
    GRADIENTS,
    INFERENCE,
    STATISTICS,
    TRAINING,
    UPDATES,
)
from tests.helpers import SPECS, graph_of, refused
from tests.verify import zoo_nets

NETS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "vgg16_bn_bias": ("vgg16_bn_bias_small", zoo_nets.vgg16_bn_bias_small),
    "vgg16_bn_bias, convolutional": (
        "vgg16_bn_bias_small",
        zoo_nets.vgg16_bn_bias_small_convolutional,
    ),
    "squeezenet": ("squeezenet_small", zoo_nets.squeezenet_small),
    "densenet121": ("densenet_bc_small", zoo_nets.densenet_bc_small),
    "resnet50": ("resnet50_narrow", zoo_nets.resnet50_narrow),
    "resnet50d": ("resnet50_d_narrow", zoo_nets.resnet50_d_narrow),
    "se_resnet50": ("se_resnet50_narrow", zoo_nets.se_resnet50_narrow),
    "wrn28": ("wrn_16_2", zoo_nets.wrn_16_2),
}


def generated(name: str, folder: Path) -> tuple[Graph, Generated]:
    spec = name.partition(",")[0]
    graph = graph_of(SPECS / "field" / f"{spec}.yaml", network=NETS[name][0])
    path = folder / f"{graph.name}.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    return graph, load_generated(path)


def prepared(network: nn.Module, graph: Graph) -> nn.Module:
    """The network with weights and statistics that are none of them trivial."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(4, *graph.input, generator=generator)
    state.prepare(network, images, generator)
    return network


@pytest.mark.parametrize("name", NETS)
def test_weights_are_carried(name: str, tmp_path: Path) -> None:
    """Along an isomorphism; the logits are then equal in float64, in both modes."""
    graph, ours = generated(name, tmp_path)
    theirs = prepared(NETS[name][1](), graph)
    network = ours.build()
    carried = carry(graph, Here(lambda: theirs), {}, name)
    assert carried.how.startswith("along ")
    missing = network.load_state_dict(dict(carried.tensors), strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    assert not missing.unexpected_keys
    images = torch.randn(2, *graph.input, dtype=torch.float64)
    for training in (False, True):
        torch.manual_seed(5)  # dropout
        right = theirs.double().train(training)(images)
        torch.manual_seed(5)
        logits = network.double().train(training)(images)
        assert float((logits - right).norm()) <= 1e-12 * float(right.norm())


@pytest.mark.parametrize(
    "name", ["vgg16_bn_bias, convolutional", "densenet121", "se_resnet50", "wrn28"]
)
def test_verified_against_the_spec(name: str, tmp_path: Path) -> None:
    """Structure and numbers agree, where tensors have other shapes there too."""
    graph, ours = generated(name, tmp_path)
    subject = Subject(
        graph,
        Present(ours),
        exporter(graph, tmp_path),
        None,
        Here(NETS[name][1]),
        "the zoo's",
    )
    checks = {check.name: check for check in verify(subject, Options())}
    updates = f"{UPDATES} of SGD"
    for wanted in ("structure", INFERENCE, TRAINING, GRADIENTS, STATISTICS, updates):
        check = checks[f"{wanted}: the zoo's"]
        assert check.verdict == "passed", check.detail


def _resized(network: nn.Module) -> nn.Module:
    """SqueezeNet with another padding in its first pooling."""
    network.features[2] = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
    return network


def test_a_message_says_which_network_has_what(tmp_path: Path) -> None:
    graph, _ = generated("squeezenet", tmp_path)
    theirs = _resized(zoo_nets.squeezenet_small())
    told = refused(lambda: carry(graph, Here(lambda: theirs), {}, "zoo.py:net"))
    assert told.startswith(
        "zoo.py:net is another network than squeezenet_small: after relu in stem_relu, "
        "squeezenet_small has max_pool2d(kernel=3, stride=2, padding=0) (stem_max_pool), "
        "and zoo.py:net has max_pool2d(kernel=3, stride=2, padding=1, ceil_mode=True) "
        "(features.2): they compute different things"
    )
