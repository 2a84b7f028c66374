"""What `verify` and `import-weights` are given, resolved: spec, generated file or model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.cli.common import SPEC, tell_findings, telling_compiler
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.graph import Graph, digest

if TYPE_CHECKING:
    from torch import nn

    from resgraph.emit.onnx_file import OnnxFile
    from resgraph.train import Generated

_KINDS = (".yaml", ".yml", ".py", ".onnx")


@dataclass(frozen=True)
class Target:
    """A graph, the file generated from it, the model to verify, the paper's network."""

    graph: Graph
    generated: Generated
    model: OnnxFile | None
    reference: Callable[[], nn.Module] | None
    """The network of `resgraph.reference`, where it has this one."""


def targets(
    path: Path,
    network: str | None,
    settings: Mapping[str, Fraction],
    spec: Path | None,
    work: Path,
) -> Iterator[Target]:
    """What the path names; sources that are not there are compiled into the folder `work`.

    Raises `UsageError` for a file of another kind, `ResgraphError` for files that do not
    belong together, and what `Compiler.graphs` raises.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if path.suffix in (".yaml", ".yml"):
        for graph in telling_compiler().graphs(path, network, settings):
            generated = _compiled(graph, work)
            yield Target(graph, generated, None, reference(graph, network, settings))
        return
    if network is not None or settings:
        raise UsageError(f"{path} is one network: --network and --set are for specs")
    if path.suffix == ".py":
        yield _from_source(path, spec)
    elif path.suffix == ".onnx":
        yield _from_model(path, spec, work)
    else:
        inside = sorted(p.as_posix() for p in path.glob("*") if p.suffix in _KINDS)
        raise UsageError(
            f"{path} is no spec (.yaml), generated file (.py) or model (.onnx)",
            f"name one of {', '.join(inside[:5])}" if inside else None,
        )


def reference(
    graph: Graph, network: str | None, settings: Mapping[str, Fraction]
) -> Callable[[], nn.Module] | None:
    """The paper's network by hand: of that name, and at that depth and number of classes."""
    from resgraph.reference import REFERENCES

    found = REFERENCES.get((network or "") if settings else graph.name)
    if found is None or not settings.keys() <= {"depth", "classes"}:
        return None
    return partial(found, **{key: int(value) for key, value in settings.items()})


def _compiled(graph: Graph, work: Path) -> Generated:
    """The graph's source, as `resgraph compile` would write it now."""
    from resgraph.emit import torch_source
    from resgraph.train import load_generated

    path = work / f"{graph.name}.py"
    path.write_text(torch_source(graph, work), encoding="utf-8")
    return load_generated(path)


def _from_source(path: Path, spec: Path | None) -> Target:
    from resgraph.origin import origin, same
    from resgraph.train import load_generated

    generated = load_generated(path)
    found = origin(path)
    if spec is None and found is not None:
        made = reference(
            graph := found.graph(telling_compiler()), found.chosen, found.settings
        )
        return Target(graph, generated, None, made)
    spec = spec or path.with_name(SPEC)
    if not spec.is_file():
        raise ResgraphError(
            f"{path}: its spec {generated.spec} is not there",
            "name it: --spec SPEC",
        )
    graph = same(
        telling_compiler().graphs(spec), generated.name, generated.digest, spec
    )
    return Target(graph, generated, None, reference(graph, None, {}))


def _from_model(path: Path, spec: Path | None, work: Path) -> Target:
    from resgraph.emit.onnx_file import OnnxFile

    model = OnnxFile(path)
    name = model.metadata["resgraph.network"]
    source = path.with_name(f"{name}.py")
    if source.is_file() and spec is None:
        target = _from_source(source, None)
        if target.generated.digest != model.metadata["resgraph.digest"]:
            raise ResgraphError(
                f"{path} and {source} are from different graphs: their digests differ",
                f"compile both anew (resgraph compile {target.generated.spec}), or name "
                "the model's own spec: --spec SPEC",
            )
        return Target(target.graph, target.generated, model, target.reference)
    graph = _of_digest(model, path, spec)
    return Target(graph, _compiled(graph, work), model, reference(graph, None, {}))


def _of_digest(model: OnnxFile, path: Path, spec: Path | None) -> Graph:
    """The model's graph, from the spec named or from those that lie about."""
    beside = [path.with_name(SPEC), *sorted(path.parent.parent.glob("specs/*.yaml"))]
    for candidate in [spec] if spec else beside:
        if not candidate.is_file():
            if spec:
                raise UsageError(f"{spec}: no such file")
            continue
        compiler = Compiler()
        for graph in compiler.graphs(candidate):
            if digest(graph) == model.metadata["resgraph.digest"]:
                tell_findings(compiler.warnings[str(candidate)], compiler.sources.texts)
                return graph
    raise ResgraphError(
        f"{path}: no spec builds the graph that it is from "
        f"({model.metadata['resgraph.network']}, {model.metadata['resgraph.digest'][:19]}...)",
        "name its spec, as it was then: --spec SPEC",
    )


def exporter(graph: Graph, work: Path) -> Callable[[Mapping[str, Any]], OnnxFile]:
    """Writes the graph as ONNX into `work`, with the weights that it is given."""

    def export(weights: Mapping[str, Any]) -> OnnxFile:
        from resgraph.emit.onnx_file import OnnxFile
        from resgraph.emit.onnx_model import write_onnx

        path = work / f"{graph.name}.onnx"
        write_onnx(graph, path, lambda name, weight: weights[name])
        return OnnxFile(path)

    return export
