"""The networks that are compared, and everything that verification compares of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from resgraph.cli.subjects import exporter
from resgraph.compiler import Compiler
from resgraph.emit.torch_source import torch_source
from resgraph.files import staged
from resgraph.graph import Graph
from resgraph.verify import Options, Present, Subject, load_generated
from resgraph.verify.numbers import (
    UPDATES,
    Numbers,
    Point,
    gradients,
    inference,
    stepped,
)
from resgraph.verify.numbers import Subject as Computed
from resgraph.verify.rounding import DOUBLE
from resgraph.verify.tolerance import Deviation, deviation
from resgraph.verify.training import Comparison, Reference, same_bits
from resgraph.verify.verify import Verification
from tests.conftest import ROOT
from tests.helpers import FIELD, SPECS, graph_of

Mode = AbstractContextManager[object]
"""A mode of torch, under which a network computes with other kernels or other formulas."""


@dataclass(frozen=True)
class Named:
    """A network by its spec, its name and its settings."""

    spec: str
    network: str | None = None
    settings: tuple[str, ...] = ()

    def graph(self) -> Graph:
        return graph_of(ROOT / self.spec, *self.settings, network=self.network)

    @property
    def label(self) -> str:
        depth = "".join(f"@{s.partition('=')[2]}" for s in self.settings)
        return f"{self.network or Path(self.spec).stem}{depth}"


def _spec(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def committed() -> tuple[Named, ...]:
    """The networks of `generated/`, the deepest last."""
    specs = sorted((ROOT / "specs").glob("*.yaml"))
    found = [(g, _spec(p)) for p in specs for g in Compiler().graphs(p)]
    found.sort(key=lambda one: sum(1 for _ in one[0].parts()))
    return tuple(Named(spec, graph.name) for graph, spec in found)


def is_deep(named: Named) -> bool:
    """Over a thousand layers."""
    return named.label.startswith(("resnet1001", "resnet1202"))


def is_deeper(named: Named) -> bool:
    """Over 110 layers."""
    return is_deep(named) or named.label.startswith("resnet164")


FIELD_NETWORKS = tuple(
    Named(_spec(path)) for path in (*FIELD, *sorted(SPECS.glob("*.yaml")))
)
"""Published designs, and the tests' own, each by its first and smallest network."""


@dataclass
class Compared:
    """A network, its generated module, and what verification holds it to."""

    named: Named
    folder: Path
    options: Options

    def __post_init__(self) -> None:
        self.graph = self.named.graph()
        self.source = torch_source(self.graph, self.folder)
        self.verification = Verification(self.subject(self.source), self.options)

    def subject(self, source: str) -> Subject:
        """The graph beside a generated file of this text."""
        path = self.folder / f"{self.graph.name}.py"
        path.write_text(source, encoding="utf-8")
        made = exporter(self.graph, self.folder)
        return Subject(self.graph, Present(load_generated(path)), made)

    @property
    def start(self) -> Mapping[str, Tensor]:
        return self.verification.start

    def module(self) -> nn.Module:
        """The generated network in float32, with the weights of the comparison."""
        network = self.verification.subject.witness.generated.build()
        network.load_state_dict(dict(self.start), strict=False)
        return network

    def keep(self, folder: Path) -> None:
        """Save the weights and the noisy runs of float32 for other processes."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"start": dict(self.start), "runs": self.verification.inference.runs}
        with staged(folder) as stage:
            torch.save(kept, stage / f"{self.named.label}.pt")

    def take(self, folder: Path) -> bool:
        """Use what another process has kept, if it has: the same network, noise and all."""
        path = folder / f"{self.named.label}.pt"
        if not path.is_file():
            return False
        kept = torch.load(path)
        vars(self.verification)["start"] = kept["start"]
        self.verification.inference.runs.update(kept["runs"])
        return True

    def comparison(self) -> Comparison:
        return self.verification.against_graph()


@contextmanager
def compared(named: Named, **options: object) -> Iterator[Compared]:
    """The network in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Compared(named, Path(folder), Options(**options))


def computed_under(
    mode: Callable[[], Mode], network: nn.Module, reference: Reference
) -> list[Numbers]:
    """What a network computes from the reference's points under a mode, a new one each time."""
    subject = Computed(network, {name: name for name in reference.start})
    images = reference.batch.images
    found = [inference(subject, reference.start, images, mode())]
    found += [_step(mode, subject, point, reference) for point in reference.points]
    return found


def _step(
    mode: Callable[[], Mode], subject: Computed, point: Point, reference: Reference
) -> Numbers:
    found = gradients(subject, point, reference.batch, mode())
    return found | {UPDATES: stepped(found, point, reference.rule).updates}


def deviations(
    reference: Reference, computed: list[Numbers]
) -> Iterator[tuple[str, Deviation]]:
    """Every quantity's tensor that is furthest off."""
    for index, numbers in enumerate(computed):
        for quantity, ours in numbers.items():
            yield quantity, _deviation(reference, index, quantity, ours)


def _deviation(
    reference: Reference, index: int, quantity: str, ours: Mapping[str, Tensor]
) -> Deviation:
    exact = reference.exact[index][quantity]
    if same_bits(ours, exact):  # nothing that noise could say
        name = next(iter(ours))
        return Deviation(name, 0.0, 0.0, float(exact[name].norm()))
    return deviation(
        ours,
        exact,
        lambda run: reference.noisy(index, run)[quantity],
        DOUBLE,
        reference.floors(index, quantity),
    )
