"""What must hold of any spec: findings that read well, or files that agree with one another."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import subprocess
import sysconfig
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import torch

from resgraph.cli import app
from resgraph.codes import CODES
from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, ResgraphError, SpecError
from resgraph.emit import write
from resgraph.emit.onnx_file import OnnxFile
from resgraph.emit.weights import drawn
from resgraph.graph import Graph
from resgraph.verify.returned import by_name
from tests.fuzz.target import Fault, Outcome

RUFF = Path(sysconfig.get_path("scripts")) / "ruff"
NUMBERS = 3_000_000
"""Larger networks are compiled, and not run."""
MULTIPLY_ADDS = 100_000_000
NODES = 3_000
PART = 2.0**-24
"""By so much of itself a real constant of an ONNX model is off, which has it in float32."""
KNOWN = 0.05
"""Of the largest logit: where more than that is the constants' doing, nothing is compared."""
COMMANDS = (
    ("show",),
    ("show", "--emit", "graph"),
    ("show", "--emit", "spec"),
    ("list",),
    ("prove",),
    ("plan",),
    ("draw", "--whole", "--out", "whole.svg"),
    ("draw", "--units", "--out", "units.svg"),
    ("report", "--out", "report.html"),
    ("check", "--json"),
)
_PLACE = re.compile(r"\S.*?:\d+:\d+: (error|warning|note)\[[a-z-]+\]: ")


def judged(kind: str, path: Path, random: Random) -> Outcome:
    """Compile the spec; hold what comes of it to what is promised. Raises `Fault`."""
    command(random, path)
    compiler = Compiler()
    try:
        graphs = compiler.graphs(path)
    except SpecError as error:
        findings(error.diagnostics, str(error))
        return Outcome(kind, "refused")
    except ResgraphError as error:
        printable("\n".join(error.lines()))
        return Outcome(kind, "refused")
    try:
        agree(graphs[:2], path.parent / "generated")
    except ResgraphError as error:
        if "too large" not in error.message and "free" not in error.message:
            raise Fault(f"check passes it, compile does not: {error.message}") from None
        return Outcome(kind, "too large")
    return Outcome(kind, "accepted")


def command(random: Random, path: Path) -> None:
    """Any command that reads a spec: an exit code, no traceback, nothing that steers."""
    words = [*random.choice(COMMANDS)]
    words.insert(1, str(path))
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        contextlib.chdir(path.parent),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            app(words, standalone_mode=False)
        except SystemExit as stop:
            code = stop.code
        except ResgraphError as error:
            code = error.exit_code
            printable("\n".join(error.lines()))
    if code not in (0, 1, 2, 3, None):
        raise Fault(f"{words[0]} ends with {code}")
    said = out.getvalue() + err.getvalue()
    if "Traceback" in said:
        raise Fault(f"{words[0]} prints a traceback")
    printable(said)


def findings(found: list[Diagnostic], text: str) -> None:
    """Each has a code, a place in the file, a message; nothing steers a terminal."""
    if not found:
        raise Fault("refused without a finding")
    for finding in found:
        if CODES.get(finding.code.name) is not finding.code:
            raise Fault(f"no such code: {finding.code.name}")
        if finding.span is None or not finding.message.strip():
            raise Fault(f"no place or no message: {finding}")
        if not _PLACE.match(str(finding.span) + ": error[x]: "):
            raise Fault(f"no place: {finding.span}")
    if len(text) > 2_000_000:
        raise Fault(f"{len(text)} characters of findings")
    printable(text)


def printable(text: str) -> None:
    wrong = next((c for c in text if not (c.isprintable() or c == "\n")), None)
    if wrong is not None:
        raise Fault(f"{wrong!r} reaches the terminal")


# --- what is accepted -------------------------------------------------------------------


def agree(graphs: list[Graph], out: Path) -> None:
    """The files parse, import, construct and agree; raises `ResgraphError` as compile does."""
    small = [graph for graph in graphs if _small(graph)]
    rest = [graph for graph in graphs if not _small(graph)]
    weights = drawn(0)
    written = write(small, out, lambda graph: weights) if small else []
    written += write(rest, out, None) if rest else []
    for one in written:
        source = next(file for file in one.files if file.suffix == ".py")
        _formatted(source)
        if _small(one.graph):
            _same(one.graph, source, source.with_suffix(".onnx"), weights)


