"""Progress of a training run on a rich console."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from resgraph.train.events import Event
from resgraph.train.run import Record


class Display:
    """Called with each event: a bar on a terminal, and a line for every test."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        self.progress.update(
            self.task, completed=event.iteration, total=event.iterations
        )
        if event.text is not None:
            self.console.print(Text(event.text))
        if event.record is not None:
            self._show(event.record)

    def _show(self, record: Record) -> None:
        loss, speed = (
            f"loss {record.train_loss:.4f}",
            f"{record.images_per_s:,.0f} img/s",
        )
        self.progress.update(self.task, description=f"{loss}  {speed}")
        if record.test_error is not None:
            line = (
                f"{record.iteration:>7,}  epoch {record.epoch:5.1f}  lr {record.lr:<6.3g} "
                f"{loss}  test error {record.test_error:5.2f} %  {speed}"
            )
            self.console.print(Text(line))
