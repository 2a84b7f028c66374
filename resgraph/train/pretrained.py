"""Weights that a run starts from: which they are, what was taken of them, what was not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError, plain


@dataclass(frozen=True)
class Pretrained:
    """Tensors under a network's names; what it has beside them starts as in any run."""

    tensors: Mapping[str, Tensor]
    source: str
    """As the user named it."""
    how: str
    """How they came to these names, in words."""
    classes: int | None = None
    """That the source tells apart, where these are others than the network's."""

    def fill(self, network: nn.Module) -> None:
        """Put them into the network, in place."""
        own = network.state_dict()
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                own[name].copy_(tensor)

    def about(self, network: nn.Module) -> dict[str, Any]:
        """What run.json keeps of them."""
        new = [n for n, _ in network.named_parameters() if n not in self.tensors]
        return {
            "source": plain(self.source, 1000),
            "how": self.how,
            "sha256": self.fingerprint(),
            "taken": len(self.tensors),
            "new": new,
            "classes": self.classes,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names, types, shapes and numbers, in hexadecimal."""
        sums = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            kept = tensor.detach().cpu().contiguous()
            sums.update(f"{name} {kept.dtype} {tuple(kept.shape)} ".encode())
            sums.update(kept.reshape(-1).view(torch.uint8).numpy().tobytes())
        return sums.hexdigest()


Pretraining = Callable[[], Pretrained]
"""Reads them, once it is known that they are needed."""


def words(about: Mapping[str, Any]) -> list[str]:
    """Lines for the user, of what run.json keeps."""
    lines = [f"weights: {about['taken']} tensors {about['how']}"]
    if about["new"]:
        what = "new" if about["classes"] is None else "a new head"
        had = f" (it had {about['classes']} classes)" if about["classes"] else ""
        lines.append(f"{what}: {', '.join(about['new'])}{had}")
    return lines


def filled(network: nn.Module, read: Pretraining) -> dict[str, Any]:
    """Start a new run; what run.json keeps of it."""
    found = read()
    found.fill(network)
    return found.about(network)


def filled_again(
    network: nn.Module, kept: Mapping[str, Any] | None, read: Pretraining | None
) -> None:
    """Start a run once more that ended before its first checkpoint.

    Raises `ResgraphError` where its weights are not there, or are others by now.
    """
    if kept is None:
        return
    if read is None:
        raise ResgraphError(
            f"the run has no checkpoint yet, and starts from weights of {kept['source']}",
            "give them again",
        )
    found = read()
    if found.fingerprint() != kept["sha256"]:
        raise ResgraphError(
            f"{plain(found.source)} has other weights than when the run was begun",
            "put those back, or start anew with --overwrite",
        )
    found.fill(network)
