"""What the planner's tests share: a network trained plainly, and as a plan says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resgraph.compiler import Compiler
from resgraph.graph import Graph
from resgraph.plan import Plan
from resgraph.train.module import parted
from resgraph.train.recompute import SavedBytes, planned
from tests.conftest import ROOT
from tests.helpers import module_of

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
BATCH = 3


def shallow(spec: Path) -> Graph:
    """A spec's first network, with few units a stage."""
    depth = Fraction(29 if "bottleneck" in spec.stem else 20)
    compiler = Compiler()
    name = compiler.names(spec)[0]
    return compiler.graphs(spec, name, {"depth": depth})[0]


@dataclass
class Step:
    """What one forward and backward left behind."""

    outputs: tuple[Tensor, ...]
    gradients: dict[str, Tensor | None]
    buffers: dict[str, Tensor]
    drawn: Tensor
    """The next random numbers."""
    peak: int
    """Bytes saved at most."""
    left: int
    """Bytes still saved in the end."""

    def equals(self, other: Step) -> bool:
        """Bitwise, memory left out."""
        gradients = _paired(self.gradients, other.gradients)
        return self.equals_forward(other) and all(torch.equal(*g) for g in gradients)

    def equals_forward(self, other: Step) -> bool:
        """The same of all but gradients."""
        pairs = itertools.chain(
            zip(self.outputs, other.outputs, strict=True),
            [(self.drawn, other.drawn)],
            _paired(self.buffers, other.buffers),
        )
        return all(torch.equal(a, b) for a, b in pairs)

    def is_near(self, other: Step) -> bool:
        """Bitwise, memory left out, but for the order in which gradients are added: of
        float64, half of the digits of the largest of them."""
        gradients = [*_paired(self.gradients, other.gradients)]
        assert all(b.dtype == torch.float64 for _, b in gradients)
        largest = max((float(b.abs().max()) for _, b in gradients), default=0.0)
        near = torch.finfo(torch.float64).eps ** 0.5 * largest
        return self.equals_forward(other) and all(
            torch.allclose(a, b, rtol=0, atol=near) for a, b in gradients
        )


def _paired(
    one: dict[str, Tensor | None], two: dict[str, Tensor | None]
) -> Iterator[tuple[Tensor, Tensor]]:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        other = two[name]
        assert (tensor is None) == (other is None)
        if tensor is not None and other is not None:
            yield tensor, other


class Trainer:
    """Trains a graph's generated network for one step."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        module = module_of(graph, folder)
        self.graph = graph
        self.build: type[nn.Module] = getattr(module, module.__all__[0])

    def step(
        self,
        plan: Plan | None = None,
        images: int = BATCH,
        dtype: torch.dtype = torch.float32,
    ) -> Step:
        torch.manual_seed(1)
        network = self.build().to(dtype)
        x = torch.randn(images, *self.graph.input).to(dtype)
        if plan is not None:
            planned(network, plan)
        with SavedBytes(network) as saved:
            outputs, _ = parted(network(x))
            torch.autograd.backward(
                outputs,
                [
                    torch.linspace(-1, 1, y.numel()).view_as(y).to(dtype)
                    for y in outputs
                ],
            )
        return Step(
            tuple(output.detach() for output in outputs),
            {name: p.grad for name, p in network.named_parameters()},
            dict(network.named_buffers()),
            torch.rand(4),
            saved.peak,
            saved.now,
        )


@pytest.fixture(params=SPECS, ids=lambda spec: spec.stem)
def trainer(request: pytest.FixtureRequest, tmp_path: Path) -> Trainer:
    """A shallow network of each spec."""
    return Trainer(shallow(request.param), tmp_path)
