"""What drawings say of ops: of all of ours, of an op of one's own, of one with findings."""

from __future__ import annotations

from typing import ClassVar

import pytest

from resgraph.draw import draw_unit
from resgraph.draw.labels import LABELS, Label, label, sign
from resgraph.graph import Instance
from resgraph.ops import OPS, Op, Role
from resgraph.ops.base import Count
from resgraph.ops.unknown import unknown
from tests.draw.common import groups, parsed
from tests.draw.test_svg import body, texts
from tests.helpers import SPECS, graph_of
from tests.test_own_ops import with_op


class LeakyRelu(Op):
    """Not one of ours."""

    kind: ClassVar[str] = "leaky_relu"
    role: ClassVar[Role] = Role.ACTIVATION
    percent: Count = 1


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("conv", {"kernel": 3, "channels": 16}, "3x3 conv, 16"),
        ("conv", {"kernel": 1, "channels": 8, "stride": 2}, "1x1 conv, 8, stride 2"),
        ("max_pool", {"kernel": 2}, "2x2 max pool"),
        ("avg_pool", {"kernel": 3, "stride": 1}, "3x3 avg pool, stride 1"),
        ("global_avg_pool", {"keepdim": True}, "global avg pool"),
        ("option_a", {"channels": 32, "stride": 2}, "option A, 32, stride 2"),
        ("scale", {"factor": 0.5}, "\N{MULTIPLICATION SIGN} 0.5"),
        ("dropout", {"rate": 0.2 / 3}, "dropout 0.06667"),
        ("bn", {}, "BN"),
        ("flatten", {}, "flatten"),
    ],
)
def test_labels(kind: str, given: dict[str, object], said: str) -> None:
    assert label(OPS[kind].model_validate(given)) == said


def test_signs() -> None:
    signs = {kind: sign(OPS[kind].model_construct()) for kind in OPS}
    assert {kind: each for kind, each in signs.items() if each} == {
        "add": "+",
        "mul": "\N{MULTIPLICATION SIGN}",
        "concat": "||",
    }


def test_an_op_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    op = LeakyRelu(percent=10)
    assert label(op) == "leaky relu, percent 10"
    graph = with_op(graph_of(SPECS / "tiny.yaml"), "body", "relu1", op)
    (unit,) = [r.instances[0] for _, runs in graph.stages for r in runs][:1]
    assert "leaky relu, percent 10" in texts(parsed(draw_unit(unit)))
    monkeypatch.setitem(LABELS, LeakyRelu, Label(lambda op: f"leak {op.percent} %"))
    assert label(op) == "leak 10 %"
    monkeypatch.setitem(LABELS, LeakyRelu, Label(sign="~"))
    root = parsed(draw_unit(unit))
    assert "~" in texts(root)
    names = {g.attrib["data-node"] for g in groups(root, "merge")}
    assert "relu1" in names


def test_ops_with_findings_say_their_kind() -> None:
    assert label(unknown("conv", {"channels": 3})) == "conv"
    assert sign(unknown("add")) == "+"
    assert (label(unknown("rellu")), sign(unknown("rellu"))) == ("rellu", "")


def test_a_unit_has_the_label_of_each_op() -> None:
    instance: Instance = body("preact_basic")
    told = texts(parsed(draw_unit(instance)))
    assert {sign(n.op) or label(n.op) for n in instance.block.ops} <= {*told}
