"""The iterations of a run: when to record, test, save and stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from resgraph.diagnostics import ResgraphError, first_line, plain, plural, raised
from resgraph.recipe import Recipe
from resgraph.train.about import (
    DIVERGED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    STOPPED,
    Record,
)
from resgraph.train.batches import generators, set_generators
from resgraph.train.checkpoint import Found, Tested, best_of, standing_in
from resgraph.train.distributed import OtherRankError, World
from resgraph.train.execution import Execution
from resgraph.train.folder import RunFolder
from resgraph.train.optimizer import Parts
from resgraph.train.options import TrainOptions
from resgraph.train.pretrained import words
from resgraph.train.recompute import Recompute
from resgraph.train.records import (
    Event,
    Journal,
    Monitor,
    Standing,
)
from resgraph.train.step import Engine


@dataclass(frozen=True)
class Job:
    """What is to be done, and the folder it is done in."""

    run: RunFolder
    recipe: Recipe
    execution: Execution
    sync_bn: bool
    resumes: bool
    remark: str | None
    """What the data set replaced of the spec's recipe."""
    recompute: Recompute | None
    """What the backward pass computes anew; None where nothing plans that."""
    parts: Parts
    """What of the network is frozen, or trained at another rate."""

    @property
    def done(self) -> bool:
        """Whether the run is at its end, and was not given more."""
        reached = self.run.about["results"]["iteration"]
        return self.run.status == FINISHED and reached >= self.recipe.iterations


class DivergedError(ResgraphError):
    """Training has left the numbers."""


