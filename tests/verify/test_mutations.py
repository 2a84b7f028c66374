"""The classic mistakes, planted into generated files one by one: `verify` catches every one."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.verify import Options, verify
from tests.verify.conftest import Edit, failures, subject_of

PREACT = "preact_basic:resnet20"
ORIGINAL = "original_basic:resnet20_original"
BOTTLENECK = "preact_bottleneck:resnet164@29"
ORIGINAL_BOTTLENECK = "original_bottleneck:resnet164_original@29"
SCALED = "constant_scaling:resnet110_scale_05_05@20"
GATED = "exclusive_gating:resnet110_exclusive_gating_b6@20"
DROPPED = "dropout_shortcut:resnet110_dropout_shortcut@20"
AFTER = "bn_after_add_basic:resnet110_bn_after_add@20"

TAIL = "x = torch.relu(self.head_bn(x))"
F1 = "f = self.conv1(torch.relu(self.bn1(x)))"
F2 = "f = self.conv2(torch.relu(self.bn2(f)))"
SPLIT = "self.conv1(a)"

# What is done wrong -> the network, the edits, and the check that tells it first.
MUTATIONS: dict[str, tuple[str, list[Edit], str]] = {
    "the tail BN-ReLU is forgotten": (PREACT, [(TAIL, "x = x")], "structure: spec"),
    "the tail has BN and no ReLU": (
        PREACT,
        [(TAIL, "x = self.head_bn(x)")],
        "structure: spec",
    ),
    "the tail has ReLU and no BN": (
        PREACT,
        [(TAIL, "x = torch.relu(x)")],
        "structure: spec",
    ),
    "ReLU before BN": (
        PREACT,
        [(F1, "f = self.conv1(self.bn1(torch.relu(x)))")],
        "structure: spec",
    ),
    "a BN is moved behind the weight": (
        PREACT,
        [
            (F2, "f = self.bn2(self.conv2(torch.relu(f)))"),
        ],
        "structure: spec",
    ),
    "a ReLU is left out of F": (
        PREACT,
        [(F2, "f = self.conv2(self.bn2(f))")],
        "structure: spec",
    ),
    "a BN is left out of F": (
        PREACT,
        [(F2, "f = self.conv2(torch.relu(f))")],
        "structure: spec",
    ),
    "an extra ReLU after the addition": (
        PREACT,
        [("return x + f", "return torch.relu(x + f)")],
        "structure: spec",
    ),
    "an extra ReLU where it changes no number": (
        PREACT,
        [(TAIL, f"{TAIL}\n        x = torch.relu(x)")],
        "structure: spec",
    ),
    "the identity shortcut reads the activation": (
        PREACT,
        [
            (F1, "x = torch.relu(self.bn1(x))\n        f = self.conv1(x)"),
        ],
        "structure: spec",
    ),
    "the shortcut is on the un-activated side": (
        PREACT,
        [("h = self.h_option_a(a)", "h = self.h_option_a(x)")],
        "structure: spec",
    ),
    "the projection is on the un-activated side": (
        BOTTLENECK,
        [("h = self.h_conv(a)", "h = self.h_conv(x)")],
        "structure: spec",
    ),
    "F is on the un-activated side": (
        PREACT,
        [(SPLIT, "self.conv1(x)")],
        "structure: spec",
    ),
    "the addition is forgotten": (
        PREACT,
        [("return x + f", "return f")],
        "structure: spec",
    ),
    "the addition takes F twice": (
        PREACT,
        [("return x + f", "return f + f")],
        "structure: spec",
    ),
    "the difference instead of the sum": (
        PREACT,
        [("return x + f", "return x - f")],
        "structure: spec",
    ),
    "the stride is on the 3x3 convolution": (
        BOTTLENECK,
        [
            (
                "self.conv1 = nn.Conv2d(in_channels, width, 1, stride=stride, bias=False)",
                "self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)",
            ),
            (
                "self.bn1 = nn.BatchNorm2d(width)\n        self.conv2 = nn.Conv2d("
                "width, width, 3, padding=1, bias=False)",
                "self.bn1 = nn.BatchNorm2d(width)\n        self.conv2 = nn.Conv2d("
                "width, width, 3, stride=stride, padding=1, bias=False)",
            ),
        ],
        "structure: spec",
    ),
    "a stage does not stride": (
        PREACT,
        [("Entry(32, width=64, stride=2)", "Entry(32, width=64)")],
        "structure: spec",
    ),
    "another dilation with the padding that keeps the size": (
        PREACT,
        [
            (
                "self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)",
                "self.conv2 = nn.Conv2d(width, width, 3, padding=2, dilation=2, bias=False)",
            )
        ],
        "structure: spec",
    ),
    "a unit too few": (
        PREACT,
        [
            (
                "*(Body(32, width=32) for _ in range(2))",
                "*(Body(32, width=32) for _ in range(1))",
            )
        ],
        "parameters: module",
    ),
    "a unit too many": (
        PREACT,
        [
            (
                "*(Body(32, width=32) for _ in range(2))",
                "*(Body(32, width=32) for _ in range(3))",
            )
        ],
        "parameters: module",
    ),
    "all units of a stage are one": (
        PREACT,
        [("*(Body(32, width=32) for _ in range(2))", "*([Body(32, width=32)] * 2)")],
        "structure: spec",
    ),
    "a convolution with a bias": (
        PREACT,
        [
            (
                "self.stem_conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)",
                "self.stem_conv = nn.Conv2d(3, 16, 3, padding=1)",
            )
        ],
        "parameters: module",
    ),
    "a BN in the projection": (
        BOTTLENECK,
        [
            (
                "self.a_bn = nn.BatchNorm2d(in_channels)",
                "self.a_bn = nn.BatchNorm2d(in_channels)\n"
                "        self.h_bn = nn.BatchNorm2d(4 * width)",
            ),
            ("h = self.h_conv(a)", "h = self.h_bn(self.h_conv(a))"),
        ],
        "parameters: module",
    ),
    "no BN in the original projection": (
        ORIGINAL_BOTTLENECK,
        [("self.h_bn(self.h_conv(x))", "self.h_conv(x)")],
        "structure: spec",
    ),
    "another momentum of BN": (
        PREACT,
        [("nn.BatchNorm2d(64)", "nn.BatchNorm2d(64, momentum=0.9)")],
        "structure: spec",
    ),
    "another eps of BN": (
        PREACT,
        [("nn.BatchNorm2d(64)", "nn.BatchNorm2d(64, eps=1e-3)")],
        "structure: spec",
    ),
    "BN without running statistics": (
        PREACT,
        [("nn.BatchNorm2d(64)", "nn.BatchNorm2d(64, track_running_stats=False)")],
        "parameters: module",
    ),
    "two layers of one shape change places": (
        PREACT,
        [
            (F1, "f = self.conv2(torch.relu(self.bn1(x)))"),
            (F2, F2.replace("2(t", "1(t")),
        ],
        "structure: spec",
    ),
    "option A fills the wrong side": (
        ORIGINAL,
        [("(0, 0, 0, 0, 0, self.extra)", "(0, 0, 0, 0, self.extra, 0)")],
        "structure: spec",
    ),
    "option A takes the other pixels": (
        ORIGINAL,
        [("x[:, :, :: self.stride", "x[:, :, self.stride - 1 :: self.stride")],
        "structure: spec",
    ),
    "the final ReLU of the unit is on F": (
        ORIGINAL,
        [("return torch.relu(x + f)", "return x + torch.relu(f)")],
        "structure: spec",
    ),
    "BN after the addition goes back before it": (
        AFTER,
        [("self.out_bn(x + f)", "x + self.out_bn(f)")],
        "structure: spec",
    ),
    "a scale is left out": (
        SCALED,
        [("h = self.shortcut * x", "h = x")],
        "structure: spec",
    ),
    "another scale": (
        SCALED,
        [("self.residual = residual", "self.residual = 2 * residual")],
        "structure: spec",
    ),
    "the gate is on the wrong path": (
        GATED,
        [("h = carry * x", "h = g * x"), ("gated = g * f", "gated = carry * f")],
        "structure: spec",
    ),
    "the gate has no sigmoid": (
        GATED,
        [("g = torch.sigmoid(self.g_conv(x))", "g = self.g_conv(x)")],
        "structure: spec",
    ),
    "the gate's bias starts at 0": (
        GATED,
        [
            (
                "nn.init.constant_(self.g_conv.bias, bias)",
                "nn.init.zeros_(self.g_conv.bias)",
            )
        ],
        "initialisation",
    ),
    "dropout also at inference": (
        DROPPED,
        [
            (
                "h = self.h_dropout(x)",
                "h = nn.functional.dropout(x, 0.5, training=True)",
            )
        ],
        "structure: spec",
    ),
    "another rate of dropout": (
        DROPPED,
        [("nn.Dropout(0.5)", "nn.Dropout(0.2)")],
        "structure: spec",
    ),
    "the gradient is cut on the shortcut": (
        PREACT,
        [("return x + f", "return x.detach() + f")],
        "structure: spec",
    ),
    "max pooling instead of the mean": (
        PREACT,
        [
            (
                "functional.adaptive_avg_pool2d(x, 1)",
                "functional.adaptive_max_pool2d(x, 1)",
            )
        ],
        "structure: spec",
    ),
    "He's start by fan-in": (
        BOTTLENECK,
        [('mode="fan_out"', 'mode="fan_in"')],
        "initialisation",
    ),
    "the linear bias starts at random": (
        PREACT,
        [("        nn.init.zeros_(self.head_linear.bias)\n", "")],
        "initialisation",
    ),
    "another weight decay": (
        PREACT,
        [('"weight_decay": 0.0001', '"weight_decay": 0.0005')],
        "constants",
    ),
    "another input": (
        PREACT,
        [("INPUT_SHAPE = (3, 32, 32)", "INPUT_SHAPE = (3, 64, 64)")],
        "constants",
    ),
}


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_every_mistake_is_caught(mistake: str, tmp_path: Path) -> None:
    name, edits, check = MUTATIONS[mistake]
    found = failures(subject_of(name, tmp_path, *edits), structure_only=True)
    assert found, f"not caught: {mistake}"
    assert check in [f.name for f in found], found
    assert found[0].detail


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_no_mistake_is_caught_by_the_reference_alone(
    mistake: str, tmp_path: Path
) -> None:
    """A user's own spec has no network by hand: the graph itself must be enough."""
    name, edits, _ = MUTATIONS[mistake]
    subject = subject_of(name, tmp_path, *edits, by_hand=False)
    assert failures(subject, structure_only=True), f"not caught: {mistake}"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in MUTATIONS.values()}))
