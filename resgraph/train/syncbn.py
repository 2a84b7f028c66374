"""Batch normalisation over the batch of all ranks together.

So that two ranks at batch B/2 follow one rank at batch B. On CUDA torch's own module does
it; that one refuses the CPU, where the one here is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_OVER = (0, 2, 3)  # images, rows and columns: all but the channels


def synchronise(network: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm2d of a network take its statistics over all ranks.

    Weights and running statistics stay the tensors they are, by the same names. On CUDA the
    modules become torch's, new ones in the places of the old.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm


class SyncBatchNorm(nn.BatchNorm2d):
    """A BatchNorm2d whose batch, in training, is that of all ranks."""

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training or self.running_mean is None):
            return super().forward(input)
        self._check_input_dim(input)
        mean, variance, count = _moments(input.detach())
        self._track(mean, variance * count / (count - 1))
        inverse = torch.rsqrt(variance + self.eps)
        result: Tensor = _Normalise.apply(
            input, self.weight, self.bias, mean, inverse, count
        )  # type: ignore[no-untyped-call]
        return result

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Bring the running statistics on, as BatchNorm2d does: an unbiased variance."""
        if self.running_mean is None or self.running_var is None:
            return
        if not self.track_running_stats:  # a forward done anew: they have this batch
            return
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if share is None:  # then the mean over all batches
                share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share or 0.0)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share or 0.0)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance per channel over all ranks, and how many values they are of.

    The ranks' own means and squared deviations from them are merged, which loses nothing
    where the mean is large (Chan, Golub, LeVeque 1983).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, _OVER, correction=0)
    count = torch.full_like(mean[:1], x.numel() / x.shape[1])
    mine = torch.cat([mean, variance, count])
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    sizes = [len(mean), len(mean), 1]
    means, variances, counts = torch.split(torch.stack(every), sizes, dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    deviations = counts * (variances + (means - mean) ** 2)
    return mean, deviations.sum(0) / total, total


class _Normalise(Function):
    """(x - mean) * inverse * weight + bias, where mean and inverse are of all ranks' x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        inverse: Tensor,
        count: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse, count)
        y = (x - _wide(mean)) * _wide(inverse)
        if weight is not None and bias is not None:
            y = y * _wide(weight) + _wide(bias)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        normalised = (x - _wide(mean)) * _wide(inverse)
        gradient = gradient.to(normalised.dtype)
        to_bias = gradient.sum(_OVER)
        to_weight = (gradient * normalised).sum(_OVER)
        # x moves the mean and the variance, which the y of all ranks depend on.
        sums = torch.stack([to_bias, to_weight])
        dist.all_reduce(sums)
        by_mean, by_deviation = (_wide(part) for part in sums / count)
        scale = inverse if weight is None else inverse * weight
        to_x = (gradient - by_mean - normalised * by_deviation) * _wide(scale)
        affine = (None, None) if weight is None else (to_weight, to_bias)
        return to_x.to(x.dtype), *affine, None, None, None


def _wide(per_channel: Tensor) -> Tensor:
    """[C] as [1, C, 1, 1]."""
    return per_channel.view(1, -1, 1, 1)