def _small(graph: Graph) -> bool:
    return (
        graph.total("numbers") <= NUMBERS
        and graph.total("multiply_adds") <= MULTIPLY_ADDS
        and graph.total("nodes") <= NODES
    )


def _formatted(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    ast.parse(text)
    for words in (["format", "--diff"], ["check", "--ignore", "E501"]):
        done = subprocess.run(
            [RUFF, *words, "--isolated", "--no-cache", source],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Fault(f"ruff {words[0]}:\n{done.stdout[:3000]}{done.stderr[:500]}")


def _same(graph: Graph, source: Path, model: Path, weights: Any) -> None:
    module = _imported(source)
    net: torch.nn.Module = getattr(module, module.__all__[0])()
    state = net.state_dict()
    wanted = graph.tensors()
    ours = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    if list(ours) != list(wanted):
        raise Fault(f"names: {[*ours][:5]} in torch, {[*wanted][:5]} in the graph")
    file = OnnxFile(model)
    if {k: v.shape for k, v in file.weights().items()} != {
        k: tuple(v.shape) for k, v in ours.items()
    }:
        raise Fault("ONNX has other names or shapes than torch")
    for name, weight in wanted.items():
        if tuple(ours[name].shape) != weight.shape:
            raise Fault(f"{name} is {tuple(ours[name].shape)}, not {weight.shape}")
        state[name].copy_(torch.from_numpy(np.array(weights(name, weight))))
    _same_numbers(net, graph, model, file)


def _same_numbers(
    net: torch.nn.Module, graph: Graph, model: Path, file: OnnxFile
) -> None:
    images = np.random.default_rng(0).standard_normal((2, *graph.input))
    net.double().eval()
    with np.errstate(all="ignore"):
        ours, theirs = _outputs(net, graph, images), file.in_float64(images)
        spread = _spread(net, graph, images, ours)
    for name, value in graph.outputs.items():
        _same_output(name, ours[name], theirs[name], spread[name], _constants(graph))
        if ours[name].shape[1:] != graph.network.shapes[value]:
            raise Fault(f"{name} is {ours[name].shape} in torch")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(model), options)
    found = session.run([*ours], {"input": images.astype(np.float32)})
    for name, output in zip(ours, found, strict=True):
        if output.shape != ours[name].shape:
            raise Fault(f"onnxruntime gives {name} as {output.shape}")


def _same_output(
    name: str, ours: np.ndarray, theirs: np.ndarray, spread: float, constants: int
) -> None:
    if ours.shape != theirs.shape:
        raise Fault(f"{name} is {ours.shape} in torch, {theirs.shape} in ONNX")
    scale = np.abs(ours[np.isfinite(ours)]).max(initial=0.0)
    allowed = constants * max(PART * scale, spread)
    if allowed < KNOWN * scale and not np.allclose(
        ours, theirs, rtol=0, atol=allowed, equal_nan=True
    ):
        raise Fault(f"{name} differs by {np.abs(ours - theirs).max()} of {scale}")


def _outputs(
    net: torch.nn.Module, graph: Graph, images: np.ndarray
) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = by_name(net(torch.from_numpy(images)), [*graph.outputs], graph.name)
    return {name: tensor.numpy() for name, tensor in found.items()}


def _constants(graph: Graph) -> int:
    """One, and how many ops have real numbers, each off by a part."""
    nodes = (node for _, part in graph.parts() for node in part.steps)
    return 1 + sum(
        any(not getattr(field, "whole", True) for field in node.op.numbers().values())
        for node in nodes
    )


def _spread(
    net: torch.nn.Module,
    graph: Graph,
    images: np.ndarray,
    outputs: dict[str, np.ndarray],
) -> dict[str, float]:
    """How far images move each output that are off by `PART`, the worst of three.

    Some hundred layers without a normalisation double any error every few layers, until
    nothing of the numbers is left to compare.
    """
    noise = np.random.default_rng(1)
    found = dict.fromkeys(outputs, 0.0)
    for _ in range(3):
        moved = images * (1 + PART * noise.standard_normal(images.shape))
        for name, output in _outputs(net, graph, moved).items():
            off = np.abs(output - outputs[name])
            largest = float(off[np.isfinite(off)].max(initial=0.0))
            found[name] = max(found[name], largest)
    return found


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated_by_fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
