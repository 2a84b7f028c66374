"""What `resgraph compile` writes: a source file and an ONNX model for each graph."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.emit.torch_source import torch_source
from resgraph.emit.weights import WeightSource
from resgraph.files import staged
from resgraph.graph import Graph
from resgraph.limits import MODEL_BYTES


@dataclass(frozen=True)
class Written:
    """A graph and the files made of it."""

    graph: Graph
    files: tuple[Path, ...]


def write(
    graphs: Sequence[Graph],
    out: Path,
    weights: Callable[[Graph], WeightSource] | None,
    metadata: Mapping[str, str] | None = None,
) -> list[Written]:
    """Write `out/NAME.py`, and `out/NAME.onnx` unless `weights` is None: all, or nothing.

    Raises `UsageError` for two graphs of one name, and `ResgraphError` for one that cannot
    fit, before any work is done.
    """
    refuse_duplicates(graphs)
    if weights is not None:
        for graph in graphs:
            refuse_too_large(graph, out)
    with staged(out) as stage:
        return [_one(graph, stage, out, weights, metadata) for graph in graphs]


def _one(
    graph: Graph,
    stage: Path,
    out: Path,
    weights: Callable[[Graph], WeightSource] | None,
    metadata: Mapping[str, str] | None,
) -> Written:
    source = stage / f"{graph.name}.py"
    source.write_text(torch_source(graph, out), encoding="utf-8", newline="\n")
    files = [source]
    if weights is not None:
        from resgraph.emit.onnx_model import write_onnx

        path = stage / f"{graph.name}.onnx"
        files += write_onnx(graph, path, weights(graph), metadata)
    return Written(graph, tuple(out / file.name for file in files))


def stale(graphs: Sequence[Graph], out: Path) -> dict[Path, str]:
    """The source files that differ from what their specs say now, each with its diff."""
    refuse_duplicates(graphs)
    diffs = {}
    for graph in graphs:
        path = out / f"{graph.name}.py"
        old = (
            path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        )
        new = torch_source(graph, out)
        if old != new:
            lines = difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                path.as_posix() if old else "/dev/null",
                f"{path.as_posix()} (compiled)",
            )
            diffs[path] = "".join(lines)
    return diffs


def refuse_duplicates(graphs: Sequence[Graph]) -> None:
    """Raise `UsageError` where two graphs would be written to one file."""
    seen: dict[str, Graph] = {}
    for graph in graphs:
        other = seen.setdefault(graph.name.lower(), graph)
        if other is graph:
            continue
        message = f"{other.file} and {graph.file} both build '{graph.name}'"
        if other.name != graph.name:
            message = (
                f"'{other.name}' and '{graph.name}' are one file where case is ignored"
            )
        raise UsageError(message, "rename one of the networks")


def refuse_too_large(graph: Graph, out: Path) -> None:
    """Raise `ResgraphError` if the ONNX model could not be stored, before writing any of it."""
    from resgraph.emit.onnx_parts import Model

    model = Model(graph, {})
    hint = "--source-only writes the PyTorch source alone"
    if model.size > MODEL_BYTES:
        raise ResgraphError(
            f"{graph.name} has {graph.total('nodes'):,} ops, which take "
            f"{_gigabytes(model.size)} of an ONNX file, and it holds "
            f"{_gigabytes(MODEL_BYTES)} (protobuf's limit)",
            hint,
        )
    folder = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    if model.size + model.numbers > free:
        raise ResgraphError(
            f"{graph.name} takes {_gigabytes(model.size + model.numbers)} as ONNX, and "
            f"{out} has {_gigabytes(free)} free",
            hint,
        )


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:,.1f} GB"
