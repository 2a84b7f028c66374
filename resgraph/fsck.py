"""What of a run folder is whole, and what to do: every file held to all the others.

Nothing is changed, and nothing of the generated file runs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, plain, plural
from resgraph.emit.forms import FORMS
from resgraph.emit.onnx_file import OnnxFile, metadata_of
from resgraph.emit.weights import stored
from resgraph.files import parse_json, read_bytes
from resgraph.graph import Graph
from resgraph.limits import JSON_BYTES
from resgraph.names import BATCH_COUNTS
from resgraph.origin import same
from resgraph.provenance import SPEC
from resgraph.seal import ENTRY, unsealed
from resgraph.train.about import DIVERGED, FINISHED, RUNNING, fingerprint
from resgraph.train.again import anew, lower, resuming, word
from resgraph.train.checkpoint import inspected
from resgraph.train.folder import UNITS, RunFolder, is_held, open_run
from resgraph.train.monitor import UnitRecords
from resgraph.train.records import check_events


class State(StrEnum):
    """Of a file, or of a fact about the folder."""

    WHOLE = "whole"
    NOTE = "note"
    """Not as it was left, and nothing is lost by it."""
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Item:
    """What was found out about one file."""

    file: str
    state: State
    words: str


@dataclass
class Checkup:
    """What was found in one folder."""

    folder: Path
    items: list[Item] = field(default_factory=list)
    next: str = ""
    """The command that goes on from here."""
    resumable: bool = False

    @property
    def whole(self) -> bool:
        return all(item.state is not State.DAMAGED for item in self.items)

    def is_whole(self, path: Path) -> bool:
        """Whether the file was looked at and nothing is wrong with it."""
        states = [item.state for item in self.items if item.file == path.name]
        return bool(states) and State.DAMAGED not in states

    def add(self, path: Path, state: State, words: str) -> None:
        self.items.append(Item(path.name, state, words))

    def tried(self, path: Path, check: Callable[[Path], str]) -> None:
        """Add what a check says of the file, or raises."""
        try:
            self.add(path, State.WHOLE, check(path))
        except FileNotFoundError:
            self.add(path, State.DAMAGED, "it is not there")
        except (ResgraphError, OSError, ValueError, struct.error) as error:
            words = error.message if isinstance(error, ResgraphError) else str(error)
            self.add(path, State.DAMAGED, plain(words, 300))

    def as_json(self) -> dict[str, Any]:
        items = [
            {"file": i.file, "state": i.state.value, "words": i.words}
            for i in self.items
        ]
        about = {"whole": self.whole, "resumable": self.resumable, "next": self.next}
        return {"folder": self.folder.as_posix(), **about, "items": items}


def fsck(folder: Path) -> Checkup:
    """Look at everything in a run folder.

    Raises `ResgraphError` if it is no run folder at all.
    """
    found = Checkup(folder)
    path = folder / "run.json"
    if not path.exists():
        open_run(folder)
    try:
        run = open_run(folder)
    except ResgraphError as error:
        found.add(path, State.DAMAGED, plain(error.message, 300))
        found.next = _elsewhere(folder)
        return found
    held = is_held(folder)
    found.add(path, State.WHOLE, run.unfinished or "finished")
    if held:
        found.add(folder, State.NOTE, "a process is training here: files may change")
    elif run.status == RUNNING:
        found.add(
            folder, State.NOTE, "no process is training here: the last was killed"
        )
    graph = _sources(found, run)
    reached = _checkpoints(found, run, graph)
    _records(found, run, reached)
    _weights(found, run, graph, reached)
    _models(found, run)
    _left(found, run)
    found.next = f"resgraph fsck {word(folder)}" if held else _next(found, run)
    return found


# --- the files --------------------------------------------------------------------------


def _sources(found: Checkup, run: RunFolder) -> Graph | None:
    """The generated file and the spec; the graph, where the spec still builds it."""
    spec = run.folder / SPEC
    graphs: list[Graph] = []

    def text(path: Path) -> str:
        wanted = run.about["files"].get(path.name)
        contents = read_bytes(path, JSON_BYTES).decode("utf-8")
        if wanted is not None and fingerprint(contents) != wanted:
            raise ValueError("it was changed since it was put here")
        return "as it was put here" if wanted else "here; no checksum of it was kept"

    def compiled(spec: Path) -> str:
        text(spec)
        built = Compiler().graphs(spec)
        graphs.append(same(built, run.network, run.about["digest"], spec))
        return f"builds {run.network}, of the run's digest"

    found.tried(run.generated, text)
    if spec.exists() or SPEC in run.about["files"]:
        found.tried(spec, compiled)
    else:
        found.add(
            spec, State.NOTE, "there is none: the spec was not there at the start"
        )
    return graphs[0] if graphs else None


def _checkpoints(
    found: Checkup, run: RunFolder, graph: Graph | None
) -> dict[str, Any] | None:
    """Where the newest whole checkpoint stands; None where there is none."""
    reached: list[dict[str, Any]] = []

    def check(path: Path) -> str:
        state = inspected(run, path)
        if graph is not None:
            _fits(state["network"], graph)
            if run.recipe.ema is not None:
                _fits(state["ema"]["tensors"], graph)
        reached.append(state["standing"])
        return f"checkpoint of iteration {state['standing']['iteration']:,}"

    there = [path for path in (run.state, run.previous_state) if path.exists()]
    for path in there:
        found.tried(path, check)
    if there == [run.previous_state]:
        found.add(run.state, State.NOTE, "there is none: the one before it serves")
    elif there == [run.state] and reached and reached[0]["iteration"]:
        words = "there is none: nothing to fall back on until the next is made"
        found.add(run.previous_state, State.NOTE, words)
    if not there and not any(run.records()):
        found.add(run.state, State.NOTE, "there is none: the run begins anew")
        found.resumable = True
    elif not there:
        found.add(
            run.state, State.DAMAGED, "there is no checkpoint, and there are records"
        )
    found.resumable |= bool(reached)
    return reached[0] if reached else None


def _fits(tensors: Any, graph: Graph) -> None:
    """Raise `ValueError` for tensors whose names or shapes are not the graph's."""
    wanted = {name: tuple(weight.shape) for name, weight in graph.tensors().items()}
    given = {name: tuple(getattr(t, "shape", ())) for name, t in dict(tensors).items()}
    extra = [n for n in given if n not in wanted and not n.endswith(BATCH_COUNTS)]
    wrong = [n for n in wanted if given.get(n) != wanted[n]]
    if extra or wrong:
        first = plain([*wrong, *extra][0])
        count = len(wrong) + len(extra)
        are = "tensor is" if count == 1 else "tensors are"
        raise ValueError(f"{count} {are} not the network's: {first}")


