"""What is usually a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.prove import Topic
from resgraph.prove.depth import claimed
from tests.conftest import ROOT
from tests.helpers import graph_from, graph_of
from tests.prove.common import PREACT, TINY, warnings

ACTIVATED = "      a: {from: x, ops: [bn, relu]}\n"
H_OF_A = "h: {from: a, ops: [{conv:"
HEAD = "head: [bn, relu, global_avg_pool, {linear: {features: classes}}]"
STEM = "stem: [{conv: {kernel: 3, channels: 8}}]"

MISTAKES = {
    "nothing": (PREACT, []),
    "a stem that activates before a pre-activation entry": (
        PREACT.replace(STEM, STEM.replace("}}]", "}}, bn, relu]")),
        [("stage1.0.a_bn", "a_bn normalises again, with no weight layer")],
    ),
    "a stem with a ReLU alone before BN ReLU": (
        PREACT.replace(STEM, STEM.replace("}}]", "}}, relu]")),
        [("stage1.0.a_relu", "a_relu activates again")],
    ),
    "a stem that activates before a pooling, as MXNet's and DenseNet's": (
        PREACT.replace(
            STEM, STEM.replace("}}]", "}}, bn, relu, {max_pool: {kernel: 2}}]")
        ),
        [],
    ),
    "a stem with ReLU before a pooling, and ReLU alone behind it": (
        PREACT.replace(
            STEM, STEM.replace("}}]", "}}, relu, {max_pool: {kernel: 2}}]")
        ).replace("from: x, ops: [bn, relu]", "from: x, ops: [relu]"),
        [("stage1.0.a_relu", "changes nothing: its input is never negative")],
    ),
    "a forgotten tail": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", "")),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a tail of BN alone": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", "bn, ")),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a tail behind the pooling": (
        PREACT.replace(
            HEAD, HEAD.replace("bn, relu, global_avg_pool", "global_avg_pool, relu")
        ),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a forgotten tail and two linear layers": (
        PREACT.replace(
            HEAD,
            HEAD.replace("bn, relu, ", "").replace(
                "{lin", "{linear: {features: 9}}, {lin", 1
            ),
        ),
        [
            ("head_global_avg_pool", "is followed by an extra one"),
            ("head_linear2", "no activation since the last weight layer"),
        ],
    ),
    "a projection from x": (
        PREACT.replace(ACTIVATED, "")
        .replace(H_OF_A, "h: {from: x, ops: [{conv:")
        .replace(
            "from: a\n        ops:\n",
            "from: x\n        ops:\n          - bn\n          - relu\n",
        ),
        [("stage1.0.h_conv", "the projection h_conv reads x before it is activated")],
    ),
    "a projection with its own BN": (
        PREACT.replace("stride: stride}}]}", "stride: stride}}, bn]}"),
        [("stage1.0.h_bn", "h_bn normalises the projection")],
    ),
    "two convolutions in a row": (
        PREACT.replace(
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
            "          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
        ),
        [("stage1.1.conv2", "no activation since the last weight layer")],
    ),
    "a BN with no ReLU": (
        PREACT.replace(
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
            "          - bn\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
        ),
        [("stage1.1.conv2", "no activation since the last weight layer")],
    ),
    "a double ReLU": (
        PREACT.replace(
            "          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
            "          - relu\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
        ),
        [("stage1.0.relu2", "relu2 changes nothing: its input is never negative")],
    ),
    "a double BN": (
        PREACT.replace(
            "          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
        ),
        [("stage1.0.bn2", "bn2 normalises again, with no weight layer")],
    ),
    "an original unit without f": (
        TINY.replace("ops: [add, relu]", "ops: [add]").replace("depth: 8", "depth: 14"),
        [
            ("stage1.1.conv1", "It is the first weight of F"),
            ("head_linear", "no activation since the last weight layer"),
        ],
    ),
    "an original network with a pre-activation tail": (
        TINY.replace("head: [", "head: [bn, relu, "),
        [("head_relu", "head_relu activates again")],
    ),
    "an original unit with BN ReLU twice, at the border of two units": (
        TINY.replace("ops: [add, relu]", "ops: [add, bn, relu]").replace(
            "          - conv: {kernel: 3, channels: width, stride: stride}\n",
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width, stride: stride}\n",
        ),
        [("stage1.0.bn1", "bn1 normalises again, with no weight layer")],
    ),
    "a stem without an activation": (
        TINY.replace("channels: 8}}, bn, relu]", "channels: 8}}, bn]"),
        [("stage1.0.conv1", "It is the first weight of F")],
    ),
    "a forgotten tail and a projection from x and its BN": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", ""))
        .replace(ACTIVATED, "")
        .replace(H_OF_A, "h: {from: x, ops: [{conv:")
        .replace("stride: stride}}]}", "stride: stride}}, bn]}")
        .replace(
            "from: a\n        ops:\n",
            "from: x\n        ops:\n          - bn\n          - relu\n",
        ),
        [
            ("stage1.0.h_conv", "reads x before it is activated"),
            ("stage1.0.h_bn", "normalises the projection"),
            ("head_global_avg_pool", "is followed by an extra one"),
        ],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[name]
    found = warnings(graph_from(text, tmp_path))
    assert len(found) == len(expected), [f.message for f in found]
    for finding, (where, message) in zip(found, expected, strict=True):
        assert finding.where[0] == where
        assert message in finding.message
        assert finding.hint
        assert finding.topic is Topic.MISTAKE


def test_a_mistake_in_later_units_alone_says_which(tmp_path: Path) -> None:
    text = TINY.replace("ops: [add, relu]", "ops: [add]").replace(
        "depth: 8", "depth: 32"
    )
    finding = warnings(graph_from(text, tmp_path))[0]
    assert finding.message.startswith("stage1.1 to stage2.0 (5 of 6 units): ")
    assert [note.span.line for note in finding.notes if note.span] == [14]


@pytest.mark.parametrize(
    ("name", "options", "depth"),
    [
        ("resnet164", "", 164),
        ("resnet110_1layer_original", "", 110),
        ("resnet110_scale_05_1", "", 110),
        ("resnet164_depth29", " --network resnet164 --set depth=29", 29),
        ("resnet164_depth29_depth38", "", 38),
        ("preact_resnet_18", "", 18),
        ("resnet164_n3", " --network resnet164 --set n=3", None),
        ("wide_resnet28_10", "", 28),
        ("wide_resnet50_2", "", 50),
        ("wrn_28_10", "", 28),
        ("densenet121", "", 121),
        ("resnext50_32x4d", "", 50),
        ("plain20", "", 20),
        ("pyramidnet110_a48", "", 110),
        ("inception_resnet_35", "", None),
        ("vgg16", "", None),
        ("preact_bottleneck_depth29", " --set depth=29", None),
        ("resnet50v2", "", None),
        ("squeeze110", "", None),
    ],
)
def test_depth_in_names(name: str, options: str, depth: int | None) -> None:
    found = claimed(name, options)
    assert (found and found[1]) == depth


def test_wrong_family_is_a_depth_mismatch(tmp_path: Path) -> None:
    text = (ROOT / "specs/preact_bottleneck.yaml").read_text()
    wrong = text.replace("n: (depth - 2) / 9", "n: (depth - 2) / 6")
    wrong = wrong.replace(
        "resnet164: {depth: 164}\n  resnet1001: {depth: 1001}",
        "resnet110: {depth: 110}",
    )
    (finding,) = warnings(graph_from(wrong, tmp_path))
    assert (
        "resnet110 is named after 110 layers, and has 164 weight layers"
        in finding.message
    )
    assert finding.topic is Topic.DEPTH
    right_depth = text.replace(
        "resnet164: {depth: 164}\n  resnet1001: {depth: 1001}",
        "resnet110: {depth: 110}",
    )
    (finding,) = warnings(graph_from(right_depth, tmp_path))
    assert "has units of three weight layers" in finding.message
    assert "ResNet-110 has units of one or two" in finding.message


def test_a_set_depth_is_the_one_that_counts() -> None:
    spec = ROOT / "specs/preact_bottleneck.yaml"
    graph = graph_of(spec, "depth=29", network="resnet164")
    assert graph.name == "resnet164_depth29"
    assert warnings(graph) == []