class Loop:
    """The iterations of one run in this process, one of the world's ranks."""

    def __init__(
        self,
        plan: Job,
        engine: Engine,
        options: TrainOptions,
        journal: Journal,
        world: World,
        monitor: Monitor | None = None,
    ) -> None:
        self.plan = plan
        self.recipe = plan.recipe
        self.engine = engine
        self.options = options
        self.journal = journal
        self.world = world
        self.monitor = monitor
        self.images = plan.run.about["train_images"]
        epoch = math.ceil(self.images / self.recipe.batch)
        self.eval_every = options.eval_every or epoch
        self.at = Standing()
        self.saved: int | None = None  # the iteration of the last checkpoint
        self.interrupt = Interrupt(patient=world.size > 1)
        self.clock = Clock()

    def run(self, found: Found | None) -> None:
        """Train until the end, until `stop_at`, or until the user has enough.

        `found` is the checkpoint to go on from; None begins a new run.
        """
        if found is not None:
            self._take_up(found)
        with self.interrupt:
            try:
                self._begin(found)
                status = self._iterate()
                if self.saved != self.at.iteration:
                    self._checkpoint()
                self._conclude(status)
            except KeyboardInterrupt:  # a second Ctrl-C: as if it had been killed
                raise
            except Exception as error:
                self._fail(error)
                raise
            except (
                BaseException
            ) as error:  # SystemExit would end us as if all were well
                file = str(self.plan.run.about["generated"])
                at = f"training ended at iteration {self.at.iteration:,}"
                told = ResgraphError(f"{at}: {raised(error, file)}")
                self._fail(told)
                raise told from None

    def _fail(self, error: Exception) -> None:
        """Let the run folder say what ended the run."""
        if self.world.is_writer:
            status = DIVERGED if isinstance(error, DivergedError) else FAILED
            self.journal.fail(error, self._standing(), status)

    def _take_up(self, found: Found) -> None:
        """Go on from a checkpoint."""
        try:
            self.at = Standing(**standing_in(found.state))
            self.engine.load_state(found.state)
            set_generators(found.state["generators"], self.engine.device)
        except (
            Exception
        ) as error:  # torch's errors at foreign contents are of many kinds
            what = plain(first_line(error))
            raise ResgraphError(
                f"the checkpoint in {self.plan.run.folder} does not fit the network: {what}",
                "start anew with --overwrite or in another folder",
            ) from None
        run = self.plan.run
        self.at.seconds = self.world.from_writer(
            lambda: run.seconds_at(self.at.iteration)
        )
        # The file may be of a test that the checkpoint does not know of yet.
        best = self.world.from_writer(lambda: best_of(run))
        self.at.best_error = best.error if best else None
        self.at.best_iteration = best.iteration if best else None
        self.saved = self.at.iteration
        self.clock = Clock(self.at.seconds)

    def _begin(self, found: Found | None) -> None:
        self._write(lambda: self.journal.begin(self._standing()))
        if self.monitor is not None:
            self.monitor.forget_after(self.at.recorded)
        if found is None:  # then there are good weights from the beginning
            self._keep_weights(best=False)
            self._checkpoint()
        self._tell(text=self._title())
        for remark in (self.plan.remark, found and found.remark):
            if remark:
                self._tell(text=remark)
        self.clock.restart()

    def _iterate(self) -> str:
        """Steps, tests and checkpoints until a reason to stop; returns the run's status."""
        while True:
            if self._test_is_due() and not self._test():
                return INTERRUPTED
            if self._checkpoint_is_due():
                self._checkpoint()
            if self.at.iteration >= self.recipe.iterations:
                return FINISHED
            if self.at.iteration >= (self.options.stop_at or math.inf):
                return STOPPED
            if self.world.any(self.interrupt.requested):
                return INTERRUPTED
            self._step()

    def _step(self) -> None:
        self.engine.step(self.at.iteration)
        self.at.iteration += 1
        self.clock.step()
        self._tell()
        if self.at.iteration % self.options.log_every == 0 and not self._test_is_due():
            self._record(self._read_loss(), self._speed(), None)
            self.clock.restart()

    def _test_is_due(self) -> bool:
        iteration = self.at.iteration
        due = iteration == self.recipe.iterations or iteration % self.eval_every == 0
        return due and iteration != self.at.tested

    def _test(self) -> bool:
        """Test, record, keep the weights. False if the user did not let the test end."""
        # Reading the loss waits for the device, so the speed is that of the steps alone.
        loss = self._read_loss()
        speed = self._speed()
        self._require(self.engine.is_finite())
        error = self.engine.test_error(self._interrupted)
        average = self._test_average(error)
        if error is None or (average is None and self.engine.average):
            return False
        at = self.at
        at.tested, at.test_error, at.test_error_ema = at.iteration, error, average
        best = at.best_error is None or error < at.best_error
        if best:
            at.best_error, at.best_iteration = error, at.iteration
        self._record(loss, speed, error)
        self._keep_weights(best)
        self.clock.restart()
        return True

    def _test_average(self, error: float | None) -> float | None:
        """The error of the weights' average; None where there is none, or no time for it."""
        average = self.engine.average
        if average is None or error is None:
            return None
        return self.engine.average_error(self._interrupted) if average.steps else error

    def _interrupted(self) -> bool:
        return self.interrupt.requested

    def _read_loss(self) -> float:
        loss = self.engine.mean_loss()
        self._require(math.isfinite(loss))
        return loss

    def _speed(self) -> float:
        """Images per second, over all ranks."""
        return self.clock.steps_per_s * self.recipe.batch

    def _require(self, finite: bool) -> None:
        """Raise `DivergedError` on the writer, and end the others, where a number is none."""
        if not self.world.any(not finite):
            return
        rate = self.recipe.lr_at(self.at.iteration - 1)
        message = (
            f"training diverged by iteration {self.at.iteration}, at learning rate "
            f"{rate:g}: the loss or a weight is no longer a finite number"
        )
        hint = (
            "start anew with --overwrite and a lower --lr, or a longer warm-up in the spec; "
            f"the weights of iteration {self.at.tested} are in {self.plan.run.last}"
        )
        raise (DivergedError if self.world.is_writer else OtherRankError)(message, hint)

    def _record(self, loss: float, speed: float, error: float | None) -> None:
        self.engine.forget_loss()
        at = self.at
        at.train_loss, at.recorded = loss, at.iteration
        record = Record(
            iteration=at.iteration,
            epoch=at.iteration * self.recipe.batch / self.images,
            lr=self.recipe.lr_at(at.iteration - 1),
            train_loss=loss,
            test_error=error,
            seconds=self.clock.seconds,
            images_per_s=speed,
            test_error_ema=None if error is None else at.test_error_ema,
        )
        self._write(lambda: self.journal.record(record))
        if self.monitor is not None:  # on all ranks: synchronised BN needs them all
            self.monitor.record(at.iteration, *self.engine.batches[at.iteration - 1])
        self._tell(record)

    def _tell(self, record: Record | None = None, text: str | None = None) -> None:
        if self.world.is_writer:
            iteration, iterations = self.at.iteration, self.recipe.iterations
            self.journal.tell(Event(iteration, iterations, record, text))

    def _title(self) -> str:
        about = self.plan.run.about
        ranks = f" on each of {self.world.size} ranks" if self.world.size > 1 else ""
        steps, batch = self.recipe.iterations, self.recipe.batch
        recompute = self.plan.recompute
        anew = f", {recompute.words}" if recompute and recompute.words else ""
        return (
            f"{about['network']} ({about['parameters']:,} parameters) on {about['data']} "
            f"({self.images:,} {plural(self.images, 'image')})\n"
            f"{steps:,} {plural(steps, 'iteration')} of "
            f"{batch} {plural(batch, 'image')}, {self._how()}{anew}, {about['device']}{ranks}"
            f"{self._of_the_start()}"
        )

    def _how(self) -> str:
        chosen = self.plan.execution.words(self.recipe.optimizer.title)
        return ", ".join([chosen, *self.recipe.extras])

    def _of_the_start(self) -> str:
        """Lines on the weights that it started from, and on parts trained otherwise."""
        weights, parts = self.plan.run.about["weights"], self.plan.parts.words
        lines = words(weights) if weights else []
        return "".join(f"\n{line}" for line in (*lines, *([parts] if parts else [])))

    # --- the folder -------------------------------------------------------------------

    def _write(self, action: Callable[[], None]) -> None:
        """Let the writer write; where it cannot, all ranks end."""
        self.world.from_writer(action)

    def _standing(self) -> Standing:
        self.at.seconds = self.clock.seconds
        return self.at

    def _keep_weights(self, best: bool) -> None:
        tested = Tested(self.at.iteration, self.at.test_error)
        self._write(lambda: self.journal.weights(self.engine.weights(), tested, best))
        if self.engine.average:
            averaged = Tested(self.at.iteration, self.at.test_error_ema)
            self._write(
                lambda: self.journal.average(self.engine.average_weights(), averaged)
            )

    def _checkpoint_is_due(self) -> bool:
        iteration, every = self.at.iteration, self.options.checkpoint_every
        if iteration == self.saved:
            return False
        if every is None:
            return iteration == self.at.tested and self.world.any(
                self.clock.checkpoint_is_due
            )
        return iteration % every == 0 or iteration == self.recipe.iterations

    def _checkpoint(self) -> None:
        """Save all that a later process needs; a state without numbers never."""
        self._require(self.engine.is_finite())
        state = {
            **self.engine.state(),
            "generators": generators(self.engine.device),
            "standing": self.at.without_clock(),
        }
        self._write(lambda: self.journal.checkpoint(state))
        self.saved = self.at.iteration
        self.clock.saved()

    def _conclude(self, status: str) -> None:
        self._write(lambda: self.journal.conclude(status, self._standing()))
        self._tell(text=status)


