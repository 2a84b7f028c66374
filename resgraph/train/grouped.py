"""What a step does once for all layers and not layer by layer: casts, and BN's counts.

Under autocast each convolution casts its own weight before and its gradient afterwards, and
each BN counts the batch with a kernel of its own: for ResNet-1001 five thousand small
kernels a step. Here each kind is one operation over a list of tensors. No number changes:
the layers read the same bfloat16 weights, and the same gradients reach the optimiser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class BatchCounts:
    """BN's counts of batches. Only a BN without momentum, which averages, reads its own."""

    def __init__(self, network: nn.Module) -> None:
        self._norms = [
            module
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.momentum is not None
        ]

    @contextlib.contextmanager
    def grouped(self) -> Iterator[None]:
        """A step: within it no BN counts, and then all count one batch."""
        counted = [
            (n, c)
            for n in self._norms
            if n.training and (c := n.num_batches_tracked) is not None
        ]
        for norm, _ in counted:
            norm.num_batches_tracked = None
        try:
            yield
        finally:
            for norm, count in counted:
                norm.num_batches_tracked = count
        if counted:
            torch._foreach_add_([count for _, count in counted], 1)


class WorkingWeights:
    """bfloat16 copies of the weights that autocast would cast, for the time of a step."""

    def __init__(self, network: nn.Module) -> None:
        self._places = [
            (module, name)
            for module in network.modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))
            for name, weight in module.named_parameters(recurse=False)
            if weight.dtype == torch.float32 and weight.requires_grad
        ]
        self._masters = [getattr(module, name) for module, name in self._places]
        self._copies = [_copy(master) for master in self._masters]
        self._gradients = [torch.zeros_like(master) for master in self._masters]

    @contextlib.contextmanager
    def grouped(self) -> Iterator[None]:
        """Forward and backward of a step, on the copies; then the masters have gradients."""
        if not self._masters:
            yield
            return
        with torch.no_grad():
            torch._foreach_copy_([*self._copies], [*self._masters])
        for copy in self._copies:
            copy.grad = None
        self._install(self._copies)
        try:
            yield
        finally:
            self._install(self._masters)
        with torch.no_grad():
            self._hand_over()

    def _install(self, weights: list[nn.Parameter]) -> None:
        for (module, name), weight in zip(self._places, weights, strict=True):
            module._parameters[name] = weight

    def _hand_over(self) -> None:
        """Give each master its copy's gradient; none to those whose copy has none."""
        targets, sources = [], []
        for master, copy, target in zip(
            self._masters, self._copies, self._gradients, strict=True
        ):
            master.grad = None if copy.grad is None else target
            if copy.grad is not None:
                targets.append(target)
                sources.append(like(copy.grad, target))
        if targets:
            torch._foreach_copy_(targets, sources)


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """The tensor in the strides of another of its shape, without a copy where it can be.

    Kernels over lists of tensors ask for equal strides, also along a dimension of size 1,
    where any stride means the same memory: there a 1x1 convolution's gradient has others
    than its weight.
    """
    if tensor.stride() == other.stride():
        return tensor
    pairs = zip(tensor.stride(), other.stride(), tensor.shape, strict=True)
    if all(ours == theirs for ours, theirs, size in pairs if size > 1):
        return tensor.as_strided(other.shape, other.stride())
    return torch.empty_like(other).copy_(tensor)


def on_the_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, in plain row-major layout.

    From a GPU they come by one transfer for each dtype: a thousand small ones take longer
    to ask for than to send.
    """
    named = {name: tensor.detach() for name, tensor in tensors.items()}
    if not any(tensor.is_cuda for tensor in named.values()):
        return {name: tensor.cpu().contiguous() for name, tensor in named.items()}
    found: dict[str, Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in named.values()):
        group = {k: t for k, t in named.items() if t.dtype == dtype}
        together = torch.cat([t.contiguous().flatten() for t in group.values()]).cpu()
        parts = torch.split(together, [t.numel() for t in group.values()])
        for (name, tensor), part in zip(group.items(), parts, strict=True):
            found[name] = part.clone().view(tensor.shape)
    return {name: found[name] for name in named}


def _copy(master: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(master.detach().to(torch.bfloat16))
