"""The beginning of a run: a new folder, or an earlier run taken up again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from resgraph import __version__
from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.train.events import Standing
from resgraph.train.module import Generated
from resgraph.train.options import TrainOptions
from resgraph.train.recipe import Recipe
from resgraph.train.run import RUNNING, Run, create_run, open_run


@dataclass(frozen=True)
class Plan:
    """What is to be done, and the folder it is done in."""

    run: Run
    recipe: Recipe
    amp: bool
    resumes: bool


def begin(
    generated: Generated,
    data: Dataset,
    options: TrainOptions,
    network: nn.Module,
    device: torch.device,
    files: Mapping[str, str],
) -> Plan:
    """Make the run folder, or open the one that is resumed.

    Raises `ResgraphError` if the folder holds another run than the one asked for.
    """
    recipe = options.recipe_for(generated, data)
    amp = device.type == "cuda" if options.amp is None else options.amp
    folder = options.folder_for(generated, data)
    facts = _facts(generated, data, options.seed)
    if options.resume:
        run = open_run(folder)
        _check_same(run, facts, recipe if options.changes_recipe else run.recipe)
        kept = bool(run.about["amp"]) if options.amp is None else options.amp
        return Plan(run, run.recipe, kept, resumes=True)
    about = {
        **facts,
        "status": RUNNING,
        "recipe": recipe.as_dict(),
        "amp": amp,
        "device": _device_name(device),
        "parameters": sum(p.numel() for p in network.parameters()),
        "versions": {
            "resgraph": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "results": asdict(Standing()),
    }
    run = create_run(folder, about, options.overwrite)
    run.keep({run.generated.name: generated.source, **files})
    return Plan(run, recipe, amp, resumes=False)


def _facts(generated: Generated, data: Dataset, seed: int) -> dict[str, Any]:
    """What makes a run the run it is, and what an exported model has to know of it."""
    return {
        "network": generated.name,
        "generated": generated.path.as_posix(),
        "spec": generated.spec,
        "digest": generated.digest,
        "data": data.name,
        "data_digest": data.fingerprint,
        "train_images": len(data.train_images),
        "test_images": len(data.test_images),
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
        "input_shape": list(generated.input_shape),
        "seed": seed,
    }


_FIXED = {
    "network": "another network",
    "digest": "another topology, since the spec has changed",
    "data": "other data",
    "data_digest": "other images",
    "seed": "another seed",
}


def _check_same(run: Run, facts: dict[str, Any], recipe: Recipe) -> None:
    """Raise `ResgraphError` if a run is to be resumed as what it was not."""
    for key, what in _FIXED.items():
        if run.about.get(key) != facts[key]:
            raise ResgraphError(
                f"cannot resume {run.folder}: it is a run with {what} "
                f"({key} {run.about.get(key)}, now {facts[key]})",
                "give the same as then, or start anew with another --out",
            )
    before, now = run.recipe.as_dict(), recipe.as_dict()
    if changed := [
        f"{k} {before[k]}, now {now[k]}" for k in now if now[k] != before[k]
    ]:
        raise ResgraphError(
            f"cannot resume {run.folder} by another recipe: {'; '.join(changed)}",
            "--resume alone goes on by the run's own recipe",
        )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads != 1)}"