def test_without_a_mistake_all_is_well(name: str, tmp_path: Path) -> None:
    checks = list(verify(subject_of(name, tmp_path), Options()))
    assert [c for c in checks if c.verdict != "passed"] == []
    assert len(checks) >= 12


@pytest.mark.parametrize(
    ("edit", "node", "message"),
    [
        (
            (F2, "f = self.conv2(self.bn2(f))"),
            "stage1.1.relu2",
            "error 0.0e+00 before it",
        ),
        ((TAIL, "x = x"), "head_bn", "logits are off by"),
        (("Entry(32, width=64, stride=2)", "Entry(32, width=64)"), "", "[64, 16, 16]"),
    ],
)
def test_the_errors_where_they_part(
    edit: Edit, node: str, message: str, tmp_path: Path
) -> None:
    found = {c.name: c for c in failures(subject_of(PREACT, tmp_path, edit))}
    numbers = found["numbers where they part"]
    assert message in numbers.detail
    assert node in numbers.detail
    assert numbers.span is not None


def test_the_first_difference_is_named_with_its_line(tmp_path: Path) -> None:
    subject = subject_of(PREACT, tmp_path, (F2, "f = self.conv2(self.bn2(f))"))
    (spec, by_hand) = failures(subject, structure_only=True)
    assert spec.span is not None
    line = Path(spec.span.file).read_text().splitlines()[spec.span.line - 1]
    assert line.strip() == "- relu"
    assert "stage1.1.relu2" in spec.detail
    assert by_hand.name == "structure: by hand"
