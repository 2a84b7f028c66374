"""`plan`, and the planner that `train` is given."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    console,
    require_file,
    say,
    say_json,
    telling_compiler,
)
from resgraph.diagnostics import ResgraphError, UsageError, plural
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from rich.table import Table

    from resgraph.graph import Graph
    from resgraph.plan import Plan, Planner

AUTO = "auto"
MemoryBudget = Annotated[
    str,
    typer.Option(
        "--memory-budget",
        metavar="AMOUNT",
        help="For what is kept for gradients: 2GiB, 1500MiB, or auto, by what is free.",
    ),
]


class Element(StrEnum):
    """The type of activations."""

    fp32 = "fp32"
    bf16 = "bf16"

    @property
    def size(self) -> int:
        """Bytes."""
        return 4 if self is Element.fp32 else 2


def plan_command(
    path: Annotated[
        Path, typer.Argument(help="A spec or a generated file.", metavar="SPEC|NAME.py")
    ],
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, help="Images per step; by default the recipe's."
        ),
    ] = None,
    precision: Annotated[
        Element, typer.Option("--precision", help="Of activations while training.")
    ] = Element.fp32,
    memory_budget: MemoryBudget = "",
    json: Json = False,
) -> None:
    """Show what training keeps in memory, and what computing parts of it anew would save.

    Bytes are those of tensors saved for gradients, as predicted from the graph.

    Example: resgraph plan generated/resnet1001.py --memory-budget 2GiB
    """
    require_file(path)
    from resgraph.plan import parse_bytes, plan, strategies

    budget = parse_bytes(memory_budget) if memory_budget else None
    shown = []
    for graph in graphs_of(path, network, settings):
        images = batch or int(graph.recipe["batch"])
        plans = list(strategies(graph, images, precision.size))
        chosen = plan(graph, images, precision.size, budget) if budget else None
        shown.append((graph, plans, chosen))
    if json:
        say_json([_as_json(*each) for each in shown])
        return
    for graph, plans, chosen in shown:
        console().print(table(graph, plans, chosen))
        for line in _segments(chosen):
            say(line)


def graphs_of(path: Path, network: str | None, settings: list[str]) -> list[Graph]:
    """The graphs of a spec, or the one behind a generated file."""
    if path.suffix != ".py":
        return telling_compiler().graphs(path, network, parse_settings(settings))
    if network is not None or settings:
        raise UsageError(f"{path} is one network: --network and --set are for specs")
    from resgraph.origin import origin

    found = origin(path)
    if found is None:
        raise ResgraphError(
            f"{path}: no spec is where its first line says", "name the spec instead"
        )
    return [found.graph(telling_compiler())]


def planner(graph: Graph | None, budget: str) -> Planner | None:
    """What `train` is given for its `--memory-budget`; None plans nothing.

    Raises `ResgraphError` if an amount is asked for, and there is no spec to plan by.
    """
    from resgraph.plan import Planner, parse_bytes

    amount = None if budget == AUTO else parse_bytes(budget)
    if graph is not None:
        return Planner(graph, amount)
    if amount is None:
        return None
    raise ResgraphError(
        "--memory-budget needs the spec of the generated file, and it is not there",
        "put the spec where the file's first line says, or leave the option out",
    )


def table(graph: Graph, plans: list[Plan], chosen: Plan | None) -> Table:
    """The strategies beside one another, and the one chosen within the budget."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from resgraph.plan import words

    plain = plans[0]
    title = (
        f"{graph.name}, {plain.batch} {plural(plain.batch, 'image')}, "
        f"{8 * plain.element} bits an activation"
    )
    result = Table(title=Text(title), box=box.SIMPLE_HEAD)
    result.add_column("computed anew", no_wrap=True)
    for column in ("kept at most", "less", "forward done twice", "segments"):
        result.add_column(column, justify="right")
    for made in [*plans, *([chosen] if chosen else [])]:
        if made is chosen:
            result.add_section()
        result.add_row(
            f"chosen: {made.name}" if made is chosen else made.name,
            words(made.peak),
            f"{plain.peak / made.peak:.1f}x" if made.peak else "",
            f"{100 * made.anew:.0f} %",
            str(sum(map(len, made.segments.values())) or ""),
        )
    return result


def _segments(chosen: Plan | None) -> list[str]:
    """Which units the chosen plan computes anew."""
    return [
        f"{stage}: units {', '.join(f'{a}-{b - 1}' for a, b in spans)}"
        for stage, spans in (chosen.segments.items() if chosen else ())
    ]


def _as_json(graph: Graph, plans: list[Plan], chosen: Plan | None) -> dict[str, Any]:
    return {
        "network": graph.name,
        "strategies": [made.as_dict() for made in plans],
        "chosen": None if chosen is None else chosen.as_dict(),
    }


COMMANDS = {"plan": plan_command}