# --- the clock ------------------------------------------------------------------------


BETWEEN_CHECKPOINTS = 60.0
"""Seconds. Saving ResNet-1001 takes one, and what is lost to a kill is trained anew."""


class Clock:
    """Wall time of a run over all its sessions, and the speed of its steps alone."""

    def __init__(self, seconds: float = 0.0) -> None:
        """`seconds` is what earlier sessions took."""
        self._began = time.perf_counter() - seconds
        self.restart()
        self.saved()

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return time.perf_counter() - self._began

    def restart(self) -> None:
        """Measure the speed from here on."""
        self._steps = 0
        self._mark = time.perf_counter()

    def saved(self) -> None:
        """A checkpoint is made now."""
        self._saved = time.perf_counter()

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is so old that another is worth its time."""
        return time.perf_counter() - self._saved >= BETWEEN_CHECKPOINTS

    def step(self) -> None:
        """Count a step."""
        self._steps += 1

    @property
    def steps_per_s(self) -> float:
        """Steps per second since the clock was restarted."""
        return self._steps / max(time.perf_counter() - self._mark, 1e-9)


# --- Ctrl-C, SIGTERM, SIGHUP: a wish to stop after the step in hand -------------------


_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none


def signals_to_stop() -> tuple[signal.Signals, ...]:
    """What asks a run to stop; a closed terminal does not where nohup has it ignored."""
    asked = (signal.SIGINT, signal.SIGTERM)
    if _HANG_UP is None or signal.getsignal(_HANG_UP) is signal.SIG_IGN:
        return asked
    return (*asked, _HANG_UP)


class Interrupt:
    """While it is entered, the first signal sets `requested`, and a second one stops hard.

    Not so a hang-up: a terminal that closes sends it from the shell and from the system.
    Nor with `patient`: torchrun passes on to its processes the signals that the terminal
    has sent them already, so there a second one means no more than the first.
    Outside the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested = False
        self.patient = patient
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            handled = signals_to_stop()
            self._before = {s: signal.signal(s, self._handle) for s in handled}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == _HANG_UP:
            return
        if self._asked and not self.patient:
            raise KeyboardInterrupt
        self._asked = True
