"""What a network computes, in inference and in training: everything in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from resgraph.names import LOGITS
from resgraph.verify import state
from resgraph.verify.calls import function_name, named
from resgraph.verify.returned import by_name
from resgraph.verify.rounding import Rounding
from resgraph.verify.rule import Rule, State, Stepped, formula_step, torch_step

Numbers = dict[str, dict[str, Tensor]]
"""Quantity -> name -> values."""

STEPS = 3
INFERENCE, TRAINING = "logits at inference", "logits in training"
GRADIENTS, STATISTICS = "gradients", "BN running statistics"
UPDATES = "updates"


@dataclass(frozen=True)
class Batch:
    """Images [N, C, H, W] and labels [N] in so many classes."""

    images: Tensor
    labels: Tensor
    smoothing: float = 0.0
    """Of the labels, in the loss."""

    def double(self) -> Batch:
        """The same images in float64."""
        return replace(self, images=self.images.double())


@dataclass(frozen=True)
class Point:
    """Where a step of training starts: all tensors, and what the optimiser keeps."""

    tensors: Mapping[str, Tensor]
    state: State = field(default_factory=dict)
    steps: int = 0
    """How many came before."""


@dataclass(frozen=True)
class Subject:
    """A network to compute with: its names by ours, its dropouts by ours, in order, and what
    we call each of its outputs, in order."""

    network: nn.Module
    names: Mapping[str, str]
    chances: Sequence[int] = ()
    outputs: Sequence[str] = (LOGITS,)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Its outputs by our names, of images [N, C, H, W]."""
        what = type(self.network).__name__
        return by_name(self.network(images), self.outputs, what)


class Exact(TorchFunctionMode):
    """float64 throughout, and the same masks of dropout wherever the calls stand.

    What a module casts to float32 or makes in it stays in float64. The k-th call of dropout
    draws the mask of number `chances[k]`, or k.
    """

    def __init__(self, chances: Sequence[int] = ()) -> None:
        super().__init__()
        self._chances, self._calls = chances, 0

    def __enter__(self) -> Exact:
        self._default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch.set_default_dtype(self._default)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name, kwargs = function_name(func), kwargs or {}
        if func is Tensor.float:
            return args[0].double()
        if name == "dropout":
            given = named(name, args, kwargs)
            rate = given.get("p", 0.5)
            if given.get("training", True) and rate:
                return given["input"] * self._mask(given["input"], rate)
        args = tuple(map(_widened, args))
        return func(*args, **{key: _widened(value) for key, value in kwargs.items()})

    def _mask(self, x: Tensor, rate: float) -> Tensor:
        k, self._calls = self._calls, self._calls + 1
        number = self._chances[k] if k < len(self._chances) else k
        draw = torch.rand(x.shape, generator=torch.Generator().manual_seed(number))
        return (draw >= rate) / (1 - rate) if rate < 1 else torch.zeros_like(x)


def _widened(argument: Any) -> Any:
    """An argument that says float32 says float64; any other as it is."""
    if isinstance(argument, torch.dtype | type | str):
        return _WIDE.get(argument, argument)
    return argument


_WIDE: dict[Any, Any] = {
    torch.float32: torch.float64,
    torch.FloatTensor: torch.DoubleTensor,
    "torch.FloatTensor": "torch.DoubleTensor",
}


def inference(
    subject: Subject,
    tensors: Mapping[str, Tensor],
    images: Tensor,
    noise: Rounding | None = None,
) -> Numbers:
    """The outputs with these weights and statistics: logits [N, classes] of a classifier."""
    state.load(subject.network, tensors, subject.names)
    images = images.clone()  # a module that changes its input changes no one else's
    subject.network.eval()
    with torch.no_grad(), Exact(), noise or nullcontext():
        return {INFERENCE: subject(images)}


def gradients(
    subject: Subject, point: Point, batch: Batch, noise: Rounding | None = None
) -> Numbers:
    """The outputs in training, all gradients, and BN's statistics after this batch."""
    network, names = subject.network, subject.names
    state.load(network, point.tensors, names)
    network.train().zero_grad(set_to_none=True)
    torch.manual_seed(0)  # whatever else is random in a module
    images = batch.images.clone()
    with Exact(subject.chances), noise or nullcontext():
        outputs = subject(images)
        total = loss(outputs, batch)
        if total.requires_grad:  # else no output depends on a weight
            torch.autograd.backward(total)
    buffers = dict(network.named_buffers())
    found = {
        TRAINING: {name: value.detach() for name, value in outputs.items()},
        GRADIENTS: {
            # A linear layer may be a 1x1 convolution there, with a weight of four axes.
            n: _gradient(p).reshape(point.tensors[n].shape)
            for n, p in trained(subject).items()
        },
        STATISTICS: {n: buffers[t].clone() for n, t in names.items() if t in buffers},
    }
    return {quantity: values for quantity, values in found.items() if values}


def loss(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """The cross-entropy of logits, and the mean square of whatever else there is: a number in
    which each output takes part."""
    found = [
        functional.cross_entropy(
            output, batch.labels % output.shape[1], label_smoothing=batch.smoothing
        )
        if output.dim() == 2
        else (output * output).mean()
        for _, output in sorted(outputs.items())
    ]
    return sum(found[1:], start=found[0])


def trained(subject: Subject) -> dict[str, nn.Parameter]:
    """The network's parameters by our names."""
    own = dict(subject.network.named_parameters())
    return {n: own[theirs] for n, theirs in subject.names.items() if theirs in own}


def step(subject: Subject, point: Point, batch: Batch, rule: Rule) -> Numbers:
    """The same, and the updates: weights after a step of torch's optimiser minus before.

    A weight that no output depends on has a gradient of zeros, as by the formula: torch
    would leave it out of the step, weight decay included, where it has none.
    """
    found = gradients(subject, point, batch)
    parameters = trained(subject)
    if not parameters:
        return found
    for parameter in parameters.values():
        parameter.grad = _gradient(parameter)
    torch_step(parameters, rule, point.state, point.steps)
    updates = {
        name: parameter.detach().reshape(point.tensors[name].shape)
        - point.tensors[name]
        for name, parameter in parameters.items()
    }
    return found | {UPDATES: updates}


def stepped(found: Numbers, point: Point, rule: Rule) -> Stepped:
    """What the step changes, from gradients, by the formula of the optimiser."""
    gradients = found.get(GRADIENTS, {})
    return formula_step(gradients, point.tensors, rule, point.state, point.steps)


def _gradient(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    return torch.zeros_like(parameter) if gradient is None else gradient.clone()


def rate(found: Numbers, tensors: Mapping[str, Tensor], rule: Rule) -> float:
    """A learning rate at which a step changes the weights by a thousandth of their norm.

    At most the rule's own, that of the warm-up. In networks whose gradients explode, a whole
    step would leave nothing of the weights.
    """
    gradients = found.get(GRADIENTS, {})
    slope = _norm(gradients.values())
    if rule.recipe.optimizer.normalises:  # then each number is moved by about the rate
        slope = math.sqrt(sum(g.numel() for g in gradients.values()))
    norm = _norm(tensors[name] for name in gradients)
    return min(rule.lr, 1e-3 * norm / slope) if slope > 0 else rule.lr


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.square().sum()) for tensor in tensors))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many for torch, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
