"""What `verify` and `import-weights` are given, resolved: spec, generated file or model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.cli.common import tell_findings, telling_compiler, warn_of
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.graph import Graph, digest
from resgraph.limits import VERIFIED_OPS
from resgraph.provenance import SPEC
from resgraph.values import Value

if TYPE_CHECKING:
    from torch import nn

    from resgraph.emit.onnx_file import OnnxFile
    from resgraph.origin import Source
    from resgraph.train import Generated
    from resgraph.verify import Witness

_KINDS = (".yaml", ".yml", ".py", ".onnx")


@dataclass(frozen=True)
class Target:
    """A graph, the file generated from it, the model to verify, the paper's network."""

    graph: Graph
    source: Source | None
    """None where there is no file, and the graph is compiled."""
    model: OnnxFile | None
    reference: Callable[[], nn.Module] | None
    """The network of `resgraph.reference`, where it has this one."""

    def __post_init__(self) -> None:
        """Raise `ResgraphError` for a network that is too deep to be run so often."""
        ops = self.graph.total("nodes")
        if ops > VERIFIED_OPS:
            raise ResgraphError(
                f"{self.graph.name} has {ops:,} ops, and what runs each of them takes up to "
                f"{VERIFIED_OPS:,}",
                "a smaller depth has the same units: --set, or another entry of networks",
            )

    @contextmanager
    def witness(self) -> Iterator[Witness]:
        """Of the module: in this process where resgraph wrote it, else in another one."""
        from resgraph.train import load_generated
        from resgraph.verify import Present
        from resgraph.verify.apart import Apart

        source = self.source
        if source is None:
            yield Present(own(self.graph))
        elif source.foreign is None:
            yield Present(load_generated(source.path, source.text))
        else:
            warn_of(source)
            with closing(Apart(source.path, source.text)) as apart:
                yield apart


def targets(
    path: Path,
    network: str | None,
    settings: Mapping[str, Value],
    spec: Path | None,
) -> Iterator[Target]:
    """What the path names; of a generated file the text, of which nothing has run.

    Raises `UsageError` for a file of another kind, `ResgraphError` for files that do not
    belong together, and what `Compiler.graphs` raises.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if path.suffix in (".yaml", ".yml"):
        for graph in telling_compiler().graphs(path, network, settings):
            yield Target(graph, None, None, reference(graph, network, settings))
        return
    if network is not None or settings:
        raise UsageError(f"{path} is one network: --network and --set are for specs")
    if path.suffix == ".py":
        yield _from_source(path, spec)
    elif path.suffix == ".onnx":
        yield _from_model(path, spec)
    else:
        inside = sorted(p.as_posix() for p in path.glob("*") if p.suffix in _KINDS)
        raise UsageError(
            f"{path} is no spec (.yaml), generated file (.py) or model (.onnx)",
            f"name one of {', '.join(inside[:5])}" if inside else None,
        )


def reference(
    graph: Graph, network: str | None, settings: Mapping[str, Value]
) -> Callable[[], nn.Module] | None:
    """The paper's network by hand: of that name, and at that depth and number of classes."""
    from resgraph.reference import REFERENCES

    found = REFERENCES.get((network or "") if settings else graph.name)
    known = {k: v for k, v in settings.items() if k in ("depth", "classes")}
    numbers = {k: int(v) for k, v in known.items() if isinstance(v, Fraction)}
    if found is None or numbers.keys() != settings.keys():
        return None
    return partial(found, **numbers)


def own(graph: Graph) -> Generated:
    """The graph's module, as `resgraph compile` would write it now."""
    from resgraph.emit import torch_source
    from resgraph.train import load_generated

    path = Path("generated") / f"{graph.name}.py"
    return load_generated(path, torch_source(graph, path.parent))


def _from_source(path: Path, spec: Path | None) -> Target:
    from resgraph.origin import read_source

    source = read_source(path, spec, telling_compiler())
    if source.origin is None or source.graph is None:
        raise ResgraphError(
            f"{path}: its spec {spec or source.header.spec} is not there",
            "name it: --spec SPEC",
        )
    graph, origin = source.graph, source.origin
    return Target(graph, source, None, reference(graph, origin.chosen, origin.settings))


def _from_model(path: Path, spec: Path | None) -> Target:
    from resgraph.emit.onnx_file import OnnxFile

    model = OnnxFile(path)
    beside = path.with_name(f"{model.metadata['resgraph.network']}.py")
    if not beside.is_file() or spec is not None:
        graph = _of_digest(model, path, spec)
        return Target(graph, None, model, reference(graph, None, {}))
    target = _from_source(beside, None)
    if digest(target.graph) != model.metadata["resgraph.digest"]:
        raise ResgraphError(
            f"{path} and {beside} are from different graphs: their digests differ",
            f"compile both anew (resgraph compile {target.graph.file}), or name "
            "the model's own spec: --spec SPEC",
        )
    return replace(target, model=model)


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
