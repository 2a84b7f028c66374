"""BN over all ranks, in double precision, beside torch's BN over the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.train.distributed import ALONE, World, joined, parallel
from resgraph.train.syncbn import SyncBatchNorm, synchronise
from tests.training.processes import run_ranks

STEPS, BATCH = 4, 12


def network(momentum: float | None) -> nn.Module:
    """Two BNs, one of them without weights; in double precision."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4, momentum=momentum),
        nn.ReLU(),
        nn.Conv2d(4, 3, 3, bias=False),
        nn.BatchNorm2d(3, affine=False),
        nn.Flatten(),
        nn.Linear(3 * 16, 5),
    )
    return nn.Sequential(*layers).double()


def trained(world: World, momentum: float | None) -> dict[str, Tensor]:
    """The state_dict after a few steps, each rank on its part of every batch."""
    net = network(momentum)
    if world.size > 1:
        synchronise(net, torch.device("cpu"))
    model = parallel(net, world, sync_bn=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        # A mean far from 0, where a sum of squares would lose the variance.
        images = torch.randn(BATCH, 2, 6, 6, generator=generator).double() + 100
        labels = torch.randint(0, 5, (BATCH,), generator=generator)
        share = world.share(BATCH)
        part = slice(share.start, share.stop)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images[part]), labels[part])
        torch.autograd.backward(loss)
        optimizer.step()
    return net.state_dict()


def on_rank(folder: Path, momentum: float | None) -> None:
    with joined(cuda=False) as world:
        torch.save(trained(world, momentum), folder / f"rank{world.rank}.pt")


@pytest.mark.parametrize(("ranks", "momentum"), [(2, 0.1), (3, None)])
def test_the_ranks_together_are_one(
    tmp_path: Path, ranks: int, momentum: float | None
) -> None:
    assert run_ranks(ranks, on_rank, tmp_path, momentum) == [0] * ranks
    wanted = trained(ALONE, momentum)
    for rank in range(ranks):
        state = torch.load(tmp_path / f"rank{rank}.pt")
        assert list(state) == list(wanted)
        for name in wanted:
            torch.testing.assert_close(state[name], wanted[name], rtol=0, atol=1e-10)


def test_conversion_changes_the_class_alone() -> None:
    net = network(0.1)
    before = net.state_dict()
    synchronise(net, torch.device("cpu"))
    assert [type(m) for m in net].count(SyncBatchNorm) == 2
    assert list(net.state_dict()) == list(before)
    images = torch.randn(3, 2, 6, 6).double()
    assert torch.equal(net.eval()(images), network(0.1).eval()(images))


def test_on_cuda_the_modules_are_torchs() -> None:
    """By the same names, with the same weights and running statistics."""
    net = network(0.1)
    before = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    synchronise(net, torch.device("cuda"))
    assert [type(m) for m in net].count(nn.SyncBatchNorm) == 2
    after = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert list(after) == list(before)
    assert all(after[name] is tensor for name, tensor in before.items())
