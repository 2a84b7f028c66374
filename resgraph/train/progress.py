"""Progress of a training run on a rich console."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from resgraph.train.about import Record
from resgraph.train.records import Event

_ETA_SECONDS = 300.0  # the speed that the ETA is computed from is that of so long


class Display:
    """Called with each event: one live line on a terminal, and a line for every test.

    What it shows may be lost, to a terminal that was closed or a full disk: the run is not.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tested = ""
        self.progress = Progress(
            TextColumn("{task.fields[done]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TextColumn("ETA", style="progress.remaining"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            transient=True,
            expand=True,
            speed_estimate_period=_ETA_SECONDS,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None, done="")

    def __enter__(self) -> Display:
        with suppress(OSError):
            self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self.progress.stop()

    def __call__(self, event: Event) -> None:
        with suppress(OSError):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        self.progress.update(
            self.task,
            completed=event.iteration,
            total=event.iterations,
            done=f"{event.iteration:,}/{event.iterations:,}",
        )
        if event.text is not None:
            self.console.print(Text(event.text))
        if event.record is not None:
            self._show(event.record)

    def _show(self, record: Record) -> None:
        loss = f"loss {record.train_loss:.4f}"
        speed = f"{record.images_per_s:,.0f} img/s"
        if record.test_error is not None:
            self.tested = f"  error {record.test_error:.2f} %"
            line = (
                f"{record.iteration:>7,}  epoch {record.epoch:5.1f}  lr {record.lr:<6.3g} "
                f"{loss}  test error {record.test_error:5.2f} %{_average(record)}  {speed}"
            )
            self.console.print(Text(line))
        now = f"{loss}{self.tested}  lr {record.lr:.3g}  {speed}"
        self.progress.update(self.task, description=now)


def _average(record: Record) -> str:
    error = record.test_error_ema
    return "" if error is None else f" (EMA {error:.2f} %)"
