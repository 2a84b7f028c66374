"""The step `check`: what is there, what works, and whether it computes the right thing.

Each way of training is held to the plain one, and a CUDA graph to its eager twin, by the rule
of `numbers`; each form of a model to torch in float64. Commands must end with 0. What a step
costs by its parts is only shown.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.util
import itertools
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import numbers
from benchmarks.gpu.costs import costs
from benchmarks.gpu.ledger import Finding, Part
from benchmarks.gpu.numbers import Subject, change, changed, compared, engine
from benchmarks.gpu.session import Session, take_parts
from benchmarks.gpu.ways import Choices, default, eager_twin, ways, with_needs, without
from benchmarks.measure import within
from benchmarks.training import PLAIN
from resgraph.infer.cuda import missing

COMPILING = 240.0
"""Seconds for a part in which something may be compiled."""
PACKAGES = ("numpy", "onnx", "onnxruntime", "pyarrow", "pydantic", "datasets", "triton")
RECOMPUTED = ("BN-ReLU anew", "each unit anew", "each unit and BN-ReLU anew")


arguments = take_parts


def run(session: Session) -> int:
    return session.work("check", parts(session.device, session.small, session.scratch))


def parts(device: str, small: bool, scratch: Path) -> Iterator[Part]:
    """All parts, those that tell most first."""
    yield Part("machine", lambda: machine(device))
    yield Part("imports", imports)
    yield Part("onnxruntime", lambda: provider(device))
    yield from training("resnet20", device, small)
    yield from checkpoints(device)
    yield Part("a training set read from disk", lambda: streamed(device, small))
    if not small:
        yield from training("resnet164", device, small, ("all", "bf16 alone"))
    yield from commands(device, small, scratch)
    first, *others = ["resnet20"] if small else ["resnet164", "resnet1001"]
    yield Part(f"costs of {first}", lambda: costs(first, device, small), COMPILING)
    yield from recomputing(device, small)
    yield from inference(device)
    for name in others:
        yield Part(
            f"costs of {name}",
            functools.partial(costs, name, device, small),
            COMPILING,
        )


# --- the machine ----------------------------------------------------------------------


def machine(device: str) -> Finding:
    cuda = device == "cuda"
    found: dict[str, Any] = {
        "python": sys.version,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cores": os.cpu_count(),
        "memory": torch.cuda.mem_get_info() if cuda else None,
        "capability": torch.cuda.get_device_capability() if cuda else None,
        **{name: version(name) for name in PACKAGES},
    }
    return Finding(found)


def version(name: str) -> str:
    try:
        return str(importlib.import_module(name).__version__)
    except ImportError as error:
        return str(error)


def imports() -> Finding:
    """Modules of the project that cannot be imported here, and why."""
    import resgraph

    wrong = {}
    for found in pkgutil.walk_packages(resgraph.__path__, "resgraph."):
        if found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except Exception as error:
            wrong[found.name] = f"{type(error).__name__}: {error}"
    return Finding({"not imported": wrong})


def provider(device: str) -> Finding:
    """Whether onnxruntime can use the device."""
    import onnxruntime

    lack = missing() if device == "cuda" else None
    values = {
        "available": onnxruntime.get_available_providers(),
        "lacking": None if lack is None else lack.what,
    }
    return Finding(values, lack is None)


# --- steps of training ----------------------------------------------------------------


def training(
    name: str, device: str, small: bool, only: tuple[str, ...] = ()
) -> Iterator[Part]:
    """Every way, or only some, to the plain one, and a graph to its eager twin."""
    subject = Subject(name, device, 16 if small else 64)
    for way, choices in ways(device, small).items():
        if choices != PLAIN and (not only or way in only):
            action = functools.partial(compared, subject, choices, eager_twin(choices))
            limit = COMPILING if choices["compile"] else 60.0
            yield Part(f"{name}: {way}", action, limit)


def streamed(device: str, small: bool) -> Finding:
    """A training set read from disk, with all that works without compilation.

    A thread pins memory while a CUDA graph is recorded and replayed.
    """
    choices = {**without(default(device), "compile"), "precision": "fp32"}
    usual = Subject("resnet20", device, 16 if small else 64)
    from_disk = Subject(usual.network, device, usual.batch, streamed=True)
    return _alike(from_disk, choices, usual, choices)


def checkpoints(device: str) -> Iterator[Part]:
    """A checkpoint of one way taken up by another: momentum must keep its values."""
    rows, last = with_needs("fused"), with_needs("fused", "channels_last")
    pairs = {"rows, channels last": (rows, last), "channels last, rows": (last, rows)}
    if device == "cuda":
        graph = with_needs("channels_last", "cuda_graph")
        pairs |= {"rows, graph": (rows, graph), "graph, rows": (graph, rows)}
    for title, (one, other) in pairs.items():
        action = functools.partial(taken_up, device, one, other)
        yield Part(f"a checkpoint goes on: {title}", action)


def taken_up(device: str, first: Choices, second: Choices) -> Finding:
    """The fourth step, by the way that did three and by another that goes on with its state."""
    subject = Subject("resnet20", device, 32)
    ours, theirs = engine(subject, first), engine(subject, second)
    changed(ours, range(3))
    theirs.load_state(copy.deepcopy(ours.state()))
    least = numbers.scale(subject, numbers.amount(subject.network, "fp32"))
    values, right = numbers.judged(changed(theirs, [3]), changed(ours, [3]), least)
    return Finding(values, right)


def recomputing(device: str, small: bool) -> Iterator[Part]:
    """What the memory planner does anew, with dropout too, compiled and not, in a graph and not."""
    networks = ["resnet20"] if small else ["resnet20", "resnet110_dropout_shortcut"]
    graphs = (True, False) if device == "cuda" else (False,)
    for name, way, graph, compiled in itertools.product(
        networks, RECOMPUTED, graphs, (False,) if small else (False, True)
    ):
        if compiled and "BN-ReLU" in way:
            continue  # the planner and the compiler share these
        if graph and "dropout" in name and "unit" in way:
            continue  # whose masks a graph cannot draw twice: the engine refuses it
        title = f"{name}: {way}{', compiled' * compiled}{', graph' * graph}"
        action = functools.partial(
            anew, Subject(name, device, 16), way, graph, compiled
        )
        yield Part(title, action, COMPILING if compiled else 60.0)


def anew(subject: Subject, way: str, graph: bool, compiled: bool) -> Finding:
    names = ["channels_last", "fused", *["compile"] * compiled]
    plain = with_needs(*names)
    other = with_needs(*names, *["cuda_graph"] * graph)
    recomputed = Subject(subject.network, subject.device, subject.batch, way)
    found = _alike(recomputed, other, subject, plain)
    # Compiled code draws dropout's masks as it likes.
    judged = not (compiled and "dropout" in subject.network)
    return found if judged else Finding(found.values)


def _alike(
    ours: Subject, our_choices: Choices, theirs: Subject, their_choices: Choices
) -> Finding:
    """Two subjects in float32, which should differ by rounding alone."""
    least = numbers.scale(theirs, numbers.amount(theirs.network, "fp32"))
    values, right = numbers.judged(
        change(ours, our_choices), change(theirs, their_choices), least
    )
    return Finding(values, right)


def inference(device: str) -> Iterator[Part]:
    """What needs onnxruntime, which may come later; `provider` says if it is not here."""
    if all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        from benchmarks.gpu.forms import forms

        yield from forms(device)


# --- commands -------------------------------------------------------------------------


def commands(device: str, small: bool, scratch: Path) -> Iterator[Part]:
    """A run from its beginning to a model that is asked, on pictures made here."""
    run, network = scratch / "run", "generated/resnet20.py"
    on = ("--device", device)
    size = ("4", "--batch", "16") if small else ("300", "--batch", "128")
    begun = ("train", network, "--data", "digits", "--out", str(run), *on)
    model = str(run / f"resnet20.{device}.onnx")
    lines = {
        "train": (*begun, "--iterations", *size, "--overwrite", "--stop-at", "3"),
        "resume": (*begun, "--resume"),
        "export": ("export", str(run), "--target", device),
        "infer": ("infer", model, "--data", "digits", *on, "--show", "1"),
        "verify": ("verify", network, *on),
    }
    for name, line in lines.items():
        action = functools.partial(command, line)
        yield Part(f"resgraph {name}", action, COMPILING, timed=True)


def command(arguments: Sequence[str], seconds: float) -> Finding:
    """A command of the project: its exit code and the end of what it printed."""
    done = within(seconds, [sys.executable, "-m", "resgraph", *arguments])
    values = {
        "command": " ".join(["resgraph", *arguments]),
        "exit": done.code,
        "printed": done.printed[-1500:],
        "told": done.told[-1500:],
    }
    return Finding(values, done.code == 0)
