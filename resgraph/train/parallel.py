"""A network as it is trained on several ranks: torch's DistributedDataParallel."""

from __future__ import annotations

import warnings

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from resgraph.train.world import World


def parallel(network: nn.Module, world: World, sync_bn: bool) -> nn.Module:
    """What to train in the network's place: itself, if this rank is alone.

    Else its gradients become the mean over all ranks, and all ranks start from the
    writer's weights. With `sync_bn` BN's statistics are those of all ranks' images, which
    `synchronise` has seen to; without, each rank's own, and the writer's are kept.
    The network must be on its device.
    """
    if world.size == 1:
        return network
    with warnings.catch_warnings():
        # The newest torch has another name for it, which the oldest that serves lacks.
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        return DistributedDataParallel(
            network, broadcast_buffers=not sync_bn, gradient_as_bucket_view=True
        )
