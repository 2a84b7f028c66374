"""What a check of structure says had to be allowed for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resgraph.verify.isomorphism import Match, match, written_alike
from resgraph.verify.structure import against_module, flows
from tests.diff.common import network

Form = Callable[[Tensor, Tensor, Tensor], Tensor]
IN_ORDER, UP_TO_ORDER = "same ops in the same order", "the same up to order"
WAYS: dict[str, tuple[Form, str]] = {
    "as it is": (lambda a, b, c: (a + b) + c, IN_ORDER),
    "operands swapped": (lambda a, b, c: c + (b + a), UP_TO_ORDER),
    "regrouped": (lambda a, b, c: a + (b + c), f"{UP_TO_ORDER} and rounding"),
    "stacked": (
        lambda a, b, c: torch.stack([a, b, c]).sum(0),
        f"{UP_TO_ORDER} and rounding",
    ),
}


class Three(nn.Module):
    """Three values that differ, and a sum of them."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, torch.relu(x), torch.sigmoid(x))


@pytest.mark.parametrize("way", WAYS)
def test_order_and_rounding_are_told_apart(way: str) -> None:
    form, words = WAYS[way]
    ours, theirs = (
        flows(Three(f), (4, 8, 8)) for f in (lambda a, b, c: (a + b) + c, form)
    )
    check = against_module(network("preact_basic"), ours, theirs, "by hand").check
    assert check.verdict == "passed"
    assert check.detail.endswith(f": {words}")
    assert isinstance(match(ours.inference, theirs.inference), Match)
    alike = written_alike(ours.inference, theirs.inference)
    assert alike == ("rounding" not in words)
