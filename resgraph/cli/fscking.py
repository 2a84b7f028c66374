"""`fsck`: what of run folders is whole, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgraph.cli.common import Json, say, say_json
from resgraph.diagnostics import ResgraphError, plain

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
    found = [looked_at(folder) for folder in runs]
    if json:
        say_json({"runs": [each.as_json() for each in found]})
    else:
        say("\n\n".join("\n".join(lines(each)) for each in found))
    if not all(each.whole for each in found):
        raise typer.Exit(1)


def looked_at(folder: Path) -> Checkup:
    """What is found in a folder; of one that is no run folder, that."""
    from resgraph.fsck import Checkup, Item, State, fsck

    try:
        return fsck(folder)
    except ResgraphError as error:
        item = Item(folder.name, State.DAMAGED, plain(error.message, 300))
        return Checkup(folder, [item], next="resgraph train --help")


def lines(found: Checkup) -> list[str]:
    """What was found, a line for each file, and the next command."""
    resumed = "can be resumed" if found.resumable else "cannot be resumed"
    verdict = "whole" if found.whole else f"damaged; it {resumed}"
    told = [f"  {i.state:<8} {plain(i.file)}: {i.words}" for i in found.items]
    name = plain(found.folder.as_posix(), 200)
    return [f"{name}: {verdict}", *told, f"next: {found.next}"]


COMMANDS = {"fsck": fsck_command}
