"""Training from start to end: when to record, test, save and stop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.train.batches import seed_of
from resgraph.train.engine import Engine, fastest
from resgraph.train.events import Event, OnEvent, Result, Standing, result_of
from resgraph.train.interrupt import Interrupt
from resgraph.train.module import Generated
from resgraph.train.options import TrainOptions, pick_device
from resgraph.train.run import (
    DIVERGED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STOPPED,
    Record,
)
from resgraph.train.start import Plan, begin

if TYPE_CHECKING:
    from rich.console import Console


def train(
    generated: Generated,
    data: Dataset,
    options: TrainOptions | None = None,
    *,
    console: Console | None = None,
    on_event: OnEvent | None = None,
    files: Mapping[str, str] | None = None,
) -> Result:
    """Train a network on a data set and keep all about it in a run folder.

    Progress is shown on `console`, if given, and told to `on_event`. `files` (names and
    texts) are kept in a new run's folder. On the CPU, a run that was interrupted and
    resumed ends with bitwise the same weights as one that was not. The caller's random
    generators are left as they are.

    Raises `ResgraphError` if network and data do not fit together, if the device is not
    there, if the folder holds another run, or if the loss stops being a number; then the
    last good weights are in the folder.
    """
    options = options or TrainOptions()
    device = pick_device(options.device)
    cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(cuda))
        stack.enter_context(fastest(device))
        torch.manual_seed(seed_of(options.seed, "weights"))
        network = generated.build()
        data.check_fits(generated.input_shape, generated.classes(network))
        plan = begin(generated, data, options, network, device, files or {})
        if plan.run.status == FINISHED:
            return result_of(plan.run)
        listeners = [on_event] if on_event else []
        if console is not None:
            from resgraph.train.progress import Display

            listeners.append(stack.enter_context(Display(console)))
        stack.enter_context(_memory_explained(plan.recipe.batch))
        engine = Engine(network, data, plan.recipe, options.seed, device, plan.amp)
        return _Loop(plan, engine, options, listeners).run()


@contextlib.contextmanager
def _memory_explained(batch: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise ResgraphError(
            f"the device's memory is too small for batches of {batch} images",
            "try a smaller --batch",
        ) from None


class _Loop:
    """The iterations of one run in this process."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        options: TrainOptions,
        listeners: list[OnEvent],
    ) -> None:
        self.plan = plan
        self.folder = plan.run
        self.recipe = plan.recipe
        self.engine = engine
        self.options = options
        self.listeners = listeners
        self.images = len(engine.batches.images)
        epoch = math.ceil(self.images / self.recipe.batch)
        self.eval_every = options.eval_every or epoch
        self.at = Standing()
        self.interrupt = Interrupt()
        self.began = time.perf_counter()

    def run(self) -> Result:
        """Train until the end, until `stop_at`, or until the user has enough."""
        if self.plan.resumes:
            self._take_up()
        else:
            self._save(best=False)  # so that there are good weights from the beginning
        self.folder = self.folder.update(status=RUNNING)
        self._restart_speed()
        self._tell(text=self._title())
        with self.interrupt:
            status = self._iterate()
            if status != FINISHED:
                self._save_state()
        self._conclude(status)
        return result_of(self.folder)

    def _iterate(self) -> str:
        """Steps and tests until a reason to stop; returns the run's status."""
        while True:
            if self._test_is_due() and not self._test():
                return INTERRUPTED
            if self.at.iteration >= self.recipe.iterations:
                return FINISHED
            if self.at.iteration >= (self.options.stop_at or math.inf):
                return STOPPED
            if self.interrupt.requested:
                return INTERRUPTED
            self._step()

    def _step(self) -> None:
        self.engine.step(self.at.iteration)
        self.at.iteration += 1
        self.steps += 1
        self._tell()
        if self.at.iteration % self.options.log_every == 0 and not self._test_is_due():
            self._record(self._read_loss(), self._speed(), None)
            self._restart_speed()

    def _test_is_due(self) -> bool:
        iteration = self.at.iteration
        due = iteration == self.recipe.iterations or iteration % self.eval_every == 0
        return due and iteration != self.at.tested

    def _test(self) -> bool:
        """Test, record and save. False if the user did not let the test end."""
        # Reading the loss waits for the device, so the speed is that of the steps alone.
        loss = self._read_loss()
        speed = self._speed()
        self._require(self.engine.is_finite())
        error = self.engine.test_error(lambda: self.interrupt.requested)
        if error is None:
            return False
        at = self.at
        at.tested, at.test_error = at.iteration, error
        best = at.best_error is None or error < at.best_error
        if best:
            at.best_error, at.best_iteration = error, at.iteration
        self._record(loss, speed, error)
        self._save(best)
        self._restart_speed()
        return True

    def _read_loss(self) -> float:
        loss = self.engine.mean_loss()
        self._require(math.isfinite(loss))
        return loss

    def _require(self, finite: bool) -> None:
        """Raise `ResgraphError` where training has left the numbers."""
        if finite:
            return
        self._conclude(DIVERGED)
        rate = self.recipe.lr_at(self.at.iteration - 1)
        raise ResgraphError(
            f"training diverged by iteration {self.at.iteration}, at learning rate "
            f"{rate:g}: the loss or a weight is no longer a finite number",
            f"try a lower --lr, or a longer warm-up in the spec; the weights of iteration "
            f"{self.at.tested} are in {self.folder.last}",
        )

    def _record(self, loss: float, speed: float, error: float | None) -> None:
        self.engine.forget_loss()
        self.at.train_loss = loss
        record = Record(
            iteration=self.at.iteration,
            epoch=self.at.iteration * self.recipe.batch / self.images,
            lr=self.recipe.lr_at(self.at.iteration - 1),
            train_loss=loss,
            test_error=error,
            seconds=self._seconds(),
            images_per_s=speed,
        )
        self.folder.append(record)
        self._tell(record)

    def _tell(self, record: Record | None = None, text: str | None = None) -> None:
        event = Event(self.at.iteration, self.recipe.iterations, record, text)
        for listener in self.listeners:
            listener(event)

    def _title(self) -> str:
        about = self.folder.about
        precision = "bfloat16 autocast" if self.plan.amp else "float32"
        return (
            f"{about['network']} ({about['parameters']:,} parameters) on {about['data']} "
            f"({self.images:,} images)\n{self.recipe.iterations:,} iterations of "
            f"{self.recipe.batch} images, {precision}, {about['device']}"
        )

    # --- the clock --------------------------------------------------------------------

    def _seconds(self) -> float:
        return time.perf_counter() - self.began

    def _restart_speed(self) -> None:
        self.steps = 0
        self.mark = time.perf_counter()

    def _speed(self) -> float:
        """Images per second since the clock was restarted."""
        elapsed = time.perf_counter() - self.mark
        return self.steps * self.recipe.batch / max(elapsed, 1e-9)

    # --- the folder -------------------------------------------------------------------

    def _save(self, best: bool) -> None:
        weights = self.engine.weights()
        if best:
            self.folder.save_weights(self.folder.best, weights)
        self.folder.save_weights(self.folder.last, weights)
        self._save_state()

    def _save_state(self) -> None:
        self.at.seconds = self._seconds()
        self.folder.save_state({**self.engine.state(), "standing": asdict(self.at)})

    def _take_up(self) -> None:
        """Go on from what was saved last."""
        state = self.folder.load_state(self.engine.device)
        self.at = Standing(**state["standing"])
        self.began -= self.at.seconds
        self.engine.load_state(state)
        self.folder.forget_after(self.at.iteration)

    def _conclude(self, status: str) -> None:
        self.at.seconds = self._seconds()
        results = asdict(self.at)
        self.folder = self.folder.update(status=status, results=results)
        self._tell(text=status)
