"""What is said of ops, those of others among them."""

from __future__ import annotations

from typing import ClassVar

import pytest

from resgraph.ops import OPS, Op
from resgraph.ops.base import Fractional
from resgraph.ops.merge import Mul
from resgraph.ops.pointwise import Dropout, OneMinus, Relu, Scale
from resgraph.prove.prose import PROSE, Prose, formula, prose, slope
from resgraph.syntax import Name


class Leaky(Op):
    """As docs/adding-an-op.md has it: `slope` is an attribute of its own."""

    kind: ClassVar[str] = "leaky"
    slope: Fractional = 0.01


class Clipped(Relu):
    """A kind of ReLU."""

    kind: ClassVar[str] = "clipped"


def test_an_op_of_ones_own_needs_no_words() -> None:
    assert slope(Leaky()) == "the derivative of leaky"
    assert formula(Leaky(), Name("x")) is None
    assert prose(Leaky()) == Prose()


def test_an_op_of_ones_own_may_bring_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Prose(lambda op: f"1 or {op.slope:g}", on_shortcut="a leak")
    monkeypatch.setitem(PROSE, Leaky, said)
    assert slope(Leaky(slope=0.2)) == "1 or 0.2"
    assert prose(Leaky()).on_shortcut == "a leak"


def test_a_kind_of_an_op_is_told_of_as_it_is() -> None:
    assert slope(Clipped()) == "the ReLU mask [input > 0]"


def test_words_are_of_the_attributes_and_of_the_other_inputs() -> None:
    assert slope(Scale(factor=0.5)) == "0.5"
    assert slope(Mul(), "g", "1 - s") == "(g) * (1 - s)"
    assert slope(Dropout(rate=0.5)) == "a random mask, 2 with probability 0.5, else 0,"
    assert str(formula(OneMinus(), Name("g"))) == "1 - g"


def test_only_ops_of_the_language_are_told_of() -> None:
    assert {*PROSE} <= {*OPS.values()}
