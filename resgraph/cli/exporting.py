"""`export`: a run's trained weights as ONNX, in the forms that are asked for."""

from __future__ import annotations

import dataclasses
import json as json_
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, say, say_json, telling_compiler, warn
from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.provenance import SPEC
from resgraph.seal import ENTRY, unsealed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resgraph.emit.weights import WeightSource
    from resgraph.graph import Graph
    from resgraph.infer.agreement import Agreement
    from resgraph.passes.edit import Remark, Weighted
    from resgraph.train import RunFolder

CALIBRATION = 256
"""Training images that int8 takes its ranges from."""
COMPARED = 1000
"""Test images, at most, on which a rounded form is held against float32."""
ROUNDED = ("fp16", "bf16", "int8")

Form = Annotated[
    list[str] | None,
    typer.Option(
        "--form",
        help="portable, functions, fp16, bf16, int8, optimised; may be repeated.",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        help="portable (the graph as it is), cpu or cuda: BNs folded as suits it.",
    ),
]
Best = Annotated[
    bool,
    typer.Option("--best", help="The weights of the best test, not of the last."),
]
Average = Annotated[
    bool,
    typer.Option("--ema", help="The average of the weights, where the recipe has one."),
]
Diverged = Annotated[
    bool,
    typer.Option("--diverged", help="The last good weights of a run that diverged."),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="For int8, and to compare; by default the run's own data."
    ),
]
Report = Annotated[
    bool, typer.Option("--report", help="Say what became of each BN, and why.")
]
SpecOption = Annotated[
    Path | None,
    typer.Option("--spec", help="The spec, where the run folder has none."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="By default the run folder."),
]


