"""The specs of published designs that tests share: they compile, and are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from tests.helpers import FIELD, graph_of, module_of

# Trainable numbers of torchvision's and timm's networks and of the papers' tables.
PARAMETERS = {
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet40": 1_019_722,
    "lenet5": 61_706,
    "mobilenet": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "nin": 966_986,
    "preact_resnet50": 25_549_352,
    "preact_resnet101": 44_541_480,
    "regnet_x_400mf": 5_495_976,
    "regnet_y_400mf": 4_344_144,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet50_d": 25_576_264,
    "resnext50_32x4d": 25_028_904,
    "se_resnet50": 28_088_024,
    "squeezenet1_1": 1_235_496,
    "vgg16_bn_bias": 138_365_992,
    "wide_resnet50_2": 68_883_240,
    "wrn_28_10": 36_479_194,
    "wrn_40_4": 8_949_210,
    "xception": 22_855_952,
}


@pytest.mark.parametrize("path", FIELD, ids=[path.stem for path in FIELD])
def test_compiles(path: Path, tmp_path: Path) -> None:
    module = module_of(graph_of(path), tmp_path)
    network = getattr(module, module.__all__[0])()
    counted = sum(p.numel() for p in network.parameters())
    assert counted == graph_of(path).total("parameters")


def test_parameters_are_the_published() -> None:
    graphs = {g.name: g for path in FIELD for g in Compiler().graphs(path)}
    found = {name: graphs[name].total("parameters") for name in PARAMETERS}
    assert found == PARAMETERS
