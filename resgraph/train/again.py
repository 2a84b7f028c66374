"""A run that is gone on with: the line that does it, and how far it may go."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError, RetryError
from resgraph.recipe import Recipe
from resgraph.recipe.parts import SCHEDULE
from resgraph.recipe.words import EXPLICIT
from resgraph.train.about import DIVERGED
from resgraph.train.checkpoint import load_checkpoint, standing_in
from resgraph.train.folder import RunFolder
from resgraph.train.options import OF_THE_RECIPE, TrainOptions
from resgraph.train.records import Journal

_SCHEDULE = frozenset(
    (
        *("iterations", "epochs", "lr", "warmup", "warmup_lr", "schedule", EXPLICIT),
        *("warmup_iterations", "warmup_epochs", *SCHEDULE.words),
    )
)
"""Words of a recipe that say nothing of a step but its learning rate."""

# --- the line ---------------------------------------------------------------------------


def word(value: object) -> str:
    """A word of a command for the shell, which is no option."""
    text = value.as_posix() if isinstance(value, Path) else str(value)
    if not text.isprintable():
        return f"$'{''.join(map(_escaped, text))}'"
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _escaped(character: str) -> str:
    """As bash and zsh have it between $' and '."""
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    octets = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{octet:02x}" for octet in octets)


def resuming(run: RunFolder) -> str:
    """The command that goes on with the run, in as many processes as are here."""
    return f"{_trainer()} {word(run.folder)}"


def anew(run: RunFolder, lr: float | None = None) -> str:
    """The command that trains the run from its start, in its own place."""
    lower = "" if lr is None else f" --lr {lr:g}"
    return f"{resuming(run)} --overwrite{lower}"


def lower(run: RunFolder) -> str:
    """The same for a run that diverged: at a tenth of its learning rate."""
    return anew(run, run.recipe.lr / 10)


def next_line(run: RunFolder) -> str:
    """What is said below a run that is not at its end."""
    if run.status == DIVERGED:
        return f"start anew: {lower(run)}"
    return f"go on: {resuming(run)}"


def _trainer() -> str:
    """The command itself; where torchrun has started all ranks here, with it."""
    ranks, here = (os.environ.get(n, "1") for n in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if ranks == here != "1":
        return f"torchrun --nproc-per-node {ranks} -m resgraph train"
    return "resgraph train"


@contextmanager
def saying_how_to_go_on(journal: Journal, is_writer: bool) -> Iterator[None]:
    """Note of whatever ends training in between which line goes on from there."""
    try:
        yield
    except BaseException as error:
        if journal.begun and is_writer:
            more = f" {error.options}" if isinstance(error, RetryError) else ""
            error.add_note(f"{next_line(journal.run)}{more}".rstrip())
        raise


# --- how far ----------------------------------------------------------------------------


def longer(run: RunFolder, recipe: Recipe, options: TrainOptions) -> RunFolder:
    """The run by another recipe, after which its steps so far would have been the same.

    So it ends as one that was begun by that recipe. Raises `ResgraphError` where they would
    have been others, and says which.
    """
    before, now = run.recipe.as_dict(), recipe.as_dict()
    changed = [k for k in {**before, **now} if now.get(k) != before.get(k)]
    if not changed:
        return run
    shown = "; ".join(f"{k} {before.get(k)}, now {now.get(k)}" for k in changed)
    if (why := _parted(run, recipe)) or not {*changed} <= _SCHEDULE:
        raise ResgraphError(
            f"cannot resume {run.folder} by another recipe: {shown}{why}", _hint(run)
        )
    about: dict[str, Any] = {**run.about, "recipe": now}
    if (kept := about["options"]) is not None:
        chosen = {k: v for k, v in options.kept.items() if k in OF_THE_RECIPE}
        about["options"] = kept | chosen
    return RunFolder(run.folder, about)


def _parted(run: RunFolder, recipe: Recipe) -> str:
    """Where two recipes part within the steps that are done; empty where they do not."""
    found = load_checkpoint(run)
    reached = 0 if found is None else int(standing_in(found.state)["iteration"])
    if recipe.iterations < reached:
        return f" (it has come to iteration {reached:,})"
    for step in range(reached):
        was, would = run.recipe.lr_at(step), recipe.lr_at(step)
        if was != would:
            return (
                f" (it has come to iteration {reached:,}, and its step {step + 1:,} was at "
                f"learning rate {was:g}, not {would:g})"
            )
    return ""


def _hint(run: RunFolder) -> str:
    if run.unfinished is None:
        return (
            "its schedule is at its end: start anew with --overwrite or another --out"
        )
    return "--resume alone goes on by the run's own recipe"
