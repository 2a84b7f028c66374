"""A network, its optimiser and its data on one device: single steps and tests."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from resgraph.data import Dataset
from resgraph.recipe import Recipe
from resgraph.train import task
from resgraph.train.batches import Batches, Draws, Normalise, seed_of, sent
from resgraph.train.distributed import ALONE, World, parallel
from resgraph.train.execution import (
    Execution,
    GraphedStep,
    autocast,
    compile_units,
    failures_explained,
    uncompiled,
)
from resgraph.train.grouped import BatchCounts, WorkingWeights, like, on_the_host
from resgraph.train.optimizer import (
    WHOLE,
    Average,
    Parts,
    optimizer_for,
    parameter_groups,
    state_tensors,
)
from resgraph.train.recompute import Recompute, draws_anew, planned
from resgraph.train.syncbn import synchronise


class Engine:
    """Steps of a recipe, such as that of He et al. (ECCV 2016); the host never waits.

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
        parts: Parts = WHOLE,
    ) -> None:
        device = execution.device
        self.format = (
            torch.channels_last if execution.channels_last else torch.contiguous_format
        )
        # torch's annotations lack the form of `to` with a memory format alone.
        network.to(device).to(memory_format=self.format)  # type: ignore[call-overload]
        if sync_bn and world.size > 1:  # before anything takes hold of its modules
            synchronise(network, device)
        if recompute is not None:
            if execution.cuda_graph and draws_anew(network, recompute):
                # torch lets it be recorded, and each replay would draw other masks anew.
                raise ValueError("a CUDA graph cannot draw dropout's masks twice")
            planned(network, recompute)
        if execution.fused_kernels:
            from resgraph.train.fused import fuse  # which needs Triton

            fuse(network)
        elif execution.compile:
            compile_units(
                network, whole=world.size == 1, combined=execution.combo_kernels
            )
        self.network = network
        self.world = world
        self.sync_bn = sync_bn
        self.parallel = parallel(network, world, sync_bn)
        self.recipe = recipe
        self.parts = parts
        self.seed = seed
        self.device = device
        self.execution = execution
        self.batches = Batches(
            data, recipe, seed, device, rank=world.rank, ranks=world.size
        )
        self.test_images = len(data.test_images)
        self._evaluation = Evaluation(
            network,
            data,
            Normalise(data, device),
            execution,
            world.share(self.test_images),
        )
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.optimizer = self._optimizer()
        self.average = Average(network, recipe.ema) if recipe.ema is not None else None
        self._groups: list[BatchCounts | WorkingWeights] = []
        if execution.grouped_counts:
            self._groups.append(BatchCounts(network))
        if execution.groups_casts and world.size == 1:
            self._groups.append(WorkingWeights(network))
        self._graphed: GraphedStep | None = None

    def _optimizer(self) -> torch.optim.Optimizer:
        graphed = self.execution.cuda_graph
        lr: float | Tensor = float(self.recipe.lr)
        if graphed:  # a number would be recorded as it was then
            lr = torch.tensor(lr, device=self.device)
        groups = parameter_groups(self.network, self.recipe)
        return optimizer_for(
            self.parts.of(groups, self.network, lr),
            self.recipe,
            lr,
            self.execution.fused or None,
            graphed,
        )

    def step(self, iteration: int) -> None:
        """One step of the recipe, the iterations counted from 0.

        Raises `ResgraphError` at the first step if the network cannot be compiled, or the
        step not be recorded, as was chosen.
        """
        self._set_out(iteration)
        torch.manual_seed(seed_of(self.seed, f"dropout{self.world.suffix}", iteration))
        indices, draws = self.batches.prepare(iteration)
        inputs = [indices, draws.top, draws.left, draws.mirrored]
        if not self.network.training:  # which walks all modules
            self.network.train()
        compiles = self.execution.compile
        with failures_explained() if compiles else contextlib.nullcontext():
            if self.execution.cuda_graph:
                self._replay(inputs)
            else:
                self._advance([sent(tensor, self.device) for tensor in inputs])
        self.loss_count += 1
        if self.average is not None and iteration >= self.recipe.ema_start:
            self.average.steps += 1

    def _advance(self, inputs: Sequence[Tensor]) -> None:
        """The device's part of a step, all in place: what a CUDA graph records."""
        indices, *drawn = inputs
        images, labels = self.batches.build(indices, Draws(*drawn))
        images = images.contiguous(memory_format=self.format)
        with contextlib.ExitStack() as groups:
            for group in self._groups:
                groups.enter_context(group.grouped())
            with autocast(self.device, self.execution.precision):
                logits = task.logits(self.parallel(images))
                loss = task.loss(logits, labels, self.recipe.label_smoothing)
            # Not before the forward: maps would take the gradients' memory, and these need new.
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
        self._align_gradients()
        if (most := self.recipe.clip_grad_norm) is not None:
            clip_grad_norm_(self.network.parameters(), most, foreach=True)
        self.optimizer.step()
        if self.average is not None:
            self.average.add()
        self.loss_sum += loss.detach()

    def _align_gradients(self) -> None:
        """Give each gradient its weight's strides, which fused optimisers ask for."""
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad = like(parameter.grad, parameter)

    def _replay(self, inputs: Sequence[Tensor]) -> None:
        """The same by a CUDA graph."""
        if self._graphed is None:
            changed = [
                *self.network.parameters(),
                *self.network.buffers(),
                *state_tensors(self.optimizer, self.recipe),
                *(self.average.tensors if self.average else ()),
                self.loss_sum,
            ]
            self._graphed = GraphedStep(self._advance, changed, self.device)
        self._graphed(inputs)

    def _set_out(self, iteration: int) -> None:
        """What of a step's own is not recorded with it."""
        self._set_lr(self.recipe.lr_at(iteration))
        if self.average is not None and iteration == self.recipe.ema_start:
            self.average.restart()

    def _set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            own = lr * group["lr_factor"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(own)
            else:
                group["lr"] = own

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
        """Percent of the test set that is classified wrongly.

        Each rank tests its share. None if `stop` told any of them to leave off.
        """
        if not self.sync_bn:  # then each rank has statistics of its own
            self.world.equalise(self.network.buffers())
        wrong = self._evaluation(stop)
        if self.world.any(wrong is None):
            return None
        assert wrong is not None
        return 100 * self.world.total(wrong).item() / self.test_images

    def average_error(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """The same of the average of the weights, which the recipe must have."""
        with self._averaged():
            return self.test_error(stop)

    def average_weights(self) -> dict[str, Tensor]:
        """What `weights` gives, of the average of the weights."""
        with self._averaged():
            return {name: tensor.clone() for name, tensor in self.weights().items()}

    def _averaged(self) -> AbstractContextManager[None]:
        if self.average is None:
            raise ValueError("the recipe averages no weights")
        return self.average.in_place()

    def is_finite(self) -> bool:
        """Whether every weight and running statistic is a number."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        floats = [t.detach() for t in tensors if t.is_floating_point()]
        largest = torch._foreach_norm(floats, math.inf)
        return bool(torch.stack(list(largest)).isfinite().all())

    def weights(self) -> dict[str, Tensor]:
        """The state_dict on the CPU, in plain row-major layout."""
        return on_the_host(self.network.state_dict())

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on as if there had been no break."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "loss_sum": self._loss_sum(),
            "loss_count": self.loss_count,
            **({"ema": self.average.state()} if self.average else {}),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave, perhaps on another device or by another execution."""
        self.network.load_state_dict(state["network"])
        ours = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**ours, "state": state["optimizer"]})
        for parameter, kept in self.optimizer.state.items():
            for name, value in kept.items():  # perhaps of another memory layout
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    kept[name] = torch.zeros_like(parameter).copy_(value)
        if self.average is not None:
            self.average.load_state(state["ema"])
        self._graphed = None  # it has the addresses of the momentum that was
        self.loss_sum.copy_(state["loss_sum"])
        count = state["loss_count"]
        if type(count) is not int or not 0 <= count <= 2**53:
            raise ValueError("its loss is of no number of steps")
        self.loss_count = count


