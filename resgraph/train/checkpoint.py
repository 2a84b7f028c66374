"""The file that a run is resumed from, and the one before it.

A checkpoint is what `torch.save` writes: a zip archive, in which every tensor and the
structure bear a CRC-32. They are checked before anything is used.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resgraph.diagnostics import ResgraphError, plain
from resgraph.files import atomic_write
from resgraph.seal import sealed, unsealed
from resgraph.train.about import Results
from resgraph.train.folder import RunFolder

_OWNER = ("network", "digest", "data_digest", "seed")
"""What of run.json a checkpoint repeats, so that it serves no other run."""


@dataclass(frozen=True)
class Found:
    """A checkpoint, read back."""

    state: dict[str, Any]
    """Tensors on the CPU."""
    remark: str | None = None
    """What was wrong with the newest, where the one before it had to serve."""


class _DamagedError(Exception):
    """A file that is no whole checkpoint."""


def save_checkpoint(run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one that was the newest becomes the previous one.

    Killed at any point, this leaves at least one whole checkpoint behind if there was one.
    Raises `OSError` where it cannot be written; then the earlier ones are as they were.
    """
    owner = {key: run.about[key] for key in _OWNER}
    buffer = io.BytesIO()  # torch would tell a full disk as an error of its own
    torch.save({**state, "run": owner}, buffer)
    atomic_write(run.next_state, lambda p: p.write_bytes(buffer.getbuffer()))
    if run.state.exists():
        run.state.replace(run.previous_state)
    run.next_state.replace(run.state)


def load_checkpoint(run: RunFolder) -> Found | None:
    """The newest checkpoint that is whole; None where the run died before its first one,
    and so begins anew. Nothing in the file is executed.

    A damaged newest one is put aside if the previous one is whole, so that the next save
    does not put it in the previous one's place.
    Raises `ResgraphError` if none is whole, if it is another run's, or if it is lost: a
    checkpoint comes before any record.
    """
    problems = []
    for path in (run.state, run.previous_state):
        try:
            state = _read(path)
        except FileNotFoundError:
            continue
        except _DamagedError as error:
            problems.append(f"{path} is damaged: {error}")
            continue
        _check_owner(run, path, state)
        if not problems:
            return Found(state)
        run.state.replace(run.damaged_state)
        return Found(
            state,
            f"{problems[0]}; it is {run.damaged_state.name} now, and the run "
            f"goes on from the checkpoint before it, {path.name}",
        )
    if problems:
        raise ResgraphError(
            "; ".join(problems),
            "nothing to go on from; start anew with --overwrite or in another folder. "
            f"Weights of the last test are in {run.last}",
        )
    if any(run.records()):
        raise ResgraphError(
            f"{run.folder} has records and no checkpoint: {run.state.name} is lost",
            "put it back, or start anew with --overwrite",
        )
    return None


def inspected(run: RunFolder, path: Path) -> dict[str, Any]:
    """The state in a checkpoint, which is the run's and says where it stood.

    Raises `ResgraphError` for any other file, and `FileNotFoundError`.
    """
    try:
        state = _read(path)
        standing_in(state)
    except (_DamagedError, ValueError) as error:
        raise ResgraphError(f"{path} is damaged: {plain(error)}") from None
    _check_owner(run, path, state)
    return state


def standing_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Where the run stood; checkpoints of before have the clock in them, which is not used.

    Raises `ValueError` for what is none.
    """
    found = Results.model_validate(state.get("standing"), extra="forbid")
    if "iteration" not in found.model_fields_set:
        raise ValueError("it does not say at which iteration it was made")
    return found.model_dump(exclude={"seconds"})


def _read(path: Path) -> dict[str, Any]:
    """A file's state. Raises `FileNotFoundError` and `_DamagedError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise _DamagedError("it is no regular file")
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise _DamagedError(f"wrong checksum of {bad}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, _DamagedError):
        raise
    except Exception as error:  # zipfile's and torch's errors are of many kinds
        raise _DamagedError(str(error).partition("\n")[0]) from None
    if not isinstance(state, dict):
        raise _DamagedError("it holds no state")
    return state


def _check_owner(run: RunFolder, path: Path, state: Mapping[str, Any]) -> None:
    owner = state.get("run")
    owner = owner if isinstance(owner, dict) else {}
    for key in _OWNER:
        if owner.get(key) != run.about.get(key):
            raise ResgraphError(
                f"{path} is the checkpoint of another run "
                f"({key} {owner.get(key)}, here {run.about.get(key)})",
                "put this run's own file back, or start anew with --overwrite",
            )


# --- weights on disk: safetensors that say which they are -----------------------------


@dataclass(frozen=True)
class Tested:
    """Which weights a file holds: those after `iteration` steps, and their test error."""

    iteration: int
    error: float | None
    """Percent; None where they were not tested."""


def save_weights(
    run: RunFolder, path: Path, weights: Mapping[str, Tensor], tested: Tested
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


def about_weights(run: RunFolder, path: Path) -> str | None:
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


def best_of(run: RunFolder) -> Tested | None:
    """What the run's best weights are by their own word; None where they are no good.

    They may be of a later step than the checkpoint from which the run is resumed.
    """
    try:
        about = unsealed(run.best)
        return Tested(int(about["iteration"]), float(about["test_error"]))
    except (ResgraphError, KeyError, TypeError, ValueError):
        return None
