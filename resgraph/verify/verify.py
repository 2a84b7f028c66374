"""All checks of one network, in the order in which they build on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resgraph.graph import Graph
from resgraph.infer.providers import provider_for
from resgraph.ops import Weight
from resgraph.train import Generated
from resgraph.verify import declared, state
from resgraph.verify.identity import identity_checks
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.models import onnx_checks, weights_of
from resgraph.verify.numbers import Batch
from resgraph.verify.parting import parted
from resgraph.verify.report import Check, Verdict, skipped
from resgraph.verify.runtime import OnnxModel
from resgraph.verify.structure import (
    Compared,
    Flows,
    against_graph,
    against_module,
    flows,
)
from resgraph.verify.trace import trace
from resgraph.verify.training import Comparison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Export = Callable[[Mapping[str, "NDArray[np.float32]"]], OnnxModel]
"""Write the graph as ONNX with these weights."""


@dataclass(frozen=True)
class Subject:
    """What is verified: a graph, the module generated from it, and its models."""

    graph: Graph
    generated: Generated
    export: Export
    model: OnnxModel | None = None
    """A model to verify; None: one is exported with the weights of the comparison."""
    reference: Callable[[], nn.Module] | None = None
    reference_name: str = ""


@dataclass(frozen=True)
class Options:
    """How large the comparison is, and where it runs."""

    batch: int = 4
    """Images of the comparison in training."""
    sizes: tuple[int, ...] = (1, 3)
    """Batches of the ONNX model."""
    seed: int = 0
    structure_only: bool = False
    device: str = "cpu"


def verify(subject: Subject, options: Options) -> Iterator[Check]:
    """The checks, as they are made.

    Raises `ResgraphError` where nothing can be compared: weights that are NaN, a module that
    cannot be traced or does not construct.
    """
    provider_for(options.device)  # what cannot be had is told before any work
    with _one_thread():
        yield from _Verification(subject, options).checks()


@contextmanager
def _one_thread() -> Iterator[None]:
    """For torch: the kernels of a few images are too small to be shared between threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class _Verification:
    subject: Subject
    options: Options

    @cached_property
    def ours(self) -> nn.Module:
        torch.manual_seed(self.options.seed)
        return self.subject.generated.build()

    @cached_property
    def theirs(self) -> nn.Module | None:
        return self.subject.reference() if self.subject.reference else None

    @cached_property
    def meant(self) -> Interpreter:
        with torch.device("meta"):  # its weights will be given to it
            return Interpreter(self.subject.graph)

    @cached_property
    def wanted(self) -> Mapping[str, Weight]:
        return declared.tensors(self.subject.graph)

    def checks(self) -> Iterator[Check]:
        sound = True
        for check in self._declared():
            sound = sound and check.verdict is Verdict.passed
            yield check
        our_flows = flows(self.ours, self.subject.graph)
        spec = against_graph(
            self.subject.graph, our_flows, flows(self.meant, self.subject.graph)
        )
        yield spec.check
        reference = self._reference(our_flows)
        if reference is not None:
            yield reference.check
        if self.options.structure_only:
            return
        if spec.match is None and sound:
            yield self._parted(spec.training)
        if spec.match is None or not sound:
            yield skipped("numbers", "what is above must be mended first")
            return
        start = self._start()
        if reference is None or reference.match is not None:
            yield from self._training(reference, start)
        else:
            yield skipped("numbers", "the reference's structure is another one already")
        meant = self._meant(start)  # anew: it may have been trained
        yield from self._models(start, meant)
        yield from self._identity(meant)

    def _declared(self) -> Iterator[Check]:
        """Constants, parameters, their start."""
        yield declared.constants(self.subject.graph, self.subject.generated)
        sound = declared.parameters(self.wanted, self.ours.state_dict(), "module")
        yield sound
        if sound.verdict is Verdict.passed:
            yield declared.start(self.wanted, self.ours.state_dict())
        if self.subject.model is not None:
            given = weights_of(self.subject.model)
            yield declared.parameters(self.wanted, given, "ONNX")

    def _reference(self, ours: Flows) -> Compared | None:
        if self.theirs is None:
            return None
        flow = trace(self.theirs, self.subject.graph.input, training=True)
        return against_module(
            self.subject.graph, ours.training, flow, self.subject.reference_name
        )

    # --- numbers ----------------------------------------------------------------------

    @cached_property
    def batch(self) -> Batch:
        graph = self.subject.graph
        generator = torch.Generator().manual_seed(self.options.seed)
        images = torch.randn(self.options.batch, *graph.input, generator=generator)
        classes = graph.typed(graph.head_run).output[0]
        labels = torch.randint(classes, (len(images),), generator=generator)
        return Batch(images, labels)

    def _start(self) -> dict[str, Tensor]:
        """The weights of the comparison: the model's own, or stirred ones."""
        model = self.subject.model
        if model is None:
            generator = torch.Generator().manual_seed(self.options.seed)
            state.prepare(self.ours, self.batch.images, generator)
        else:
            given = weights_of(model)
            state.refuse_nan(given, model.path.as_posix())
            state.load(self.ours, given, {name: name for name in self.wanted})
        return state.copied(self.ours)

    def _parted(self, training: bool) -> Check:
        """The first node at which the module is another than the graph, in numbers."""
        start = self._start()
        meant = self._meant(start)
        return parted(self.subject.graph, self.ours, meant, self.batch.images, training)

    def _training(
        self, reference: Compared | None, start: dict[str, Tensor]
    ) -> Iterator[Check]:
        """Beside the reference, or beside the graph itself where there is none."""
        names = {name: name for name in self.wanted}
        theirs, what, exactly = self.theirs, self.subject.reference_name, False
        if theirs is None or reference is None or reference.match is None:
            theirs, what, exactly = self._meant(start), "spec", True
        else:
            names, exactly = dict(reference.match.weights), reference.exactly
            state.load(theirs, start, names)
        comparison = Comparison(
            self.subject.graph,
            self.ours,
            theirs,
            self.meant,
            names,
            start,
            exactly,
            what,
        )
        yield from comparison.checks(self.batch, self.subject.generated.recipe)

    def _meant(self, start: Mapping[str, Tensor]) -> Interpreter:
        """The graph's own network with these weights."""
        meant = self.meant.to_empty(device="cpu")
        state.load(meant, start, {name: name for name in self.wanted})
        return meant

    def _identity(self, meant: Interpreter) -> Iterator[Check]:
        """The paper's equations, where the topology has identity paths."""
        exact = deepcopy(meant).double().train()
        few = Batch(self.batch.images[:2], self.batch.labels[:2]).double()
        yield from identity_checks(self.subject.graph, exact, few)

    def _models(
        self, start: Mapping[str, Tensor], meant: Interpreter
    ) -> Iterator[Check]:
        model = self.subject.model
        if model is None:
            model = self.subject.export(
                {name: start[name].numpy() for name in self.wanted}
            )
        generator = torch.Generator().manual_seed(self.options.seed + 1)
        shape = self.subject.graph.input
        batches = [
            torch.randn(size, *shape, generator=generator)
            for size in self.options.sizes
        ]
        devices = ["cpu"] + (["cuda"] if self.options.device == "cuda" else [])
        yield from onnx_checks(self.subject.graph, model, meant, batches, devices)
