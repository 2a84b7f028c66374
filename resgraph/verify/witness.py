"""What a verification asks of the module that is verified, and nothing else of it.

Whoever answers, in this process or in another, only describes and computes: what is right is
decided by who asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resgraph.train import Generated
from resgraph.verify import state
from resgraph.verify.flow import Flow
from resgraph.verify.numbers import (
    Batch,
    Exact,
    Numbers,
    Point,
    Sgd,
    Subject,
    inference,
    step,
)
from resgraph.verify.structure import Flows, flows
from resgraph.verify.trace import record


@dataclass(frozen=True)
class Declared:
    """The constants of a generated file."""

    input_shape: tuple[int, ...]
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """What is to be computed, in float64: inference at the first point, a step from each."""

    points: Sequence[Point]
    batch: Batch
    sgd: Sgd
    trained: Sequence[str]
    """The names of the tensors that a step must change."""


class Witness(Protocol):
    """A generated module, as far as it is asked."""

    def declared(self) -> Declared:
        """Its constants."""

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        """A new network's state_dict, initialised from this seed."""

    def flows(self) -> Flows:
        """What it computes, from shapes alone."""

    def computed(self, task: Task) -> Sequence[Numbers]:
        """The numbers of inference, and of each step."""

    def logits(
        self, tensors: Mapping[str, Tensor], images: Tensor, device: str
    ) -> Tensor:
        """[N, classes] in float32 at inference on `cpu` or `cuda`, TF32 off."""

    def recorded(
        self, tensors: Mapping[str, Tensor], images: Tensor, training: bool
    ) -> Flow:
        """What it computes on these weights and images in float64, with every value."""


@dataclass(frozen=True)
class Present:
    """A witness in this process: the file has been imported."""

    generated: Generated

    def declared(self) -> Declared:
        found = self.generated
        return Declared(found.input_shape, found.recipe.as_dict())

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        torch.manual_seed(seed)
        return dict(self.generated.build().state_dict())

    def flows(self) -> Flows:
        return flows(self._network, self.generated.input_shape)

    def computed(self, task: Task) -> Sequence[Numbers]:
        subject = self._subject(task.points[0].tensors)
        steps = [step(subject, point, task.batch, task.sgd) for point in task.points]
        tensors = task.points[0].tensors
        return [inference(subject, tensors, task.batch.images), *steps]

    def logits(
        self, tensors: Mapping[str, Tensor], images: Tensor, device: str
    ) -> Tensor:
        network = self.generated.build()
        state.load(network, tensors, {name: name for name in tensors})
        with torch.no_grad(), without_tf32():
            given = images.clone().to(device)
            logits: Tensor = network.to(device).eval()(given)
        return logits.cpu()

    def recorded(
        self, tensors: Mapping[str, Tensor], images: Tensor, training: bool
    ) -> Flow:
        return recorded(self._subject(tensors), tensors, images, training)

    @cached_property
    def _network(self) -> nn.Module:
        return self.generated.build()

    @cached_property
    def _exact(self) -> nn.Module:
        # A new one: a copy would leave out hooks on parameters, which training would call.
        return self.generated.build().double()

    def _subject(self, names: Mapping[str, Any]) -> Subject:
        return Subject(self._exact, {name: name for name in names})


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
