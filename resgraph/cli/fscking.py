"""`fsck`: what of run folders is whole, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgraph.cli.common import Json, say, say_json

if TYPE_CHECKING:
    from resgraph.fsck import Checkup


def fsck_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders.", metavar="RUN...", show_default=False),
    ],
    json: Json = False,
) -> None:
    """Say what of a run folder is whole, and with which command to go on. Nothing is changed.

    Held to one another are run.json, spec and generated file, checkpoints, records, events,
    weights and exported models. The exit code is 1 if anything is damaged.

    Example: resgraph fsck runs/resnet20-digits-s0
    """
    from resgraph.fsck import fsck

    found = [fsck(folder) for folder in runs]
    if json:
        say_json({"runs": [each.as_json() for each in found]})
    else:
        say("\n\n".join("\n".join(lines(each)) for each in found))
    if not all(each.whole for each in found):
        raise typer.Exit(1)


def lines(found: Checkup) -> list[str]:
    """What was found, a line for each file, and the next command."""
    from resgraph.diagnostics import plain

    resumed = "can be resumed" if found.resumable else "cannot be resumed"
    verdict = "whole" if found.whole else f"damaged; it {resumed}"
    told = [f"  {i.state:<8} {plain(i.file)}: {i.words}" for i in found.items]
    name = plain(found.folder.as_posix(), 200)
    return [f"{name}: {verdict}", *told, f"next: {found.next}"]


COMMANDS = {"fsck": fsck_command}
