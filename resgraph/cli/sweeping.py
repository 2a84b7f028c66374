"""`sweep`: a grid of networks and seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.behind import Behind, behind, classifying, refuse_unclassified
from resgraph.cli.choices import (
    CheckpointEvery,
    Data,
    EvalEvery,
    LogEvery,
    Monitored,
    Precision,
    ScheduleScale,
    TrainDevice,
)
from resgraph.cli.common import (
    Json,
    Network,
    Set,
    console,
    require_file,
    say,
    say_json,
    telling_compiler,
    warn,
)
from resgraph.cli.planning import AUTO, MemoryBudget
from resgraph.cli.recipes import with_recipe
from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.settings import parse_settings
from resgraph.values import Value

if TYPE_CHECKING:
    from rich.table import Table

    from resgraph.origin import Source
    from resgraph.study.outcomes import Group
    from resgraph.study.sweep import Ended, Job, TrainOne
    from resgraph.train import Generated, TrainOptions

GO_ON = "the same command again goes on from here"


@with_recipe
def sweep_command(
    targets: Annotated[
        list[Path],
        typer.Argument(
            help="Specs, with all their networks, or generated files.",
            metavar="SPEC|NAME.py...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Holds the run folders.")
    ],
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How many: 0, 1, 2, ...")
    ] = 5,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    generated: Annotated[
        Path,
        typer.Option("--generated", metavar="DIR", help="Where specs are compiled to."),
    ] = Path("generated"),
    data: Data = "cifar10",
    device: TrainDevice = "auto",
    schedule_scale: ScheduleScale = 1.0,
    precision: Precision = "auto",
    log_every: LogEvery = 50,
    eval_every: EvalEvery = None,
    checkpoint_every: CheckpointEvery = None,
    monitor: Monitored = False,
    memory_budget: MemoryBudget = AUTO,
    json: Json = False,
    recipe: dict[str, Any] = {},  # noqa: B006 (from options of its own)
) -> None:
    """Train networks with several seeds, one run after the other, into DIR/NAME-sSEED.

    The same command again goes on where it was left off; finished runs stay as they are.

    Example: resgraph sweep specs/preact_basic.yaml --network resnet20 --seeds 5 --out runs/pairs
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a sweep is one process", "run it without torchrun")
    files = sources(targets, network, parse_settings(settings), generated)
    from resgraph.train import TrainOptions

    options = TrainOptions(
        data=data,
        device=device,
        schedule_scale=schedule_scale,
        recipe=recipe,
        precision=precision,
        log_every=log_every,
        eval_every=eval_every,
        checkpoint_every=checkpoint_every,
        monitor=monitor,
        memory_budget=memory_budget,
    )
    run_sweep(files, seeds, options, out, json)


def run_sweep(
    files: Mapping[Path, Path | None],
    seeds: int,
    options: TrainOptions,
    out: Path,
    json: bool,
) -> None:
    """Train the networks of the generated files with so many seeds, and report.

    By file, the spec that was named for it; None where it names its own.
    """
    from resgraph.study.sweep import Sweep
    from resgraph.train import load_generated

    read = [own(file, spec) for file, spec in files.items()]
    networks = [load_generated(source.path, source.text) for source in read]
    specs = {source.path: behind(source) for source in read}
    train_one = trainer(networks, specs, options, quiet=json)
    sweep = Sweep(out, networks, seeds, options)
    try:
        ended = sweep.run(train_one, warn if json else say)
    except KeyboardInterrupt:  # between two runs, or a second one within a run
        warn(f"{out}: {GO_ON}")
        raise
    report(out, sweep.jobs, ended, json)


