"""The options of `train`, a type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Targets = Annotated[
    list[Path],
    typer.Argument(
        help="A generated file, a spec, or a run folder to go on with.",
        metavar="NAME.py|SPEC|RUN",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="cifar10, cifar100, digits, a folder (parquet, images) or a CIFAR archive.",
    ),
]
TrainDevice = Annotated[
    str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda.")
]
ScheduleScale = Annotated[
    float, typer.Option("--schedule-scale", help="Factor on the schedule's length.")
]
Seed = Annotated[int, typer.Option("--seed", help="Decides all that is random.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="RUN", help="Run folder; runs/NAME-DATA-sSEED."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with a run: --resume RUN restores all of it; beside a file, its run.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="auto (bf16 on a GPU, else fp32), fp32, tf32, bf16."
    ),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last", help="Layout of maps; by default yes."
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile", help="torch.compile of units; by default on a GPU."
    ),
]
CudaGraph = Annotated[
    bool | None,
    typer.Option(
        "--cuda-graph/--no-cuda-graph",
        help="Record the step and replay it; by default on a GPU.",
    ),
]
Fused = Annotated[
    bool | None,
    typer.Option(
        "--fused/--no-fused", help="The optimiser as one kernel; by default yes."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|RUN|PATH:CALLABLE",
        help="Start from these; with other classes, all but the last layer.",
    ),
]
Freeze = Annotated[
    list[str],
    typer.Option(
        "--freeze",
        metavar="PATTERN",
        help="Do not train what is so called: 'stem*', 'stage1', '*.bn1'.",
    ),
]
LrOf = Annotated[
    list[str],
    typer.Option(
        "--lr-of",
        metavar="PATTERN=FACTOR",
        help="A factor on the learning rate of what is so called.",
    ),
]
FusedKernels = Annotated[
    bool | None,
    typer.Option(
        "--fused-kernels/--no-fused-kernels",
        help="BN-ReLU-convolutions by resgraph's own kernels; by default no.",
    ),
]
LogEvery = Annotated[int, typer.Option("--log-every", help="Steps between records.")]
CheckpointEvery = Annotated[
    int | None,
    typer.Option("--checkpoint-every", help="Steps between checkpoints; one a minute."),
]
SyncBn = Annotated[
    bool | None,
    typer.Option("--sync-bn/--no-sync-bn", help="BN over all ranks; by default yes."),
]
EvalEvery = Annotated[
    int | None,
    typer.Option("--eval-every", help="Steps between tests; by default an epoch."),
]
Monitored = Annotated[
    bool,
    typer.Option("--monitor", help="Record truncation, responses, gradients by unit."),
]
StopAt = Annotated[
    int | None, typer.Option("--stop-at", help="Stop after so many steps, resumably.")
]
