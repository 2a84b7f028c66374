"""Training from start to end: a folder new or taken up again, the network, the loop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from resgraph.data import Dataset
from resgraph.data.places import NAMES
from resgraph.diagnostics import ResgraphError, RetryError, option, plain
from resgraph.recipe import Recipe
from resgraph.train.about import RUNNING, fingerprint
from resgraph.train.again import longer, saying_how_to_go_on
from resgraph.train.batches import check_batch, forked, seed_of
from resgraph.train.checkpoint import Found, load_checkpoint
from resgraph.train.distributed import ALONE, World
from resgraph.train.execution import Execution, element_size, execution_for, numerics
from resgraph.train.folder import (
    RunFolder,
    create_run,
    device_name,
    environment,
    locked,
    open_run,
    writing,
)
from resgraph.train.loop import Job, Loop
from resgraph.train.module import Generated
from resgraph.train.monitor import Monitor
from resgraph.train.optimizer import Parts, parts_of, patterns_of
from resgraph.train.options import (
    OF_THE_RECIPE,
    OF_THE_START,
    TrainOptions,
    pick_device,
)
from resgraph.train.pretrained import Pretraining, filled, filled_again
from resgraph.train.recompute import (
    MemoryPlanner,
    Recompute,
    draws_anew,
    left_for_training,
)
from resgraph.train.records import Journal, OnEvent, Result, Standing, result_of
from resgraph.train.step import Engine

if TYPE_CHECKING:
    from rich.console import Console


def begin(
    generated: Generated,
    data: Dataset,
    options: TrainOptions,
    network: nn.Module,
    device: torch.device,
    files: Mapping[str, str],
    world: World,
    planner: MemoryPlanner | None = None,
    pretraining: Pretraining | None = None,
) -> Job:
    """Make the run folder, or open the one that is resumed.

    A new run's network is filled with what it starts from. Raises `ResgraphError` if network
    and data do not fit together, if the batch is larger than the training set or cannot be
    split evenly, if no plan fits the memory, or if the folder holds another run than the one
    asked for; in all these cases nothing has been written.
    """
    data.check_fits(generated.input_shape, generated.classes(network))
    chosen = options.chosen_for(generated, data)
    recipe = chosen.recipe
    folder = options.folder_for(generated, data)
    facts = _facts(generated, data, options.seed)
    kept = {f"{generated.name}.py": generated.source, **files}
    if options.resume:
        run = open_run(folder)
        _check_same(run, facts)
        if options.changes_recipe:
            run = longer(run, recipe, options)
        return _gone_on(run, data, options, network, device, kept, world, planner)
    sync_bn = True if options.sync_bn is None else options.sync_bn
    parts = parts_of(network, options.freeze, options.lr_of)
    _check_reached(generated, network, parts)
    execution = execution_for(options, device, world.size).spared(network)
    check_batch(recipe.batch, data, world.size)
    execution, recompute = _planned(planner, network, recipe, execution, world, sync_bn)
    about = {
        **facts,
        "weights": None if pretraining is None else filled(network, pretraining),
        **_chosen(options, data, folder),
        "status": RUNNING,
        "recipe": recipe.as_dict(),
        "replaced": {word: [*both] for word, both in chosen.replaced.items()},
        "execution": execution.as_dict(),
        "sync_bn": sync_bn,
        "ranks": world.size,
        "device": device_name(device),
        "environment": environment(device),
        "memory": None if recompute is None else recompute.as_dict(),
        "files": {name: fingerprint(text) for name, text in kept.items()},
        "parameters": sum(p.numel() for p in network.parameters()),
        "results": asdict(Standing()),
    }
    run = create_run(folder, about, kept, options.overwrite)
    remark = chosen.remark(plain(data.name))
    return Job(run, recipe, execution, sync_bn, False, remark, recompute, parts)


def _check_reached(generated: Generated, network: nn.Module, parts: Parts) -> None:
    """Raise `ResgraphError` if there is something to train that no logit depends on."""
    unreached = generated.unreached(network)
    left = [n for n in unreached if n not in parts.frozen]
    if left:
        first, more = left[0], len(left) - 1
        names = f"{first} and {more} more" if more else first
        every = (name for name, _ in network.named_parameters())
        patterns = patterns_of(unreached, every)
        freeze = " ".join(f"--freeze {plain(pattern)}" for pattern in patterns)
        raise ResgraphError(
            f"{plain(generated.path)}: the logits do not depend on {names}, and training "
            "would leave them as they start",
            f"{freeze} says that they stay; or leave their output out of the spec",
        )


def _gone_on(
    run: RunFolder,
    data: Dataset,
    options: TrainOptions,
    network: nn.Module,
    device: torch.device,
    kept: Mapping[str, str],
    world: World,
    planner: MemoryPlanner | None,
) -> Job:
    """The run as it is resumed, as it was unless it is asked for otherwise."""
    options = _as_begun(run, options)
    parts = parts_of(network, options.freeze, options.lr_of)
    check_batch(run.recipe.batch, data, world.size)
    before = run.about["execution"]
    execution = execution_for(options, device, world.size, before).spared(network)
    sync_bn = bool(run.about["sync_bn"]) if options.sync_bn is None else options.sync_bn
    moved = _moved(run, device, world)
    moved = RunFolder(run.folder, {**moved.about, **_chosen_now(moved, options, data)})
    execution, recompute = _planned(
        planner, network, run.recipe, execution, world, sync_bn
    )
    with writing(run.folder):
        moved = moved.complete(kept)
    return Job(moved, run.recipe, execution, sync_bn, True, None, recompute, parts)


def _planned(
    planner: MemoryPlanner | None,
    network: nn.Module,
    recipe: Recipe,
    execution: Execution,
    world: World,
    sync_bn: bool,
) -> tuple[Execution, Recompute | None]:
    """What to compute anew, so that training fits this rank's device, and how with it.

    BN-ReLU is left to torch.compile, which does it by itself, and not done where BN's
    statistics are those of several ranks. Dropout that is computed anew rules out a CUDA
    graph.
    """
    if planner is None:
        return execution, None
    recompute = planner(
        batch=recipe.batch // world.size,
        element=element_size(execution.precision),
        free=left_for_training(network, execution.device, world.size, recipe.copies),
        bn_relu=not execution.compile and not (world.size > 1 and sync_bn),
    )
    return execution.recording(not draws_anew(network, recompute)), recompute


def _moved(run: RunFolder, device: torch.device, world: World) -> RunFolder:
    """The run as it goes on, perhaps elsewhere; what it ran on before is kept."""
    now = environment(device)
    about: dict[str, Any] = {"ranks": world.size, "device": device_name(device)}
    if now != (before := run.about.get("environment")):
        earlier = [*run.about.get("earlier_environments", []), before]
        about |= {"environment": now, "earlier_environments": earlier}
    return RunFolder(run.folder, {**run.about, **about})


def _as_begun(run: RunFolder, options: TrainOptions) -> TrainOptions:
    """The options with what the run starts from and trains, which are never others.

    Raises `ResgraphError` where others are chosen.
    """
    before, now = run.options, options.as_dict()
    own = {name: getattr(before, name) for name in OF_THE_START}
    for name, value in own.items():
        if now[name] and getattr(options, name) != value:
            raise ResgraphError(
                f"cannot resume {run.folder} with another {option(name)}: it was begun with "
                f"{plain(value or 'none')}, not {plain(now[name])}",
                "leave it out, or start anew with another --out",
            )
    return replace(options, **own)


def _chosen(options: TrainOptions, data: Dataset, folder: Path) -> dict[str, Any]:
    """The options that a run is gone on with, and where its data lie from its folder."""
    path = Path(options.data)
    if options.data in NAMES or not path.exists():
        return {"options": options.kept | {"data": data.name}, "data_at": None}
    at = None if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()
    return {"options": options.kept, "data_at": at}


def _chosen_now(run: RunFolder, options: TrainOptions, data: Dataset) -> dict[str, Any]:
    """The same as they are once a run is gone on with; its recipe is its own."""
    before = run.about["options"]
    if before is None:  # a folder of before, which the recipe is not known of
        return {}
    own = {name: before.get(name) for name in OF_THE_RECIPE}
    chosen = _chosen(options, data, run.folder)
    if options.data == data.name or Path(options.data).exists():
        return chosen | {"options": chosen["options"] | own}
    own["data"] = before.get("data")
    return {"options": chosen["options"] | own}


def _facts(generated: Generated, data: Dataset, seed: int) -> dict[str, Any]:
    """What makes a run the run it is, and what an exported model has to know of it."""
    return {
        "network": generated.name,
        "generated": plain(generated.path.as_posix(), 1000),
        "spec": generated.spec,
        "digest": generated.digest,
        "data": data.name,
        "data_digest": data.fingerprint,
        "train_images": len(data.train_images),
        "test_images": len(data.test_images),
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
        "input_shape": list(generated.input_shape),
        "seed": seed,
    }


_FIXED = {
    "network": "another network",
    "digest": "another topology, since the spec has changed",
    "data": "other data",
    "data_digest": "other images",
    "seed": "another seed",
}


def _check_same(run: RunFolder, facts: dict[str, Any]) -> None:
    """Raise `ResgraphError` if a run is to be resumed as what it was not."""
    for key, what in _FIXED.items():
        if run.about.get(key) != facts[key]:
            raise ResgraphError(
                f"cannot resume {run.folder}: it is a run with {what} "
                f"({key} {run.about.get(key)}, now {facts[key]})",
                "give the same as then, or start anew with another --out",
            )


# --- from start to end ----------------------------------------------------------------


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
    plan: Job, network: nn.Module, pretraining: Pretraining | None
) -> Found | None:
    """What a run is resumed from. One that ended before it had that is begun once more."""
    found = load_checkpoint(plan.run) if plan.resumes else None
    if plan.resumes and found is None:
        filled_again(network, plan.run.about["weights"], pretraining)
    return found


def _alone(start: Callable[[], Job], folder: Path, stack: contextlib.ExitStack) -> Job:
    """Start within the folder's lock, which is held from when there is a folder."""
    new = not folder.exists()
    if not new:
        stack.enter_context(locked(folder))
    plan = start()
    if new:
        stack.enter_context(locked(folder))
    return plan


def _engine(
    plan: Job, network: nn.Module, data: Dataset, seed: int, world: World
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
def _memory_explained(plan: Job) -> Iterator[None]:
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
