"""`train`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import typer

from resgraph.cli.behind import behind
from resgraph.cli.choices import (
    ChannelsLast,
    CheckpointEvery,
    Compile,
    CudaGraph,
    Data,
    EvalEvery,
    Freeze,
    Fused,
    FusedKernels,
    LogEvery,
    LrOf,
    Monitored,
    Out,
    Overwrite,
    Precision,
    Resume,
    ScheduleScale,
    Seed,
    StopAt,
    SyncBn,
    Targets,
    TrainDevice,
    Weights,
)
from resgraph.cli.common import (
    Json,
    Network,
    Set,
    console,
    leave_closed_terminal,
    say,
    say_json,
)
from resgraph.cli.planning import AUTO, MemoryBudget
from resgraph.cli.recipes import with_recipe
from resgraph.cli.tasks import Task, asked, task, typed
from resgraph.cli.tuning import factors, pretraining

if TYPE_CHECKING:
    from resgraph.train import Result


@with_recipe
def train_command(
    context: typer.Context,
    targets: Targets = [],  # noqa: B006 (typer reads the default)
    network: Network = None,
    settings: Set = [],  # noqa: B006
    data: Data = "cifar10",
    device: TrainDevice = "auto",
    schedule_scale: ScheduleScale = 1.0,
    weights: Weights = None,
    freeze: Freeze = [],  # noqa: B006
    lr_of: LrOf = [],  # noqa: B006
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    precision: Precision = "auto",
    channels_last: ChannelsLast = None,
    compile: Compile = None,
    cuda_graph: CudaGraph = None,
    fused: Fused = None,
    fused_kernels: FusedKernels = None,
    sync_bn: SyncBn = None,
    log_every: LogEvery = 50,
    eval_every: EvalEvery = None,
    checkpoint_every: CheckpointEvery = None,
    stop_at: StopAt = None,
    monitor: Monitored = False,
    memory_budget: MemoryBudget = AUTO,
    json: Json = False,
    recipe: dict[str, Any] = {},  # noqa: B006 (from options of its own)
) -> None:
    """Train a network by its recipe, or go on with a run; everything is in a run folder.

    Example: resgraph train generated/resnet20.py --data digits
    """
    chosen = typed(context)
    if recipe:
        chosen["recipe"] = recipe
    if "lr_of" in chosen:
        chosen["lr_of"] = factors(lr_of)
    if "freeze" in chosen:
        chosen["freeze"] = tuple(freeze)
    what = asked(targets, network, settings, chosen)
    run_training(task(what), json)


def run_training(todo: Task, json: bool) -> None:
    """Train what resgraph wrote in this process, and what it did not in another one."""
    from resgraph.cli.apart import train_apart

    if todo.source.foreign is None:
        train_here(todo, json)
    else:
        train_apart(todo, json)


def train_here(todo: Task, json: bool) -> Result:
    """Train in this process, perhaps one of several that torchrun started."""
    from resgraph.data import load_data
    from resgraph.train import load_generated, train
    from resgraph.train.distributed import OtherRankError, joined
    from resgraph.train.options import pick_device

    source, options = todo.source, todo.options
    shown = None if json else console()
    try:
        with joined(cuda=pick_device(options.device).type == "cuda") as world:
            module = world.after_writer(
                lambda: load_generated(source.path, source.text, source.name)
            )
            spec = behind(source)
            planner = spec.planner(options.memory_budget)
            data = world.after_writer(
                lambda: load_data(options.data, module.input_shape)
            )
            result = train(
                module,
                data,
                options,
                console=shown,
                files=spec.files,
                world=world,
                planner=planner,
                cuts=spec.cuts if options.monitor else None,
                pretraining=pretraining(options.weights, spec),
            )
    except OtherRankError:  # which tells it
        raise typer.Exit(1) from None
    leave_closed_terminal()
    if world.is_writer and json:
        say_json(as_json(result))
    elif world.is_writer:
        say_result(result)
    if result.status == "interrupted":
        raise typer.Exit(130)
    return result


def as_json(result: Result) -> dict[str, Any]:
    """The result for a program, with the line that goes on from it."""
    about = dataclasses.asdict(result) | {"folder": result.folder.as_posix()}
    return about | {"next": next_of(result)[1]}


def next_of(result: Result) -> tuple[str, str]:
    """What comes next, and its line."""
    from resgraph.train import open_run
    from resgraph.train.again import resuming, word

    if result.status == "finished":
        return "next", f"resgraph export {word(result.folder)}"
    return "go on", resuming(open_run(result.folder))


def say_result(result: Result) -> None:
    """How the run ended, and where it is."""
    if result.test_error is not None:
        best = f"best {result.best_error:.2f} % at iteration {result.best_iteration:,}"
        say(f"test error {result.test_error:.2f} % ({best}) in {result.seconds:.0f} s")
    say(f"run folder: {result.folder.as_posix()}")
    say(": ".join(next_of(result)))


COMMANDS = {"train": train_command}
