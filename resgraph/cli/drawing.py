"""`draw`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    Specs,
    as_json,
    say,
    say_json,
    telling_compiler,
)
from resgraph.cli.terminal import trusted
from resgraph.diagnostics import (
    Diagnostic,
    SpecError,
    UsageError,
    did_you_mean,
    ordered,
)
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resgraph.draw import Figure
    from resgraph.draw.cells import Cell
    from resgraph.graph import Graph


MOST_PIXELS = 100_000_000


class Format(StrEnum):
    """What `draw` writes."""

    svg = "svg"
    png = "png"


class Theme(StrEnum):
    """The page that a drawing is for."""

    light = "light"
    dark = "dark"


Units = Annotated[
    list[str],
    typer.Option(
        "--unit",
        metavar="NAME",
        help="This unit, or 'stem' or 'head'; may be repeated. By default the unit that "
        "the network has most often, and those with findings.",
    ),
]
Every = Annotated[
    bool,
    typer.Option(
        "--units",
        help="Every unit of the network, those in other units too, where it is used most; "
        "one that is there with other ops, words or truth values, for each of them.",
    ),
]
Stage = Annotated[
    str | None,
    typer.Option(
        "--stage",
        metavar="N",
        help="The units of stage N, or of the stage of that name, in their order.",
    ),
]
Whole = Annotated[
    bool, typer.Option("--whole", help="The network: stem, stages and head.")
]
Unfold = Annotated[
    list[str] | None,
    typer.Option(
        "--unfold",
        metavar="NAME",
        help="Draw this unit, where another one uses it, as its ops in a frame; may be "
        "repeated; 'all' for every unit, 'none' for none. By default those that are used "
        "once, not repeated, and have at most 8 ops, and those with findings.",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The file; '-' is stdout. By default SPEC.svg here, or drawing.svg of several.",
    ),
]
Form = Annotated[
    Format | None,
    typer.Option("--format", help="By default what FILE ends in, else svg."),
]
Page = Annotated[Theme, typer.Option("--theme", help="The page it is for.")]
Scale = Annotated[
    float,
    typer.Option("--scale", min=0.1, max=8, help="Pixels of a PNG for each of an SVG."),
]


def draw_command(
    specs: Specs,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    units: Units = [],  # noqa: B006 (typer reads the default)
    every: Every = False,
    stage: Stage = None,
    whole: Whole = False,
    unfold: Unfold = None,
    out: Target = "",
    form: Form = None,
    theme: Page = Theme.light,
    scale: Scale = 2.0,
    json: Json = False,
) -> None:
    """Draw units as the paper's Fig. 4 does, those of several specs side by side.

    The thick line is the shortcut; red is what on it is not the identity. Of several
    networks of a spec the first is drawn, unless --network names another. A spec with
    findings is drawn as far as it can be, with the findings marked; the exit code is 1.

    Example: resgraph draw specs/original_basic.yaml specs/preact_basic.yaml
    """
    choice = Choice(units, every, stage, whole, unfold)
    path, form = target(specs, out, form)
    if json and path is None:
        raise UsageError(
            "--json and --out - both want stdout", "name a file with --out"
        )
    from resgraph.draw.figure import rows

    values, compiler = parse_settings(settings), telling_compiler()
    figures: list[Figure] = []
    findings: list[Diagnostic] = []
    for spec in specs:
        try:
            graphs, error = compiler.drafts(spec, network, values)
        except SpecError as refused:
            findings += refused.diagnostics
            continue
        found = error.diagnostics if error else []
        findings += found
        figures += choice.figures(graphs[0], found)
    if figures:
        figure = rows(figures)
        write(picture(figure, form, theme, scale), path)
    failure = compiler.failure(findings)
    file = path.as_posix() if path and figures else None
    if json:
        told = ordered(chain(findings, *compiler.warnings.values()))
        said = [as_json(diagnostic) for diagnostic in told]
        say_json({"file": file, "findings": said})
        raise typer.Exit(bool(findings))
    if file:
        say(file)
    if findings:
        raise failure


@dataclass(frozen=True)
class Choice:
    """What of a network is drawn: one of the ways to say it, or none."""

    units: Sequence[str]
    every: bool
    stage: str | None
    whole: bool
    unfold: Sequence[str] | None = None

    def __post_init__(self) -> None:
        given = {
            "--unit": bool(self.units),
            "--units": self.every,
            "--stage": self.stage is not None,
            "--whole": self.whole,
        }
        said = [option for option, there in given.items() if there]
        if len(said) > 1:
            raise UsageError(f"{' and '.join(said)} do not go together", "give one")
        if self.whole and self.unfold is not None:
            hint = "units of a whole network are folded"
            raise UsageError("--whole and --unfold do not go together", hint)

    def figures(self, graph: Graph, findings: list[Diagnostic]) -> list[Figure]:
        """The drawings. Raises `UsageError` for what the network does not have."""
        from resgraph.draw import draw_network, draw_unit
        from resgraph.draw.cells import parts
        from resgraph.draw.choice import marks, part_marks

        found = parts(graph)
        if self.whole:
            return [draw_network(graph, marks=part_marks(found, findings))]
        chosen = [*self._chosen(graph, found, findings)]
        unfold = self._unfolded(graph, chosen)
        return [
            draw_unit(
                cell.instances[0],
                title=cell.unit if self.every else graph.title or cell.unit,
                subtitle=_subtitle(cell, graph),
                marks=marks(cell.instance, findings),
                unfold=unfold,
            )
            for cell in chosen
        ]

    def _unfolded(self, graph: Graph, chosen: list[Cell]) -> list[str] | None:
        """The units to unfold. Raises `UsageError` for one that nothing drawn uses."""
        from resgraph.draw.choice import to_unfold

        if self.unfold is None:
            return None
        drawn = [(cell.unit, cell.instances[0]) for cell in chosen]
        return to_unfold(self.unfold, drawn, graph.file)

    def _chosen(
        self, graph: Graph, found: list[Cell], findings: list[Diagnostic]
    ) -> Iterator[Cell]:
        from resgraph.draw.choice import (
            all_units,
            all_variants,
            commonest,
            distinct,
            ends,
            faulty,
        )

        if self.stage is not None:
            yield from _staged(graph, self.stage)
            return
        if self.every:
            yield from all_variants(found) or found
            return
        named = {cell.name: cell for cell in ends(found)}
        named |= {cell.unit: cell for cell in (*all_units(found), *distinct(found))}
        for name in self.units:
            if name not in named:
                hint = did_you_mean(name, named)
                raise UsageError(f"{graph.file}: no unit '{name}'", hint)
            yield named[name]
        if not self.units:
            wrong, usual = faulty(found, findings), commonest(found)
            if all(cell.unit != usual.unit for cell in wrong):
                yield usual
            yield from wrong


def _staged(graph: Graph, stage: str) -> Iterator[Cell]:
    """The units of a stage, by its name or number. Raises `UsageError`."""
    from resgraph.draw.cells import stages
    from resgraph.graph.ir import stage_name

    found = stages(graph)
    numbers = {str(number): name for number, name in enumerate(found, 1)}
    name = stage if stage in found else numbers.get(stage)
    if name is None:
        own = {*found} != {stage_name(int(number)) for number in numbers}
        known = ", ".join(found) if own else f"1 to {len(found)}"
        hint = f"the stages of {graph.name} are {known}"
        raise UsageError(f"{graph.file}: no stage {stage}", hint)
    yield from (cell for cell in found[name] if cell.instances)


def _subtitle(cell: Cell, graph: Graph) -> str:
    """Which unit it is, and where the network has it."""
    name = f"{cell.unit} of {graph.name}"
    if not (cell.staged or cell.outer):
        return name
    last = f" to {cell.outer}{cell.last}" if cell.count > 1 else ""
    return f"{name}, {cell.outer}{cell.name}{last}"


def target(
    specs: Sequence[Path], out: str, form: Format | None
) -> tuple[Path | None, Format]:
    """Where the drawing goes (None: stdout), and its format. Raises `UsageError`."""
    if out == "-":
        return None, form or Format.svg
    if not out:
        stem = specs[0].stem if len(specs) == 1 else "drawing"
        return Path(f"{stem}.{form or Format.svg}"), form or Format.svg
    path = Path(out)
    ending = path.suffix.lower().removeprefix(".")
    known = [str(f) for f in Format]
    if form is None and ending not in known:
        hint = "name a file that ends in .svg or .png, or give --format"
        raise UsageError(f"--out {out}: which format is not said", hint)
    if form is not None and ending in known and ending != form:
        raise UsageError(f"--out {out} does not go with --format {form}", "give one")
    if path.is_dir():
        raise UsageError(f"--out {out} is a folder", "name a file in it")
    return path, form or Format(ending)


def picture(figure: Figure, form: Format, theme: Theme, scale: float) -> str | bytes:
    """The file's contents. Raises `UsageError` for a PNG of more than 100 megapixels."""
    if form is Format.svg:
        return figure.svg(theme)
    width, height = round(figure.width * scale), round(figure.height * scale)
    if width * height > MOST_PIXELS:
        raise UsageError(
            f"a PNG of {width} x {height} pixels is too large",
            "give a smaller --scale, or --format svg",
        )
    return figure.png(scale, theme)


def write(data: str | bytes, path: Path | None) -> None:
    """Write the drawing, whole or not at all. Raises `ResgraphError`."""
    from resgraph.files import atomic_write, writing

    raw = data.encode() if isinstance(data, str) else data
    if path is None:
        trusted(sys.stdout).buffer.write(raw)
        sys.stdout.flush()
        return
    with writing(path, "choose another file with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, lambda file: file.write_bytes(raw))


COMMANDS = {"draw": draw_command}
