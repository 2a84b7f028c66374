"""The memory planner on the CPU: bytes predicted and counted, and the time they cost.

Every way of training takes the same steps on the same images, one after the other in each
round, so that the ratios are of neighbours. Bytes are of saved tensors, counted by hooks.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from benchmarks.measure import ROOT, median, save
from benchmarks.report import write_tables
from benchmarks.training import wait
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.origin import origin
from resgraph.plan import plan, strategies
from resgraph.train import load_generated
from resgraph.train.execution import numerics
from resgraph.train.recompute import SavedBytes, planned


@dataclass
class Way:
    """One way of training: a network prepared for it, and what was measured."""

    name: str
    network: nn.Module
    predicted: int | None
    anew: float
    counted: int = 0
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None

    def step(self, images: Tensor, labels: Tensor) -> None:
        """A forward and backward, timed; on CUDA also its peak of memory."""
        cuda = images.device.type == "cuda"
        self.network.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        wait(images.device.type)
        start = time.perf_counter()
        loss = functional.cross_entropy(self.network(images), labels)
        torch.autograd.backward(loss)
        wait(images.device.type)
        self.seconds.append(time.perf_counter() - start)
        self.network.zero_grad(set_to_none=True)
        if cuda:
            self.peak = torch.cuda.max_memory_allocated()

    def count(self, images: Tensor) -> None:
        """Count the saved bytes of a step."""
        with SavedBytes(self.network) as saved:
            logits = self.network(images)
            logits.backward(torch.ones_like(logits))
        self.counted = saved.peak
        self.network.zero_grad(set_to_none=True)

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "predicted": self.predicted,
            "counted": self.counted,
            "anew": self.anew,
            "seconds": median(self.seconds),
            "fastest": round(min(self.seconds), 4),
            "peak_bytes": self.peak,
        }


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
    graph, ways = measured(options.network, options.batch, options.rounds, "cpu")
    save(
        "memory",
        {
            "network": options.network,
            "batch": options.batch,
            "rounds": options.rounds,
            "at_128": {p.name: p.peak for p in strategies(graph, 128)},
            "ways": [way.row() for way in ways],
        },
    )
    write_tables()


def measured(
    name: str, batch: int, rounds: int, device: str
) -> tuple[Graph, list[Way]]:
    """A network trained in all ways, in float32; bytes are counted first, which also warms up."""
    path = ROOT / "generated" / f"{name}.py"
    found = origin(path)
    assert found is not None
    graph = found.graph(Compiler())
    ways = list(_ways(graph, batch, load_generated(path).build, device))
    images = torch.randn(batch, *graph.input, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % 10
    with numerics("fp32"):
        for way in ways:
            way.count(images)
        for _ in range(rounds):
            for way in ways:
                way.step(images, labels)
    return graph, ways


def _ways(
    graph: Graph, batch: int, build: Callable[[], nn.Module], device: str
) -> Iterator[Way]:
    plans = list(strategies(graph, batch))
    plain = plans[0].peak
    with contextlib.suppress(ResgraphError):  # shallow networks cannot
        twelfth = plan(graph, batch, 4, plain // 12)
        plans.insert(-1, replace(twelfth, name="planned for a twelfth"))
    for made in plans:
        network = planned(_laid_out(build(), device), made)
        yield Way(made.name, network, made.peak, made.anew)
    network = _laid_out(build(), device)
    for name, stage in network.named_children():
        if name.startswith("stage"):
            stage.__class__ = _Checkpointed
    yield Way("torch.utils.checkpoint around each unit", network, None, 1.0)


def _laid_out(network: nn.Module, device: str) -> nn.Module:
    network.train().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


if __name__ == "__main__":
    main()
