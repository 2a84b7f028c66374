"""Weights of a run on disk: safetensors that say which they are, with a checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resgraph.diagnostics import ResgraphError
from resgraph.files import atomic_write
from resgraph.seal import sealed, unsealed
from resgraph.train.run import Run


@dataclass(frozen=True)
class Tested:
    """Which weights a file holds: those after `iteration` steps, and their test error."""

    iteration: int
    error: float | None
    """Percent; None where they were not tested."""


def save_weights(
    run: Run, path: Path, weights: Mapping[str, Tensor], tested: Tested
) -> None:
    """Write a state_dict to the run's `last` or `best`, whole or not at all.

    Raises `OSError` where that is not possible.
    """
    from safetensors.torch import save

    about = {
        "network": run.network,
        "digest": str(run.about["digest"]),
        "iteration": str(tested.iteration),
    }
    if tested.error is not None:
        about["test_error"] = repr(tested.error)
    contents = sealed(save(dict(weights), about))
    atomic_write(path, lambda p: p.write_bytes(contents))


def about_weights(run: Run, path: Path) -> str | None:
    """What is to be known of the run's weights at `path`; None for those of its end.

    Raises `ResgraphError` if they cannot be read.
    """
    if run.unfinished is None:
        return None
    iteration = unsealed(path).get("iteration", "?")
    untrained = ", before any training" if iteration == "0" else ""
    return (
        f"not the end of its training ({run.unfinished}): weights of iteration "
        f"{iteration}{untrained}"
    )


def best_of(run: Run) -> Tested | None:
    """What the run's best weights are by their own word; None where they are no good.

    They may be of a later step than the checkpoint from which the run is resumed.
    """
    try:
        about = unsealed(run.best)
        return Tested(int(about["iteration"]), float(about["test_error"]))
    except (ResgraphError, KeyError, TypeError, ValueError):
        return None