def _records(found: Checkup, run: RunFolder, reached: dict[str, Any] | None) -> None:
    """metrics.jsonl beside the checkpoint, units.jsonl and the events."""
    records = run.read_records()
    last = records.records[-1].iteration if records.records else 0
    if records.wrong and not records.torn:
        found.add(run.metrics, State.DAMAGED, plain(records.wrong, 300))
        found.resumable = False
    elif reached and last < reached["recorded"]:
        what = f"its records end at iteration {last:,}, the checkpoint has {reached['recorded']:,}"
        found.add(run.metrics, State.DAMAGED, what)
    elif records.torn:
        found.add(
            run.metrics, State.NOTE, "its last line was cut short, and comes again"
        )
    elif reached and last > reached["iteration"]:
        words = f"beyond the checkpoint, to iteration {last:,}: they come again"
        found.add(run.metrics, State.NOTE, words)
    else:
        count = len(records.records)
        words = f"{count:,} {plural(count, 'record')}, to iteration {last:,}"
        found.add(run.metrics, State.WHOLE, words)
    units = run.folder / UNITS
    if units.exists():
        read = UnitRecords.read(run.folder)
        whole = read is not None and not read.torn
        words = "whole lines" if whole else "a line is not whole"
        found.add(units, State.WHOLE if whole else State.DAMAGED, words)
    for path in run.event_files:
        try:
            check_events(path)
        except (OSError, ValueError, struct.error) as error:
            words = f"not whole ({plain(error)}); the next session makes it anew"
            found.add(path, State.NOTE, words)
        else:
            found.add(path, State.WHOLE, "whole records")


