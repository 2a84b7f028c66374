"""`train`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
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
    Fused,
    FusedKernels,
    Generated,
    LogEvery,
    Monitored,
    Out,
    Overwrite,
    Precision,
    Resume,
    ScheduleScale,
    Seed,
    StopAt,
    SyncBn,
    TrainDevice,
)
from resgraph.cli.common import (
    Json,
    console,
    leave_closed_terminal,
    require_file,
    say,
    say_json,
    telling_compiler,
)
from resgraph.cli.planning import AUTO, MemoryBudget
from resgraph.cli.recipes import with_recipe
from resgraph.diagnostics import ResgraphError

if TYPE_CHECKING:
    from resgraph.origin import Source
    from resgraph.train import Result, TrainOptions


@with_recipe
def train_command(
    generated: Generated,
    data: Data = "cifar10",
    device: TrainDevice = "auto",
    schedule_scale: ScheduleScale = 1.0,
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
    """Train a generated network by its recipe; everything goes into a run folder.

    Example: resgraph train generated/resnet20.py --data digits
    """
    require_file(generated)
    from resgraph.train import TrainOptions

    options = TrainOptions(
        data=data,
        device=device,
        schedule_scale=schedule_scale,
        recipe=recipe,
        seed=seed,
        out=out,
        resume=resume,
        overwrite=overwrite,
        precision=precision,
        channels_last=channels_last,
        compile=compile,
        cuda_graph=cuda_graph,
        fused=fused,
        fused_kernels=fused_kernels,
        sync_bn=sync_bn,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        eval_every=eval_every,
        stop_at=stop_at,
        monitor=monitor,
    )
    run_training(generated, options, memory_budget, json)


def run_training(
    generated: Path, options: TrainOptions, memory_budget: str, json: bool
) -> None:
    """Train what resgraph wrote in this process, and what it did not in another one."""
    from resgraph.cli.apart import train_apart

    source = compared(generated)
    if source.foreign is None:
        train_here(source, options, memory_budget, json)
    else:
        train_apart(source, options, memory_budget, json)


def compared(generated: Path) -> Source:
    """The file's text beside its spec's; of several ranks, the first alone tells errors."""
    from resgraph.origin import read_source

    try:
        return read_source(generated, compiler=telling_compiler())
    except ResgraphError:
        if os.environ.get("RANK", "0") == "0":
            raise
        raise typer.Exit(1) from None


def train_here(
    source: Source, options: TrainOptions, memory_budget: str, json: bool
) -> Result:
    """Train in this process, perhaps one of several that torchrun started."""
    from resgraph.data import load_data
    from resgraph.train import load_generated, train
    from resgraph.train.options import pick_device
    from resgraph.train.world import OtherRankError, joined

    shown = None if json else console()
    try:
        with joined(cuda=pick_device(options.device).type == "cuda") as world:
            module = world.after_writer(
                lambda: load_generated(source.path, source.text)
            )
            spec = behind(source)
            planner = spec.planner(memory_budget)
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
            )
    except OtherRankError:  # which tells it
        raise typer.Exit(1) from None
    leave_closed_terminal()
    if world.is_writer and json:
        say_json(dataclasses.asdict(result) | {"folder": result.folder.as_posix()})
    elif world.is_writer:
        say_result(result)
    if result.status == "interrupted":
        raise typer.Exit(130)
    return result


def say_result(result: Result) -> None:
    """How the run ended, and where it is."""
    if result.test_error is not None:
        best = f"best {result.best_error:.2f} % at iteration {result.best_iteration:,}"
        say(f"test error {result.test_error:.2f} % ({best}) in {result.seconds:.0f} s")
    say(f"run folder: {result.folder.as_posix()}")
    if result.status == "finished":
        say(f"next: resgraph export {result.folder.as_posix()}")


COMMANDS = {"train": train_command}
