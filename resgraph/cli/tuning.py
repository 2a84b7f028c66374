"""`train --weights`: what a run starts from, read once it is known to be needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph.cli.common import warn
from resgraph.diagnostics import ResgraphError, UsageError, plain
from resgraph.names import BATCH_COUNTS

if TYPE_CHECKING:
    from torch import Tensor

    from resgraph.cli.behind import Behind
    from resgraph.graph import Graph
    from resgraph.train import RunFolder
    from resgraph.train.pretrained import Pretrained, Pretraining
    from resgraph.verify.tuning import Head, Taken


_INTO_ITS_OWN = (
    "name a function that loads it into the network that it was saved from: --weights "
    "PATH:CALLABLE"
)


def factors(pairs: list[str]) -> dict[str, float]:
    """`PATTERN=FACTOR` pairs. Raises `UsageError`."""
    found: dict[str, float] = {}
    for pair in pairs:
        pattern, equals, text = pair.rpartition("=")
        try:
            if not (equals and pattern):
                raise ValueError
            found[pattern] = float(text)
        except ValueError:
            raise UsageError(
                f"--lr-of {plain(pair)!r} is not PATTERN=FACTOR",
                "for example --lr-of 'stage1=0.1'",
            ) from None
    return found


def pretraining(where: str | None, spec: Behind) -> Pretraining | None:
    """What reads the weights of a file, a run or a callable for the network of a spec.

    Raises `ResgraphError` where there is no spec; it raises `UsageError` itself, where there
    are no such weights.
    """
    if where is None:
        return None
    graph = spec.graph
    if graph is None:
        raise ResgraphError(
            "--weights needs the spec of the generated file, and it is not there",
            "put the spec where the file's first line says",
        )
    return lambda: read(where, graph)


def read(where: str, graph: Graph) -> Pretrained:
    """The weights for the graph, all but what its own number of classes makes new."""
    from resgraph.train.pretrained import Pretrained

    found = _taken(where, graph)
    return Pretrained(found.tensors, where, found.how, found.classes)


def _taken(where: str, graph: Graph) -> Taken:
    from resgraph.verify import is_callable_path, read_weights
    from resgraph.verify.apart import Called
    from resgraph.verify.carry import NamesError
    from resgraph.verify.tuning import taken

    path, head = Path(where), head_of(graph)
    if path.is_dir():
        return _of_run(path, graph, head)
    if path.exists():
        try:
            return taken(graph, head, read_weights(path), where)
        except NamesError as error:
            raise ResgraphError(error.message, _INTO_ITS_OWN) from None
    if not Path(where).exists() and not is_callable_path(where):
        raise UsageError(
            f"--weights {plain(where)}: no such file",
            "name a file of weights, a run folder, or PATH:CALLABLE",
        )
    with closing(Called(where)) as called:
        return taken(graph, head, called, where)


def _of_run(folder: Path, graph: Graph, head: Head) -> Taken:
    """The weights of a run's last test, and a word where they are not what one may expect."""
    from resgraph.train import open_run
    from resgraph.train.checkpoint import about_weights
    from resgraph.verify import read_weights
    from resgraph.verify.tuning import taken

    run = open_run(folder)
    if unfinished := about_weights(run, run.last):
        warn(f"{plain(folder)}: {unfinished}")
    tensors = _without_counts(read_weights(run.last))
    found = taken(graph, head, tensors, str(run.last))
    if not _same_topology(run, graph, head, found):
        warn(
            f"{plain(folder)} is a run of another topology than {graph.name}; names and "
            "shapes of its weights fit"
        )
    return found


def _same_topology(run: RunFolder, graph: Graph, head: Head, found: Taken) -> bool:
    from resgraph.graph import digest

    other = head.other(found.classes) if found.classes else graph
    return other is not None and digest(other) == run.about["digest"]


def _without_counts(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if not n.endswith(BATCH_COUNTS)}


def head_of(graph: Graph) -> Head:
    """The layer of the graph that tells its classes apart."""
    from resgraph.passes.classes import classifier, with_classes
    from resgraph.verify.tuning import Head

    return Head(classifier(graph), lambda classes: with_classes(graph, classes))