def _weights(
    found: Checkup, run: RunFolder, graph: Graph | None, reached: dict[str, Any] | None
) -> None:
    """The weights of the last test and of the best one."""

    def check(path: Path) -> str:
        about = unsealed(path)
        mine = {"network": run.network, "digest": run.about["digest"]}
        if any(about.get(key) != value for key, value in mine.items()):
            raise ValueError("they are of another network")
        if graph is not None:
            stored(path, graph)
        iteration = str(about.get("iteration"))
        ends = run.status == FINISHED and path != run.best
        if ends and iteration != str(run.recipe.iterations):
            raise ValueError(f"of iteration {plain(iteration)}, not of the run's end")
        return f"weights of iteration {plain(iteration)}"

    if run.last.exists() or reached:
        found.tried(run.last, check)
    if run.recipe.ema is not None and (run.last_average.exists() or reached):
        found.tried(run.last_average, check)
    if run.best.exists() or (reached and reached["best_iteration"] is not None):
        found.tried(run.best, check)


def _models(found: Checkup, run: RunFolder) -> None:
    """Exported models: of this network, and made of the weights that are here."""
    seals = {}
    for path in (run.last, run.best, run.last_average):
        if found.is_whole(path):
            seals[unsealed(path).get(ENTRY)] = path

    def check(path: Path) -> str:
        about = metadata_of(path)
        if about.get("resgraph.digest") != run.about["digest"]:
            raise ValueError("it is of another network")
        made_of = about.get("resgraph.weights")
        if made_of is None:
            return "of this network; it does not say of which weights"
        if made_of not in seals:
            raise ValueError("it is of other weights than those that are here")
        name = seals[made_of].name
        if {"resgraph.form", "resgraph.target"} & about.keys():
            return f"of the weights in {name}, as it says"  # rounded, or folded
        _equal(path, seals[made_of])
        return f"of the weights in {name}, bit for bit"

    for path in sorted(run.folder.glob("*.onnx")):
        found.tried(path, check)


def _equal(model: Path, weights: Path) -> None:
    """Raise `ValueError` unless the model's tensors are those of the weights, bit for bit."""
    from safetensors.numpy import load_file

    tensors = load_file(weights)
    for name, tensor in OnnxFile(model).weights().items():
        if name not in tensors or tensors[name].tobytes() != tensor.tobytes():
            raise ValueError(f"its tensor {plain(name)} is not that of {weights.name}")


def _left(found: Checkup, run: RunFolder) -> None:
    """What a killed process left half done, or a session put aside."""
    for path in (run.next_state, *sorted(run.folder.glob(".*"))):
        if path.exists():
            found.add(path, State.NOTE, "left half done; the next session removes it")
    if run.damaged_state.exists():
        found.add(
            run.damaged_state, State.NOTE, "a damaged checkpoint that was put aside"
        )


# --- what to do ---------------------------------------------------------------------------


def _next(found: Checkup, run: RunFolder) -> str:
    """The command that goes on with what is whole."""
    folder = word(run.folder)
    if run.status == DIVERGED:
        return lower(run)
    if run.status != FINISHED and found.resumable:
        return resuming(run)
    weights = next((p for p in (run.last, run.best) if found.is_whole(p)), None)
    if run.status != FINISHED or weights is None:
        return anew(run)
    model = run.folder / f"{run.network}.onnx"
    damaged = [p for p in sorted(run.folder.glob("*.onnx")) if not found.is_whole(p)]
    if weights == run.last and found.is_whole(model) and not damaged:
        return f"resgraph infer {word(model)} --data {word(run.about['data'])}"
    spec = run.folder / SPEC
    kept = spec.exists() and found.is_whole(spec)
    given = "" if kept else f" --spec {word(run.about['spec'])}"
    best = " --best" if weights == run.best else ""
    form = _form(run.network, damaged[0].name) if damaged else ""
    return f"resgraph export {folder}{form}{best}{given}"


def _form(network: str, file: str) -> str:
    """The options that `export` makes a file of this name by."""
    marks = file.removeprefix(network).removesuffix(".onnx").split(".")[1:]
    named = {("form" if mark in FORMS else "target"): mark for mark in marks}
    return "".join(f" --{option} {word(mark)}" for option, mark in named.items())


def _elsewhere(folder: Path) -> str:
    """The run from its start in another folder, by what can still be read of run.json."""
    try:
        about = dict(parse_json(read_bytes(folder / "run.json", JSON_BYTES)))
    except (OSError, ValueError, TypeError):
        about = {}
    options = [
        f" --{key} {word(about[key])}"
        for key in ("data", "seed")
        if type(about.get(key)) in (str, int)
    ]
    files = sorted(folder.glob("*.py"))
    source = files[0] if files else Path("generated") / "NAME.py"
    out = word(folder.with_name(f"{folder.name}-anew"))
    return f"resgraph train {word(source)}{''.join(options)} --out {out}"
