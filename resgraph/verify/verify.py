"""All checks of one network, in the order in which they build on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resgraph.graph import Graph
from resgraph.infer.providers import provider_for
from resgraph.ops import Weight
from resgraph.verify import declared, numbers, state
from resgraph.verify.flow import Flows
from resgraph.verify.identity import identity_checks
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.models import (
    Inference,
    OnnxComparison,
    refuse_other_outputs,
    weights_of,
)
from resgraph.verify.numbers import Batch
from resgraph.verify.places import parted
from resgraph.verify.report import Check, Verdict, skipped
from resgraph.verify.rule import Rule
from resgraph.verify.runtime import OnnxModel
from resgraph.verify.structure import (
    Compared,
    against_graph,
    against_module,
    as_unproven,
    flows,
)
from resgraph.verify.training import Comparison, Reference
from resgraph.verify.witness import Module, Naming, Witness, recorded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEC = "spec"
"""What the graph itself is called in the checks."""
Export = Callable[[Mapping[str, "NDArray[np.float32]"]], OnnxModel]
"""Write the graph as ONNX with these weights."""


@dataclass(frozen=True)
class Subject:
    """What is verified: a graph, the module generated from it, and its models."""

    graph: Graph
    witness: Witness
    """Of the generated module."""
    export: Export
    model: OnnxModel | None = None
    """A model to verify; None: one is exported with the weights of the comparison."""
    reference: Module | None = None
    """Another author's network, by hand or anyone's."""
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
    steps: int = numbers.STEPS
    """Steps of training."""
    threads: int = 1
    """Of torch: the kernels of a few images are too small to be shared between several."""


def verify(subject: Subject, options: Options) -> Iterator[Check]:
    """The checks, as they are made.

    Raises `ResgraphError` where nothing can be compared: weights that are NaN, a module that
    cannot be traced or does not construct.
    """
    provider_for(options.device)  # what cannot be had is told before any work
    with numbers.threads(options.threads):
        yield from Verification(subject, options).checks()


@dataclass
class Verification:
    """The checks of one network, and what they compare, made when it is asked for."""

    subject: Subject
    options: Options

    @property
    def graph(self) -> Graph:
        return self.subject.graph

    @cached_property
    def initial(self) -> Mapping[str, Tensor]:
        return self.subject.witness.initial(self.options.seed)

    @cached_property
    def meant(self) -> Interpreter:
        with torch.device("meta"):  # its weights will be given to it
            return Interpreter(self.graph)

    @cached_property
    def wanted(self) -> Mapping[str, Weight]:
        return self.graph.tensors()

    def checks(self) -> Iterator[Check]:
        sound = True
        for check in self._declared():
            sound = sound and check.verdict is Verdict.passed
            yield check
        ours = self.subject.witness.flows(self.graph.input)
        spec = against_graph(self.graph, ours, flows(self.meant, self.graph.input))
        reference = self._compared(ours)
        if self.options.structure_only or not sound:
            yield from (compared.check for compared in (spec, reference) if compared)
            if not self.options.structure_only:
                yield skipped("numbers", "what is above must be mended first")
            return
        equal = True
        for check in self._numbers(spec, reference):
            equal = equal and check.verdict is not Verdict.failed
            yield check
        if equal and not self.reference.finite:
            why = "the network's own values are not finite"
            yield skipped("float32, ONNX and Eq. (4), (5)", why)
        elif equal:
            yield from self._models()
            yield from self._identity()

    def _declared(self) -> Iterator[Check]:
        """Constants, parameters, their start."""
        yield declared.constants(self.graph, self.subject.witness.declared())
        sound = declared.parameters(self.wanted, self.initial, "module")
        yield sound
        if sound.verdict is Verdict.passed:
            yield declared.start(self.wanted, self.initial)
        if self.subject.model is not None:
            refuse_other_outputs(self.subject.model, self.graph)
            given = weights_of(self.subject.model)
            yield declared.parameters(self.wanted, given, "ONNX")

    def _compared(self, ours: Flows) -> Compared | None:
        """The other author's structure, if there is one."""
        if self.subject.reference is None:
            return None
        theirs = self.subject.reference.flows(self.graph.input)
        return against_module(self.graph, ours, theirs, self.subject.reference_name)

    # --- numbers ----------------------------------------------------------------------

    def _numbers(self, spec: Compared, other: Compared | None) -> Iterator[Check]:
        """Both structures, each with the numbers of its module beside the graph's own."""
        if not spec.comparable:
            yield spec.check
            yield skipped("numbers", "what is above must be mended first")
            return
        if spec.match is None:
            yield from self._unproven(spec, self.against_graph())
            if other is not None:
                yield other.check
            return
        yield spec.check
        yield from self.against_graph().checks()
        if other is None:
            return
        if other.match is not None:
            yield other.check
            yield from self._other(other, other.match.weights).checks()
        elif other.guess is not None:
            yield from self._unproven(other, self._other(other, other.guess))
        else:
            yield other.check
            yield skipped("numbers", "what is above must be mended first")

    def _unproven(self, compared: Compared, comparison: Comparison) -> Iterator[Check]:
        """The structure is another one: the numbers say whether the network is."""
        found = []
        for check in comparison.checks():
            found.append(check)
            if check.verdict is not Verdict.passed:
                break
        else:
            yield as_unproven(compared, comparison.largest)
            yield from found
            return
        yield compared.check
        if comparison.what == SPEC:
            yield self._parted(compared.training)
        yield skipped("numbers", "what is above must be mended first")

    def against_graph(self) -> Comparison:
        """The generated module beside the graph."""
        witness = self.subject.witness
        return Comparison(self.graph, witness, self._own, self.reference, SPEC)

    def _other(self, compared: Compared, names: Mapping[str, str]) -> Comparison:
        """The other author's module beside the graph; it has these names for our tensors."""
        assert self.subject.reference is not None
        outputs = {name: self._shapes[name] for name in compared.outputs}
        naming = Naming(names, outputs, compared.chances)
        what, module = self.subject.reference_name, self.subject.reference
        return Comparison(self.graph, module, naming, self.reference, what)

    @property
    def _own(self) -> Naming:
        names = {name: name for name in self.wanted}
        return Naming(names, self._shapes)

    @property
    def _shapes(self) -> Mapping[str, Sequence[int]]:
        """Of the outputs, without the batch."""
        shapes = self.graph.network.shapes
        return {name: shapes[value] for name, value in self.graph.outputs.items()}

    @cached_property
    def exact(self) -> numbers.Subject:
        """The graph's own network, in float64."""
        naming = self._own
        network = self._meant().double()
        return numbers.Subject(network, naming.names, outputs=[*naming.outputs])

    @cached_property
    def reference(self) -> Reference:
        """What it computes, which all is held to."""
        return Reference(
            self.exact,
            self._doubles,
            self.batch.double(),
            self.rule,
            self.options.seed,
            self.options.steps,
        )

    @cached_property
    def rule(self) -> Rule:
        """A step of the spec's recipe."""
        return Rule.of(self.graph)

    @cached_property
    def batch(self) -> Batch:
        generator = torch.Generator().manual_seed(self.options.seed)
        images = torch.randn(self.options.batch, *self.graph.input, generator=generator)
        shapes = [*self._shapes.values()]
        classes = max((s[0] for s in shapes if len(s) == 1), default=1)
        labels = torch.randint(classes, (len(images),), generator=generator)
        return Batch(images, labels, self.rule.recipe.label_smoothing)

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """The weights of the comparison, float32: the model's own, or stirred ones."""
        model = self.subject.model
        if model is not None:
            given = weights_of(model)
            state.refuse_nan(given, model.path.as_posix())
            return {name: given[name] for name in self.wanted}
        network = self._filled(self.initial)
        generator = torch.Generator().manual_seed(self.options.seed)
        state.prepare(network, self.batch.images, generator)
        found = state.copied(network)
        return {name: found[name] for name in self.wanted}

    @cached_property
    def _doubles(self) -> dict[str, Tensor]:
        return {name: tensor.double() for name, tensor in self.start.items()}

    def _meant(self) -> Interpreter:
        """The graph's own network with the weights of the comparison."""
        return self._filled(self.start)

    def _filled(
        self, tensors: Mapping[str, Tensor], single: bool = False
    ) -> Interpreter:
        with torch.device("meta"):
            network = Interpreter(self.graph, single)
        network.to_empty(device="cpu")
        state.load(network, tensors, {name: name for name in self.wanted})
        return network

    def _parted(self, training: bool) -> Check:
        """The first node at which the module is another than the graph, in numbers."""
        images, start = self.batch.images.double(), self._doubles
        ours = self.subject.witness.recorded(self._own, start, images, training)
        return parted(self.graph, ours, recorded(self.exact, start, images, training))

    @cached_property
    def batches(self) -> list[Tensor]:
        """Images [N, C, H, W] for what is computed in float32."""
        generator = torch.Generator().manual_seed(self.options.seed + 1)
        return [
            torch.randn(size, *self.graph.input, generator=generator)
            for size in self.options.sizes
        ]

    @cached_property
    def inference(self) -> Inference:
        """What float32 is held to."""
        return Inference(self.graph, self._filled(self.start, single=True))

    @cached_property
    def model(self) -> OnnxModel:
        """The model to verify; or one with the weights of the comparison."""
        given = {name: tensor.numpy() for name, tensor in self.start.items()}
        return self.subject.model or self.subject.export(given)

    def _models(self) -> Iterator[Check]:
        devices = ["cpu"] + (["cuda"] if self.options.device == "cuda" else [])
        images = self.batches[-1]
        for device in devices:
            found = self.subject.witness.outputs(
                self._shapes, self.start, images, device
            )
            yield self.inference.judged(f"torch on {device}", found, images)
        models = OnnxComparison(self.inference, self.model)
        yield from models.checks(self.batches, devices)

    def _identity(self) -> Iterator[Check]:
        """The paper's equations, where the topology has identity paths."""
        exact = deepcopy(self._meant()).double().train()
        few = Batch(self.batch.images[:2], self.batch.labels[:2]).double()
        yield from identity_checks(self.graph, exact, few)