# --- the test set ---------------------------------------------------------------------


_BATCH = 500


class Evaluation:
    """A network's errors on a test set: single view, in the precision of training.

    With a CUDA graph in training this too is one, recorded at the first test. Units run as
    they are written, not compiled: a test's batches have other shapes, and too few of them
    to be worth it.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        normalise: Normalise,
        execution: Execution,
        share: range,
    ) -> None:
        self._network = network
        self._normalise = normalise
        self._execution = execution
        self._share = share
        self._images = torch.from_numpy(data.test_images)
        self._labels = torch.from_numpy(data.test_labels)
        self._batch = min(_BATCH, len(self._images))
        self._wrong = torch.zeros((), dtype=torch.int64, device=execution.device)
        self._graphed: GraphedStep | None = None
        if execution.cuda_graph:
            self._graphed = GraphedStep(self._count, [self._wrong], execution.device)

    def __call__(self, stop: Callable[[], bool]) -> Tensor | None:
        """How many of the share are classified wrongly; None if `stop` told to leave off."""
        self._network.eval()
        self._wrong.zero_()
        with torch.no_grad(), uncompiled():
            for start in range(self._share.start, self._share.stop, self._batch):
                if stop():
                    return None
                self._add(slice(start, min(start + self._batch, self._share.stop)))
        return self._wrong

    def _add(self, chosen: slice) -> None:
        images, labels = self._images[chosen], self._labels[chosen]
        if self._graphed is None:
            device = self._execution.device
            self._count([images.to(device), labels.to(device)])
            return
        missing = self._batch - len(labels)  # a graph knows one shape
        if missing:
            images = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))
            labels = functional.pad(labels, (0, missing), value=task.NO_LABEL)
        self._graphed([images, labels])

    def _count(self, inputs: Sequence[Tensor]) -> None:
        images, labels = inputs
        images = self._normalise(images)
        if not self._execution.channels_last:
            images = images.contiguous()
        with autocast(self._execution.device, self._execution.precision):
            logits = task.logits(self._network(images))
        self._wrong.add_(task.mistakes(logits, labels))