def sources(
    targets: Sequence[Path],
    network: str | None,
    settings: Mapping[str, Value],
    folder: Path,
) -> dict[Path, Path | None]:
    """The generated files to train, with the specs that are named; of these, files that are
    not there are written.

    Raises `UsageError` for another kind of file, for a generated file that is not what its
    spec says now, and `SpecError` for a network that tells no classes apart; then nothing
    has been written.
    """
    for path in targets:
        require_file(path)
    specs = [path for path in targets if path.suffix in (".yaml", ".yml")]
    files = [path for path in targets if path.suffix == ".py"]
    for path in targets:
        if path not in (*specs, *files):
            raise UsageError(f"{path} is no spec (.yaml) and no generated file (.py)")
    if not specs:
        if network is not None or settings:
            raise UsageError("--network and --set are for specs, and there is none")
        return dict.fromkeys(files)
    from resgraph.cli.compiling import load_all
    from resgraph.emit import stale, write

    graphs = load_all(telling_compiler(), specs, network, settings)
    for path in stale(graphs, folder):
        if path.exists():
            raise UsageError(
                f"{path} is not what its spec says now",
                "compile the spec again: resgraph compile SPEC",
            )
    for graph in graphs:
        refuse_unclassified(graph)
    made = {folder / f"{graph.name}.py": graph for graph in graphs}
    missing = [graph for file, graph in made.items() if not file.exists()]
    if missing:
        write(missing, folder, None)
    named = {file: Path(graph.file) for file, graph in made.items()}
    return {**named, **{file: named.get(file) for file in files}}


def own(file: Path, spec: Path | None) -> Source:
    """A generated file that is what resgraph writes; a sweep trains no other. It is held
    to the spec that is given, else to the one that it names.

    Raises `ResgraphError` for foreign code, which may end the process, and so the sweep,
    and for a network that tells no classes apart.
    """
    from resgraph.origin import read_source

    source = read_source(file, spec, telling_compiler())
    if source.foreign is not None:
        raise ResgraphError(
            source.foreign, f"train it by itself: resgraph train {file.as_posix()}"
        )
    return classifying(source)


def trainer(
    networks: Sequence[Generated],
    specs: Mapping[Path, Behind],
    options: TrainOptions,
    quiet: bool,
) -> TrainOne:
    """What trains one run of a sweep. Data are loaded now, so that what is wrong with them
    is told before anything begins."""
    from resgraph.data import load_data
    from resgraph.train import Result, train

    shapes = {generated.input_shape for generated in networks}
    data = {shape: load_data(options.data, shape) for shape in sorted(shapes)}
    planners = {
        path: spec.planner(options.memory_budget) for path, spec in specs.items()
    }

    def train_one(generated: Generated, chosen: TrainOptions) -> Result:
        spec = specs[generated.path]
        return train(
            generated,
            data[generated.input_shape],
            chosen,
            console=None if quiet else console(),
            files=spec.files,
            planner=planners[generated.path],
            cuts=spec.cuts if chosen.monitor else None,
        )

    return train_one


def report(out: Path, jobs: Sequence[Job], ended: Sequence[Ended], json: bool) -> None:
    """How the runs ended, and each network's median; the exit code says if all is well."""
    from resgraph.study.outcomes import outcomes

    there = [job.folder for job in jobs if (job.folder / "run.json").exists()]
    groups = outcomes(there).groups
    statuses = {run.status for run in ended}
    if json:
        runs = [run.as_json() for run in ended]
        say_json({"runs": runs, "networks": [summary(group) for group in groups]})
    else:
        from resgraph.study.tables import spread

        console().print(table_of(ended))
        for group in groups:
            count = len(group.errors)
            over = f"median [min, max] over {count} seeds" if count > 1 else "1 seed"
            say(f"{group.condition.network}: test error in %: {spread(group)} ({over})")
        if statuses & {"interrupted", "failed"}:
            say(f"{out}: {GO_ON}")
        else:
            say(f"next: resgraph table {out.as_posix()}")
    if "interrupted" in statuses:
        raise typer.Exit(130)
    if "failed" in statuses:
        raise typer.Exit(1)


def summary(group: Group) -> dict[str, Any]:
    """A network's seeds together; a diverged run has no number."""
    from resgraph.files import finite

    value: dict[str, Any] = finite(
        {
            "network": group.condition.network,
            "seeds": len(group.errors),
            "median": group.median,
            "min": group.lowest,
            "max": group.highest,
        }
    )
    return value


def table_of(ended: Sequence[Ended]) -> Table:
    """A row per run."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD)
    result.add_column("network")
    result.add_column("seed", justify="right")
    result.add_column("status")
    for column in ("test error, %", "iterations", "seconds"):
        result.add_column(column, justify="right")
    for run in ended:
        error = "" if run.test_error is None else f"{run.test_error:.2f}"
        result.add_row(
            Text(run.job.generated.name),
            str(run.job.seed),
            run.status,
            error,
            f"{run.iteration:,}",
            f"{run.seconds:,.0f}",
        )
    return result


COMMANDS = {"sweep": sweep_command}
