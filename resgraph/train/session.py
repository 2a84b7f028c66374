"""Training from start to end: the folder, the network, the loop, the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError, RetryError
from resgraph.train.again import saying_how_to_go_on
from resgraph.train.batches import seed_of
from resgraph.train.checkpoint import Found, load_checkpoint
from resgraph.train.engine import Engine
from resgraph.train.events import OnEvent, Result, result_of
from resgraph.train.generators import forked
from resgraph.train.journal import Journal
from resgraph.train.lock import locked
from resgraph.train.loop import Loop
from resgraph.train.memory import MemoryPlanner
from resgraph.train.module import Generated
from resgraph.train.monitor import Monitor
from resgraph.train.options import TrainOptions, pick_device
from resgraph.train.precision import numerics
from resgraph.train.pretrained import Pretraining, filled_again
from resgraph.train.start import Plan, begin
from resgraph.train.world import ALONE, World

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
    world: World = ALONE,
    planner: MemoryPlanner | None = None,
    cuts: Mapping[str, bool] | None = None,
    pretraining: Pretraining | None = None,
) -> Result:
    """Train a network on a data set and keep all about it in a run folder.

    Progress is shown on `console`, if given, and told to `on_event`. `files` (names and
    texts) are kept in a new run's folder. On the CPU, a run that was interrupted or killed
    and resumed ends with bitwise the same weights as one that was not. The caller's random
    generators are left as they are. Of several ranks in a `world`, the writer alone shows
    and writes anything; all return the result. `planner` decides what is computed anew so
    that training fits the memory; `cuts`, which with `options.monitor` is needed, says of
    each unit whether its f ends in a cut at zero. `pretraining` reads the weights that a new
    run starts from.

    Raises `ResgraphError` if network and data do not fit together, if the device is not
    there, if the folder holds another run or cannot be written, or if the loss stops being
    a number; then the last good weights are in the folder.
    """
    options = options or TrainOptions()
    if options.monitor and cuts is None:
        raise ResgraphError(
            "the monitor needs the spec of the generated file, and it is not there",
            "put the spec where the file's first line says",
        )
    device = pick_device(options.device)
    with contextlib.ExitStack() as stack:
        stack.enter_context(forked(device))
        torch.manual_seed(seed_of(options.seed, "weights"))
        network = generated.build()
        facts = (generated, data, options, network, device, files or {}, world)
        more = (planner, pretraining)
        folder = options.folder_for(generated, data)
        plan = world.from_writer(
            lambda: _alone(partial(begin, *facts, *more), folder, stack)
        )
        if plan.done:
            return result_of(plan.run)
        found = world.from_writer(lambda: _checkpoint(plan, network, pretraining))
        plan.parts.freeze(network)
        listeners = [on_event] if on_event else []
        if console is not None and world.is_writer:
            from resgraph.train.progress import Display

            listeners.append(stack.enter_context(Display(console)))
        journal = stack.enter_context(contextlib.closing(Journal(plan.run, listeners)))
        written = plan.run.folder if world.is_writer else None
        monitor = Monitor(network, cuts or {}, written) if options.monitor else None
        stack.enter_context(saying_how_to_go_on(journal, world.is_writer))
        stack.enter_context(_memory_explained(plan))
        stack.enter_context(numerics(plan.execution.precision))
        engine = _engine(plan, network, data, options.seed, world)
        if plan.run.about["weights"] is not None:  # which the writer has
            world.equalise([*network.parameters(), *network.buffers()])
        Loop(plan, engine, options, journal, world, monitor).run(found)
        return world.from_writer(lambda: result_of(journal.run))


def _checkpoint(
    plan: Plan, network: nn.Module, pretraining: Pretraining | None
) -> Found | None:
    """What a run is resumed from. One that ended before it had that is begun once more."""
    found = load_checkpoint(plan.run) if plan.resumes else None
    if plan.resumes and found is None:
        filled_again(network, plan.run.about["weights"], pretraining)
    return found


def _alone(
    start: Callable[[], Plan], folder: Path, stack: contextlib.ExitStack
) -> Plan:
    """Start within the folder's lock, which is held from when there is a folder."""
    new = not folder.exists()
    if not new:
        stack.enter_context(locked(folder))
    plan = start()
    if new:
        stack.enter_context(locked(folder))
    return plan


def _engine(
    plan: Plan, network: nn.Module, data: Dataset, seed: int, world: World
) -> Engine:
    """The engine that does what was planned."""
    return Engine(
        network,
        data,
        plan.recipe,
        seed,
        plan.execution,
        world,
        plan.sync_bn,
        plan.recompute,
        plan.parts,
    )


@contextlib.contextmanager
def _memory_explained(plan: Plan) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        peak = 0 if plan.recompute is None else plan.recompute.as_dict().get("peak", 0)
        raise RetryError(
            f"the device's memory is too small for batches of {plan.recipe.batch} images",
            "go on with --resume and a --memory-budget, or start anew with --overwrite and "
            "a smaller --batch",
            f"--memory-budget {peak // 2**21}MiB" if peak >= 2**21 else "",
        ) from None
