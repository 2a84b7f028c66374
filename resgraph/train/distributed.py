"""The processes that train one network together, as torchrun starts them.

Each process is a rank. All ranks hold the same weights and go through the same steps, each
on its part of every batch; rank 0 alone writes files and tells the user.
"""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from resgraph.diagnostics import ResgraphError, UsageError

T = TypeVar("T")


class OtherRankError(ResgraphError):
    """An error that another rank met, and tells: this one only ends with it."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is, and what they decide together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine: the number of its CUDA device."""
    control: Any = None
    """The process group for decisions, on the CPU whatever the network is on."""

    @property
    def is_writer(self) -> bool:
        """Whether this rank writes the run's files and shows its progress."""
        return self.rank == 0

    @property
    def suffix(self) -> str:
        """What tells this rank's random numbers from the first one's, which has none."""
        return "" if self.is_writer else f" of rank {self.rank}"

    def share(self, count: int) -> range:
        """This rank's part of `count` things, contiguous; all parts together are all."""
        first = count * self.rank // self.size
        return range(first, count * (self.rank + 1) // self.size)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank. All ranks must ask."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag))
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self.control)
        return bool(votes.item())

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, on the tensor's device. All ranks must ask."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def from_writer(self, action: Callable[[], T]) -> T:
        """What `action` returns on the writer, on all ranks; it runs there alone.

        Where it fails, all ranks end: the writer with its error, the others with
        `OtherRankError`.
        """
        if self.size == 1:
            return action()
        if not self.is_writer:
            told: T = self._told()
            return told
        try:
            result = action()
        except Exception as error:
            hint = getattr(error, "hint", None)
            self._tell((None, (str(error), hint)))
            raise
        self._tell((result, None))
        return result

    def after_writer(self, action: Callable[[], T]) -> T:
        """What `action` returns on each rank; the writer runs it before the others.

        So what it leaves on disk, such as a decoded data set, is made once.
        """
        made: list[T] = []
        self.from_writer(lambda: made.append(action()))
        return made[0] if made else action()

    def equalise(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the writer's values of these tensors. All ranks must ask."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def _tell(self, told: tuple[Any, tuple[str, str | None] | None]) -> None:
        """Send the others a result, or an error's message and hint."""
        dist.broadcast_object_list([told], src=0, group=self.control)

    def _told(self) -> Any:
        """What the writer sends."""
        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, group=self.control)
        result, error = box[0]
        if error is not None:
            raise OtherRankError(*error)
        return result


ALONE = World()


def world_here() -> World:
    """The world that torchrun's variables tell of; `ALONE` without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    return World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))


@contextlib.contextmanager
def joined(cuda: bool) -> Iterator[World]:
    """Join the other processes that torchrun started: by NCCL on CUDA, else by Gloo.

    Raises `ResgraphError` if there are fewer CUDA devices than processes, or if another
    process is lost.
    """
    world = world_here()
    if world.size == 1:
        yield world
        return
    if cuda:
        _take_device(world)
    try:
        dist.init_process_group("nccl" if cuda else "gloo")
        control = dist.new_group(backend="gloo") if cuda else None
        yield replace(world, control=control)
    except BaseException as error:
        _let_go(error)
        if not _is_of_the_connection(error):
            raise
        lost = ResgraphError(
            f"rank {world.rank} lost the other ranks: {str(error).partition(chr(10))[0]}",
            "the one that ended first says why; go on with --resume if the run had begun",
        )
        for note in getattr(error, "__notes__", ()):
            lost.add_note(note)
        raise lost from None
    finally:
        gc.collect()  # as in _let_go
        if dist.is_initialized():
            dist.destroy_process_group()


def _let_go(error: BaseException) -> None:
    """Free what the error's frames hold, such as a network that is trained in parallel.

    It must not outlive the process group: freed after it, it may wait for ever.
    """
    traceback.clear_frames(error.__traceback__)


def _take_device(world: World) -> None:
    """Let this process use the CUDA device of its number."""
    count = torch.cuda.device_count()
    if world.local_rank >= count:
        raise UsageError(
            f"rank {world.rank} has no CUDA device: there are {count} here",
            f"start torchrun with --nproc-per-node {count}, or train with --device cpu",
        )
    torch.cuda.set_device(world.local_rank)


def _is_of_the_connection(error: BaseException) -> bool:
    """Whether NCCL or Gloo raised it; Gloo has no class of its own for that."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


# --- torch's DistributedDataParallel --------------------------------------------------


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
