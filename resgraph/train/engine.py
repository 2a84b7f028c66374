"""A network, its optimiser and its data on one device: single steps and tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.data import Dataset
from resgraph.train.batches import Batches, Normalise, seed_of
from resgraph.train.recipe import Recipe

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
        device: torch.device,
        amp: bool,
    ) -> None:
        # torch's annotations lack the form of `to` with a memory format alone.
        network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.amp = amp
        self.batches = Batches(data, recipe, seed, device)
        self.test = (
            torch.from_numpy(data.test_images),
            torch.from_numpy(data.test_labels),
        )
        self.normalise = Normalise(data, device)
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )

    def step(self, iteration: int) -> None:
        """One step of SGD, the iterations counted from 0."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr_at(iteration)
        torch.manual_seed(seed_of(self.seed, "dropout", iteration))
        images, labels = self.batches[iteration]
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            loss = functional.cross_entropy(self.network(images), labels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.loss_sum += loss.detach()
        self.loss_count += 1

    def mean_loss(self) -> float:
        """The mean training loss since `forget_loss`; waits for the device."""
        return self.loss_sum.item() / max(1, self.loss_count)

    def forget_loss(self) -> None:
        """Begin a new mean."""
        self.loss_sum.zero_()
        self.loss_count = 0

    def test_error(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """Percent of the test set that is classified wrongly, single view, in float32.

        None if `stop` told to leave off.
        """
        self.network.eval()
        wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        count = len(self.test[0])
        with torch.inference_mode():
            for start in range(0, count, _TEST_BATCH):
                if stop():
                    return None
                images, labels = (
                    part[start : start + _TEST_BATCH].to(self.device)
                    for part in self.test
                )
                logits = self.network(self.normalise(images))
                wrong += (logits.argmax(1) != labels).sum()
        return 100 * wrong.item() / count

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
            "optimizer": self.optimizer.state_dict(),
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss_sum.copy_(state["loss_sum"])
        self.loss_count = int(state["loss_count"])


@contextlib.contextmanager
def fastest(device: torch.device) -> Iterator[None]:
    """On CUDA, let cuDNN measure which algorithm is fastest for each convolution."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        yield