def export_command(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    form: Form = None,
    target: Target = "portable",
    best: Best = False,
    ema: Average = False,
    diverged: Diverged = False,
    data: Data = None,
    report: Report = False,
    spec: SpecOption = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Export a run's trained weights as ONNX, by the emitter of `compile`: no tracing.

    Example: resgraph export runs/resnet20-digits-s0 --form portable --form int8
    """
    if not run.is_dir():
        raise UsageError(f"{run}: no such run folder", "resgraph train makes one")
    from resgraph.emit.forms import check_form

    forms = list(dict.fromkeys(form or ["portable"]))
    for name in forms:
        check_form(name)
    if best and ema:
        raise UsageError("--best and --ema are different weights", "give one")
    trained = open_trained(run, best, ema, spec, data)
    tell_unfinished(trained, diverged)
    lines = what_became(trained, forms, target) if report else {}
    written = {name: trained.write(name, target, out or run) for name in forms}
    agreements = {
        name: trained.compared(name, target, written[name][0])
        for name in forms
        if name in ROUNDED
    }
    if json:
        say_json(as_json(trained, written, agreements, lines))
    else:
        say_all(trained, written, agreements, lines)


def open_trained(
    run: Path, best: bool, ema: bool, spec: Path | None, data: str | None
) -> Trained:
    """The run's network, compiled from the copy of its spec, or from one that is given."""
    from resgraph.origin import same
    from resgraph.train import open_run

    opened = open_run(run)
    source = spec or run / SPEC
    if not source.is_file():
        raise UsageError(f"{run} has no copy of its spec", "give it with --spec")
    digest = str(opened.about["digest"])
    graphs = telling_compiler().graphs(source)
    graph = same(graphs, opened.network, digest, source)
    weights = opened.best if best else opened.last_average if ema else opened.last
    if ema and opened.recipe.ema is None:
        raise UsageError(
            f"{run}: its recipe averages no weights", "train with --ema 0.999"
        )
    return Trained(opened, graph, weights, data or str(opened.about.get("data")))


def tell_unfinished(trained: Trained, diverged: bool) -> None:
    """Warn of weights that are not those of a run's end.

    Raises `ResgraphError` for a run that diverged, unless its weights are asked for.
    """
    from resgraph.train.about import DIVERGED

    if trained.unfinished is None:
        return
    folder = trained.run.folder
    if trained.run.status == DIVERGED and not diverged:
        raise ResgraphError(
            f"{folder}: {trained.unfinished}",
            "train it anew, or export these weights all the same with --diverged",
        )
    warn(f"{folder}: {trained.unfinished}")


@dataclass(frozen=True)
class Trained:
    """A run's network and weights, and the data that it is calibrated and compared with."""

    run: RunFolder
    graph: Graph
    weights: Path
    data: str

    def network(self, target: str) -> tuple[Weighted, list[Remark]]:
        """The network after the target's passes, and what these have to tell."""
        from resgraph.passes.deploy import prepare

        return prepare(self.graph, self.source, target)

    @cached_property
    def unfinished(self) -> str | None:
        """What is to be known of the weights; None if they are those of the run's end."""
        from resgraph.train.checkpoint import about_weights

        return about_weights(self.run, self.weights)

    @cached_property
    def source(self) -> WeightSource:
        """The weights, read once."""
        from resgraph.emit.weights import stored

        return stored(self.weights, self.graph)

    def write(self, form: str, target: str, folder: Path) -> tuple[Path, ...]:
        """Write a form of the network; the files, the model first."""
        from resgraph.emit.forms import Exported, export_form
        from resgraph.infer.machine import machine_properties
        from resgraph.passes.deploy import folded

        passes = passes_of(form, target)
        network, _ = self.network(passes)
        about = self.metadata()
        if passes != "portable":
            about |= {"resgraph.target": passes, "resgraph.folded": folded(network)}
        exported = Exported(
            network.graph,
            network.weights,
            "portable" if form == "int8" else target,
            about,
            machine_properties() if form == "optimised" else {},
            self.calibration() if form == "int8" else None,
        )
        return export_form(exported, form, folder)

    def metadata(self) -> dict[str, str]:
        """What travels in the model beside the network: classes, input normalisation, and
        of which weights it is made, and what is to be known of their training."""
        keys = ("classes", "mean", "std")
        facts = {f"resgraph.{key}": json_.dumps(self.run.about[key]) for key in keys}
        if seal := unsealed(self.weights).get(ENTRY):
            facts["resgraph.weights"] = seal
        if self.unfinished is not None:
            facts["resgraph.unfinished"] = self.unfinished
        return facts

    def compared(self, form: str, target: str, model: Path) -> Agreement:
        """A form against the float32 model, both on the CPU.

        bfloat16 is computed by torch: onnxruntime has no convolutions in it on the CPU.
        """
        from resgraph.infer import Classifier
        from resgraph.infer.agreement import agreement

        pictures, _ = self.test_images
        found: NDArray[Any]
        if form == "bf16":
            from resgraph.outputs import classifying
            from resgraph.verify.evaluate import evaluate

            network, _ = self.network(target)
            images = self.normal(pictures)
            given = network.graph, network.weights, images, "bfloat16"
            outputs = evaluate(*given)
            name = classifying({n: value.ndim == 2 for n, value in outputs.items()})
            found = outputs[name or next(iter(outputs))]
        else:
            found = Classifier(model, "cpu").logits(pictures)
        return agreement(found, self.plain_logits)

    @cached_property
    def plain_logits(self) -> NDArray[np.float32]:
        """What the float32 model gives for the test images."""
        from resgraph.infer import Classifier

        pictures, _ = self.test_images
        with tempfile.TemporaryDirectory() as folder:
            plain = self.write("portable", "portable", Path(folder))[0]
            return Classifier(plain, "cpu").logits(pictures)

    # --- pictures ---------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        from resgraph.data.source import of_images

        return of_images(self.graph.input)

    def calibration(self) -> NDArray[np.float32]:
        """Training images, drawn by a fixed seed, as the network takes them."""
        import numpy as np

        from resgraph.data import load_data

        images = load_data(self.data, self.shape).train_images
        order = np.random.default_rng(0).permutation(len(images))[:CALIBRATION]
        return self.normal(images[np.sort(order)])

    @cached_property
    def test_images(self) -> tuple[NDArray[np.uint8], str]:
        """The first test images, or noise where the data are not here; and which it is."""
        import numpy as np

        from resgraph.data import load_data

        try:
            found = load_data(self.data, self.shape).test_images[:COMPARED]
        except ResgraphError:
            random = np.random.default_rng(0)
            noise = random.integers(0, 256, (CALIBRATION, *self.shape), np.uint8)
            return noise, f"{CALIBRATION} images of noise"
        return np.asarray(found), f"the first {len(found)} test images of {self.data}"

    def normal(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images as the network takes them."""
        import numpy as np

        mean, std = (
            np.array(self.run.about[key], np.float32).reshape(-1, 1, 1)
            for key in ("mean", "std")
        )
        return np.asarray((images / np.float32(255) - mean) / std, np.float32)


def passes_of(form: str, target: str) -> str:
    """The target whose passes a form goes through."""
    return "integers" if form == "int8" else target


def what_became(
    trained: Trained, forms: list[str], target: str
) -> dict[str, list[str]]:
    """What became of each BN, by the target whose passes some of the forms go through."""
    from resgraph.passes.deploy import report

    targets = dict.fromkeys(passes_of(form, target) for form in forms)
    return {passes: report(*trained.network(passes)) for passes in targets}


def say_all(
    trained: Trained,
    written: dict[str, tuple[Path, ...]],
    agreements: dict[str, Agreement],
    lines: dict[str, list[str]],
) -> None:
    """The files, how near the rounded ones are, what became of the BNs, and what is next."""
    name, weights = trained.graph.name, trained.weights.as_posix()
    for form, files in written.items():
        shown = " ".join(file.as_posix() for file in files)
        say(f"{name} with the weights of {weights}: {shown}")
        if form in agreements:
            _, images = trained.test_images
            say(f"{form} against float32 on {images}: {agreements[form]}")
    for passes, became in lines.items():
        say("\n".join([f"BNs, for {passes}:", *became]))
    first = next(iter(written.values()))[0]
    say(f"next: resgraph infer {first.as_posix()} IMAGE...")


def as_json(
    trained: Trained,
    written: dict[str, tuple[Path, ...]],
    agreements: dict[str, Agreement],
    lines: dict[str, list[str]],
) -> dict[str, Any]:
    files = {form: [f.as_posix() for f in found] for form, found in written.items()}
    result: dict[str, Any] = {
        "network": trained.run.network,
        "weights": trained.weights.as_posix(),
        "files": list(dict.fromkeys(f for found in files.values() for f in found)),
        "forms": files,
    }
    if trained.unfinished is not None:
        result["unfinished"] = trained.unfinished
    if agreements:
        _, images = trained.test_images
        shown = {form: dataclasses.asdict(found) for form, found in agreements.items()}
        result["against_float32"] = {"images": images, **shown}
    return result | ({"report": lines} if lines else {})


COMMANDS = {"export": export_command}
