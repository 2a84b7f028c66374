"""What a verification asks of a module, the generated one or another, and nothing else of it.

Whoever answers, in this process or in another, only describes and computes: what is right is
decided by who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resgraph.train import Generated
from resgraph.verify import state
from resgraph.verify.flow import Flow, Flows
from resgraph.verify.numbers import (
    Batch,
    Exact,
    Numbers,
    Point,
    Subject,
    inference,
    step,
)
from resgraph.verify.returned import by_name
from resgraph.verify.rule import Rule
from resgraph.verify.structure import flows
from resgraph.verify.trace import record


@dataclass(frozen=True)
class Declared:
    """The constants of a generated file."""

    input_shape: tuple[int, ...]
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class Naming:
    """A module's own names by ours; its outputs, in its order, by ours, each with its shape
    without the batch; and for each of its dropouts, in order, the number of ours."""

    names: Mapping[str, str]
    outputs: Mapping[str, Sequence[int]]
    chances: Sequence[int] = ()


@dataclass(frozen=True)
class Task:
    """What is to be computed, in float64: inference at the first point, a step from each."""

    points: Sequence[Point]
    batch: Batch
    rule: Rule
    trained: Sequence[str]
    """The names of the tensors that a step must change."""
    naming: Naming


class Module(Protocol):
    """A torch module, as far as it is asked."""

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        """A new network's state_dict, initialised from this seed."""

    def flows(self, shape: Sequence[int]) -> Flows:
        """What it computes of images of this shape, found without numbers."""

    def computed(self, task: Task) -> Sequence[Numbers]:
        """The numbers of inference, and of each step, by our names."""

    def recorded(
        self,
        naming: Naming,
        tensors: Mapping[str, Tensor],
        images: Tensor,
        training: bool,
    ) -> Flow:
        """What it computes on these weights and images in float64, with every value."""


class Witness(Module, Protocol):
    """The generated module."""

    def declared(self) -> Declared:
        """Its file's constants."""

    def outputs(
        self,
        shapes: Mapping[str, Sequence[int]],
        tensors: Mapping[str, Tensor],
        images: Tensor,
        device: str,
    ) -> Mapping[str, Tensor]:
        """In float32 at inference on `cpu` or `cuda`, TF32 off; by these names, in order, of
        these shapes without the batch."""


class Here:
    """A module in this process, made anew whenever it is needed as it was."""

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        self.build = build

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        torch.manual_seed(seed)
        return dict(self.build().state_dict())

    def flows(self, shape: Sequence[int]) -> Flows:
        return flows(self.build(), shape)

    def computed(self, task: Task) -> Sequence[Numbers]:
        subject, tensors = self._subject(task.naming), task.points[0].tensors
        steps = [step(subject, point, task.batch, task.rule) for point in task.points]
        return [inference(subject, tensors, task.batch.images), *steps]

    def recorded(
        self,
        naming: Naming,
        tensors: Mapping[str, Tensor],
        images: Tensor,
        training: bool,
    ) -> Flow:
        return recorded(self._subject(naming), tensors, images, training)

    @cached_property
    def _exact(self) -> nn.Module:
        # A new one: a copy would leave out hooks on parameters, which training would call.
        return self.build().double()

    def _subject(self, naming: Naming) -> Subject:
        return Subject(self._exact, naming.names, naming.chances, [*naming.outputs])


class Present(Here):
    """A witness in this process: the file has been imported."""

    def __init__(self, generated: Generated) -> None:
        super().__init__(generated.build)
        self.generated = generated

    def declared(self) -> Declared:
        found = self.generated
        return Declared(found.input_shape, found.recipe.as_dict())

    def outputs(
        self,
        shapes: Mapping[str, Sequence[int]],
        tensors: Mapping[str, Tensor],
        images: Tensor,
        device: str,
    ) -> Mapping[str, Tensor]:
        network = self.build()
        state.load(network, tensors, {name: name for name in tensors})
        with torch.no_grad(), without_tf32():
            given = images.clone().to(device)
            found = network.to(device).eval()(given)
        named = by_name(found, [*shapes], type(network).__name__)
        return {name: tensor.cpu() for name, tensor in named.items()}


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions and products of float32 in float32, for a while."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def recorded(
    subject: Subject, tensors: Mapping[str, Tensor], images: Tensor, training: bool
) -> Flow:
    """The flow of a network in float64 with these weights, with the value of every step."""
    state.load(subject.network, tensors, subject.names)
    torch.manual_seed(0)
    with Exact(subject.chances):
        return record(subject.network.train(training), images.clone())
