"""A network, its optimiser and its data on one device: single steps and tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.data import Dataset
from resgraph.train.augment import Draws, sent
from resgraph.train.batches import Batches, Normalise, seed_of
from resgraph.train.compiled import compile_units, failures_explained, uncompiled
from resgraph.train.cudagraph import GraphedStep
from resgraph.train.execution import Execution
from resgraph.train.memory import Recompute, planned
from resgraph.train.parallel import parallel
from resgraph.train.precision import autocast
from resgraph.train.recipe import Recipe
from resgraph.train.world import ALONE, World

_TEST_BATCH = 500


class Engine:
    """Steps of SGD as He et al. (ECCV 2016) train on CIFAR; the host never waits.

    The losses are added up on the device, and only `mean_loss` reads them there.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        recipe: Recipe,
        seed: int,
        execution: Execution,
        world: World = ALONE,
        sync_bn: bool = True,
        recompute: Recompute | None = None,
    ) -> None:
        device = execution.device
        self.format = (
            torch.channels_last if execution.channels_last else torch.contiguous_format
        )
        # torch's annotations lack the form of `to` with a memory format alone.
        network.to(device).to(memory_format=self.format)  # type: ignore[call-overload]
        if recompute is not None:
            planned(network, recompute)
        if execution.fused_kernels:
            from resgraph.train.fused import fuse  # which needs Triton

            fuse(network)
        elif execution.compile:
            compile_units(network, whole=world.size == 1)
        self.network = network
        self.world = world
        self.sync_bn = sync_bn
        self.parallel = parallel(network, world, sync_bn)
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.execution = execution
        self.batches = Batches(
            data, recipe, seed, device, rank=world.rank, ranks=world.size
        )
        self.test = (
            torch.from_numpy(data.test_images),
            torch.from_numpy(data.test_labels),
        )
        self.normalise = Normalise(data, device)
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.optimizer = self._optimizer()
        self._graphed: GraphedStep | None = None

    def _optimizer(self) -> torch.optim.SGD:
        lr: float | Tensor = self.recipe.lr
        if self.execution.cuda_graph:  # a number would be recorded as it was then
            lr = torch.tensor(lr, device=self.device)
        return torch.optim.SGD(
            self.network.parameters(),
            lr=lr,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
            nesterov=self.recipe.nesterov,
            fused=self.execution.fused or None,  # None lets torch choose
        )

    def step(self, iteration: int) -> None:
        """One step of SGD, the iterations counted from 0.

        Raises `ResgraphError` at the first step if the network cannot be compiled, or the
        step not be recorded, as was chosen.
        """
        self._set_lr(self.recipe.lr_at(iteration))
        torch.manual_seed(seed_of(self.seed, f"dropout{self.world.suffix}", iteration))
        indices, draws = self.batches.prepare(iteration)
        inputs = [indices, draws.top, draws.left, draws.mirrored]
        self.network.train()
        compiles = self.execution.compile
        with failures_explained() if compiles else contextlib.nullcontext():
            if self.execution.cuda_graph:
                self._replay(inputs)
            else:
                self._advance([sent(tensor, self.device) for tensor in inputs])
        self.loss_count += 1

    def _advance(self, inputs: Sequence[Tensor]) -> None:
        """The device's part of a step, all in place: what a CUDA graph records."""
        indices, *drawn = inputs
        images, labels = self.batches.build(indices, Draws(*drawn))
        images = images.contiguous(memory_format=self.format)
        with autocast(self.device, self.execution.precision):
            loss = functional.cross_entropy(self.parallel(images), labels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.loss_sum += loss.detach()

    def _replay(self, inputs: Sequence[Tensor]) -> None:
        """The same by a CUDA graph."""
        if self._graphed is None:
            changed = [
                *self.network.parameters(),
                *self.network.buffers(),
                *self._momentum(),
                self.loss_sum,
            ]
            self._graphed = GraphedStep(self._advance, changed, self.device)
        self._graphed(inputs)

    def _momentum(self) -> list[Tensor]:
        """Each parameter's momentum. Before the first step it is 0, not absent as in torch.

        The first step comes out the same: 0 times momentum, plus the gradient.
        """
        if not self.recipe.momentum:
            return []
        state = self.optimizer.state
        for parameter in self.network.parameters():
            if state[parameter].get("momentum_buffer") is None:
                state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return [state[p]["momentum_buffer"] for p in self.network.parameters()]

    def _set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def mean_loss(self) -> float:
        """The mean training loss since `forget_loss`; waits for the device."""
        return self._loss_sum().item() / max(1, self.loss_count)

    def _loss_sum(self) -> Tensor:
        """The sum of the global batches' losses, each the mean over the ranks' parts."""
        return self.world.total(self.loss_sum) / self.world.size

    def forget_loss(self) -> None:
        """Begin a new mean."""
        self.loss_sum.zero_()
        self.loss_count = 0

    def test_error(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """Percent of the test set that is classified wrongly, single view, in float32.

        Each rank tests its share. None if `stop` told any of them to leave off.
        """
        self.network.eval()
        if not self.sync_bn:  # then each rank has statistics of its own
            self.world.equalise(self.network.buffers())
        wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        share, stopped = self.world.share(len(self.test[0])), False
        with torch.inference_mode(), uncompiled():
            for start in range(share.start, share.stop, _TEST_BATCH):
                if stopped := stop():
                    break
                chosen = slice(start, min(start + _TEST_BATCH, share.stop))
                images, labels = (part[chosen].to(self.device) for part in self.test)
                images = self.normalise(images).contiguous(memory_format=self.format)
                logits = self.network(images)
                wrong += (logits.argmax(1) != labels).sum()
        if self.world.any(stopped):
            return None
        return 100 * self.world.total(wrong).item() / len(self.test[0])

    def is_finite(self) -> bool:
        """Whether every weight and running statistic is a number."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return bool(torch.stack([t.isfinite().all() for t in tensors]).all())

    def weights(self) -> dict[str, Tensor]:
        """The state_dict on the CPU, in plain row-major layout."""
        state = self.network.state_dict()
        return {name: t.detach().cpu().contiguous() for name, t in state.items()}

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on as if there had been no break."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "loss_sum": self._loss_sum(),
            "loss_count": self.loss_count,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave, perhaps on another device or by another execution."""
        self.network.load_state_dict(state["network"])
        ours = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**ours, "state": state["optimizer"]})
        self._graphed = None  # it has the addresses of the momentum that was
        self.loss_sum.copy_(state["loss_sum"])
        count = state["loss_count"]
        if type(count) is not int or not 0 <= count <= 2**53:
            raise ValueError("its loss is of no number of steps")
        self.loss_count = count
