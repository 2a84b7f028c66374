"""`train`, `export` and `infer`: what needs torch or ONNX Runtime."""

from __future__ import annotations

import dataclasses
import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, console, say, say_json
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, UsageError

if TYPE_CHECKING:
    from resgraph.train import Result, Run


def train_command(
    generated: Annotated[
        Path, typer.Argument(help="A generated file.", metavar="generated/NAME.py")
    ],
    data: Annotated[
        str, typer.Option("--data", help="cifar10, cifar100, digits, or a folder.")
    ] = "cifar10",
    device: Annotated[
        str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda.")
    ] = "auto",
    iterations: Annotated[
        int | None, typer.Option("--iterations", help="Length of the schedule, in steps.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="The same, in passes over the data.")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Images per step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    schedule_scale: Annotated[
        float, typer.Option("--schedule-scale", help="Factor on the schedule's length.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Decides all that is random.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", help="Run folder; runs/NAME-DATA-sSEED."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an unfinished run.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run.")
    ] = False,
    amp: Annotated[
        bool | None,
        typer.Option("--amp/--no-amp", help="bfloat16 autocast; by default on a GPU."),
    ] = None,
    log_every: Annotated[
        int, typer.Option("--log-every", help="Steps between records.")
    ] = 50,
    stop_at: Annotated[
        int | None, typer.Option("--stop-at", help="Stop after so many steps, resumably.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a generated network by its recipe; everything goes into a run folder.

    Example: resgraph train generated/resnet20.py --data digits
    """
    require_file(generated)
    from resgraph.train import TrainOptions, load_data, load_generated, train

    module = load_generated(generated)
    spec = resolved_spec(generated)
    options = TrainOptions(
        data=data,
        device=device,
        iterations=iterations,
        epochs=epochs,
        batch=batch,
        lr=lr,
        schedule_scale=schedule_scale,
        seed=seed,
        out=out,
        resume=resume,
        overwrite=overwrite,
        amp=amp,
        log_every=log_every,
        stop_at=stop_at,
    )
    dataset = load_data(data, module.input_shape)
    shown = None if json else console()
    files = {} if spec is None else {SPEC: spec}
    result = train(module, dataset, options, console=shown, files=files)
    if json:
        say_json(dataclasses.asdict(result) | {"folder": result.folder.as_posix()})
    else:
        say_result(result)
    if result.status == "interrupted":
        raise typer.Exit(130)


SPEC = "spec.yaml"
"""The run folder's copy of the resolved spec, from which `export` compiles."""


def require_file(path: Path) -> None:
    """Raise `UsageError` before any heavy import."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")


def resolved_spec(generated: Path) -> str | None:
    """The spec behind a generated file, if it is there and still the same."""
    from resgraph.origin import origin

    found = origin(generated)
    if found is None:
        return None
    compiler = Compiler()
    found.graph(compiler)
    return found.resolved(compiler)


def say_result(result: Result) -> None:
    """How the run ended, and where it is."""
    if result.test_error is not None:
        best = f"best {result.best_error:.2f} % at iteration {result.best_iteration:,}"
        say(f"test error {result.test_error:.2f} % ({best}) in {result.seconds:.0f} s")
    say(f"{result.status}: {result.folder.as_posix()}")
    if result.status == "finished":
        say(f"next: resgraph export {result.folder.as_posix()}")


def export_command(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    best: Annotated[
        bool,
        typer.Option("--best", help="The weights of the best test, not of the last."),
    ] = False,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", help="The spec, where the run folder has none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="By default the run folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Export a run's trained weights as ONNX, by the emitter of `compile`: no tracing.

    Example: resgraph export runs/resnet20-digits-s0
    """
    if not run.is_dir():
        raise UsageError(f"{run}: no such run folder", "resgraph train makes one")
    from resgraph.emit import export
    from resgraph.emit.weights import stored
    from resgraph.origin import same
    from resgraph.train import open_run

    opened = open_run(run)
    weights = opened.best if best else opened.last
    source = spec or run / SPEC
    if not source.is_file():
        raise UsageError(f"{run} has no copy of its spec", "give it with --spec")
    name, wanted = opened.network, str(opened.about["digest"])
    graph = same(Compiler().graphs(source), name, wanted, source)
    files = export(graph, out or run, stored(weights, graph), metadata(opened))
    if json:
        say_json({"network": name, "weights": weights.as_posix(), "files": paths(files)})
        return
    say(f"{name} with the weights of {weights.as_posix()}: {' '.join(paths(files))}")
    say(f"next: resgraph infer {files[0].as_posix()} IMAGE...")


def paths(files: tuple[Path, ...]) -> list[str]:
    return [file.as_posix() for file in files]


def metadata(run: Run) -> dict[str, str]:
    """What travels in the model beside the network: classes and input normalisation."""
    keys = ("classes", "mean", "std")
    return {f"resgraph.{key}": json_.dumps(run.about[key]) for key in keys}
