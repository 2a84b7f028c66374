"""Figures of He, Zhang, Ren, Sun, ECCV 2016 (arXiv 1603.05027), by our networks' names.

Test errors in percent on CIFAR, each the median of five runs; `sole` marks those that we
have from one conversion of the paper's text alone, printed with a dagger.
"""

from __future__ import annotations

from dataclasses import dataclass

FAIL_ABOVE = 20.0
"""Percent of test error above which the paper prints "fail"."""


@dataclass(frozen=True)
class Value:
    """A test error as the paper prints it."""

    error: float | None
    """Percent; None is "fail"."""
    sole: bool = False
    mean: float | None = None
    """Of the five runs, where the paper has it, with their standard deviation."""
    std: float | None = None

    def __str__(self) -> str:
        text = "fail" if self.error is None else f"{self.error:.2f}"
        text += "†" * self.sole
        return text if self.mean is None else f"{text} ({self.mean} ± {self.std})"


@dataclass(frozen=True)
class Entry:
    """A network in one of the paper's tables."""

    network: str
    variant: str
    data: str
    value: Value


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables."""

    number: int
    title: str
    entries: tuple[Entry, ...]


def _fail(sole: bool = False) -> Value:
    return Value(None, sole)


def _sole(error: float) -> Value:
    return Value(error, sole=True)


def _on_cifar10(*rows: tuple[str, str, Value]) -> tuple[Entry, ...]:
    return tuple(
        Entry(name, variant, "CIFAR-10", value) for name, variant, value in rows
    )


def _on_cifar100(*rows: tuple[str, str, Value]) -> tuple[Entry, ...]:
    return tuple(
        Entry(name, variant, "CIFAR-100", value) for name, variant, value in rows
    )


_SHORTCUTS = _on_cifar10(
    ("resnet110_original", "a  original", Value(6.61)),
    ("resnet110_scale_0_1", "b  scaling: shortcut 0, F 1 (plain net)", _fail(True)),
    ("resnet110_scale_05_1", "b  scaling: shortcut 0.5, F 1", _fail(True)),
    ("resnet110_scale_05_05", "b  scaling: shortcut 0.5, F 0.5", _sole(12.35)),
    ("resnet110_exclusive_gating_b0", "c  exclusive gating, b_g = 0", _fail()),
    ("resnet110_exclusive_gating_b5", "c  exclusive gating, b_g = -5", _fail()),
    ("resnet110_exclusive_gating_b6", "c  exclusive gating, b_g = -6", Value(8.70)),
    ("resnet110_exclusive_gating_b7", "c  exclusive gating, b_g = -7", _sole(9.81)),
    ("resnet110_shortcut_gating_b0", "d  shortcut-only gating, b_g = 0", Value(12.86)),
    ("resnet110_shortcut_gating_b6", "d  shortcut-only gating, b_g = -6", _sole(6.91)),
    ("resnet110_conv_shortcut", "e  1x1 conv shortcut", Value(12.22)),
    ("resnet110_dropout_shortcut", "f  dropout shortcut, 0.5", _fail(True)),
)
_ACTIVATIONS = _on_cifar10(
    ("resnet110_original", "a  original, 110", Value(6.61)),
    ("resnet164_original", "a  original, 164", Value(5.93)),
    ("resnet110_bn_after_add", "b  BN after addition, 110", Value(8.17)),
    ("resnet164_bn_after_add", "b  BN after addition, 164", _sole(6.50)),
    ("resnet110_relu_before_add", "c  ReLU before addition, 110", Value(7.84)),
    ("resnet164_relu_before_add", "c  ReLU before addition, 164", _sole(6.14)),
    ("resnet110_relu_only_preact", "d  ReLU-only pre-activation, 110", Value(6.71)),
    ("resnet164_relu_only_preact", "d  ReLU-only pre-activation, 164", _sole(5.91)),
    ("resnet110", "e  full pre-activation, 110", Value(6.37)),
    ("resnet164", "e  full pre-activation, 164", Value(5.46)),
)
_DEPTHS = (
    *_on_cifar10(
        ("resnet110_1layer_original", "CIFAR-10, 110 (1layer), baseline", Value(9.90)),
        ("resnet110_1layer", "CIFAR-10, 110 (1layer), pre-activation", _sole(8.91)),
        ("resnet110_original", "CIFAR-10, 110, baseline", Value(6.61)),
        ("resnet110", "CIFAR-10, 110, pre-activation", Value(6.37)),
        ("resnet164_original", "CIFAR-10, 164, baseline", Value(5.93)),
        ("resnet164", "CIFAR-10, 164, pre-activation", Value(5.46)),
        ("resnet1001_original", "CIFAR-10, 1001, baseline", Value(7.61)),
        (
            "resnet1001",
            "CIFAR-10, 1001, pre-activation",
            Value(4.92, mean=4.89, std=0.14),
        ),
    ),
    *_on_cifar100(
        ("resnet164_original_cifar100", "CIFAR-100, 164, baseline", Value(25.16)),
        ("resnet164_cifar100", "CIFAR-100, 164, pre-activation", _sole(24.33)),
        ("resnet1001_original_cifar100", "CIFAR-100, 1001, baseline", _sole(27.82)),
        (
            "resnet1001_cifar100",
            "CIFAR-100, 1001, pre-activation",
            Value(22.71, mean=22.68, std=0.22),
        ),
    ),
)

TABLES = (
    PaperTable(1, "Shortcuts (Fig. 2), ResNet-110 on CIFAR-10, f = ReLU", _SHORTCUTS),
    PaperTable(2, "Where BN and ReLU sit (Fig. 4), on CIFAR-10", _ACTIVATIONS),
    PaperTable(3, "Original units against full pre-activation", _DEPTHS),
)
