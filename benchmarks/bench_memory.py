"""The memory planner on the CPU: bytes predicted and counted, and the time they cost.

Every way of training takes the same steps on the same images, one after the other in each
round, so that the ratios are of neighbours. Bytes are of saved tensors, counted by hooks.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from benchmarks.measure import ROOT, median, save
from benchmarks.report import write_tables
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.origin import origin
from resgraph.plan import plan, strategies
from resgraph.train import load_generated
from resgraph.train.memory import planned
from resgraph.train.saved import SavedBytes


@dataclass
class Way:
    """One way of training: a network prepared for it, and what was measured."""

    name: str
    network: nn.Module
    predicted: int | None
    anew: float
    counted: int = 0

    def step(self, images: Tensor, labels: Tensor) -> float:
        """Seconds of a forward and backward."""
        self.network.zero_grad(set_to_none=True)
        start = time.perf_counter()
        loss = functional.cross_entropy(self.network(images), labels)
        torch.autograd.backward(loss)
        return time.perf_counter() - start

    def count(self, images: Tensor, labels: Tensor) -> None:
        """Count the saved bytes of a step."""
        with SavedBytes(self.network) as saved:
            logits = self.network(images)
            logits.backward(torch.ones_like(logits))
        self.counted = saved.peak


class _Checkpointed(nn.Sequential):
    """The plain alternative: torch's checkpoint around each unit."""

    def forward(self, x: Tensor) -> Tensor:
        for unit in self:
            x = checkpoint(unit, x, use_reentrant=False)
        return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet1001")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    path = ROOT / "generated" / f"{options.network}.py"
    found = origin(path)
    assert found is not None
    graph = found.graph(Compiler())
    generated = load_generated(path)
    ways = list(_ways(graph, options.batch, generated.build))
    channels, *size = graph.input
    images = torch.randn(options.batch, channels, *size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(options.batch) % 10
    for way in ways:
        way.count(images, labels)
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(options.rounds):
        for way, seconds in zip(ways, times, strict=True):
            seconds.append(way.step(images, labels))
    save(
        "memory",
        {
            "network": options.network,
            "batch": options.batch,
            "rounds": options.rounds,
            "at_128": {p.name: p.peak for p in strategies(graph, 128)},
            "ways": [
                {
                    "name": way.name,
                    "predicted": way.predicted,
                    "counted": way.counted,
                    "anew": way.anew,
                    "seconds": median(seconds),
                    "fastest": min(seconds),
                }
                for way, seconds in zip(ways, times, strict=True)
            ],
        },
    )
    write_tables()


def _ways(graph: Graph, batch: int, build: Callable[[], nn.Module]) -> Iterator[Way]:
    plans = list(strategies(graph, batch))
    plain = plans[0].peak
    with contextlib.suppress(ResgraphError):  # shallow networks cannot
        twelfth = plan(graph, batch, 4, plain // 12)
        plans.insert(-1, replace(twelfth, name="planned for a twelfth"))
    for made in plans:
        network = planned(_laid_out(build()), made)
        yield Way(made.name, network, made.peak, made.anew)
    network = _laid_out(build())
    for name, stage in network.named_children():
        if name.startswith("stage"):
            stage.__class__ = _Checkpointed
    yield Way("torch.utils.checkpoint around each unit", network, None, 1.0)


def _laid_out(network: nn.Module) -> nn.Module:
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


if __name__ == "__main__":
    main()
