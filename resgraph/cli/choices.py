"""The options of `train`, a type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Generated = Annotated[
    Path, typer.Argument(help="A generated file.", metavar="generated/NAME.py")
]
Data = Annotated[
    str, typer.Option("--data", help="cifar10, cifar100, digits, or a folder.")
]
TrainDevice = Annotated[
    str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda.")
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", help="Length of the schedule, in steps.")
]
Epochs = Annotated[
    float | None, typer.Option("--epochs", help="The same, in passes over the data.")
]
Batch = Annotated[int | None, typer.Option("--batch", help="Images per step.")]
Lr = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
ScheduleScale = Annotated[
    float, typer.Option("--schedule-scale", help="Factor on the schedule's length.")
]
Seed = Annotated[int, typer.Option("--seed", help="Decides all that is random.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="RUN", help="Run folder; runs/NAME-DATA-sSEED."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")]
Amp = Annotated[
    bool | None,
    typer.Option("--amp/--no-amp", help="bfloat16 autocast; by default on a GPU."),
]
LogEvery = Annotated[int, typer.Option("--log-every", help="Steps between records.")]
StopAt = Annotated[
    int | None, typer.Option("--stop-at", help="Stop after so many steps, resumably.")
]
