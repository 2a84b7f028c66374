"""`infer`: pictures, or a data set's test images, through ONNX Runtime."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, require_file, say, say_json, warn
from resgraph.diagnostics import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resgraph.infer import Classifier, Pictures, Prediction


def infer_command(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", metavar="MODEL")],
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures, folders or patterns.", metavar="[IMAGE...]"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Classify this data set's test images.")
    ] = None,
    show: Annotated[
        int, typer.Option("--show", min=0, help="With --data: print so many of them.")
    ] = 10,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes per picture.")] = 3,
    device: Annotated[
        str,
        typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda."),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads; by default all cores.")
    ] = None,
    json: Json = False,
) -> None:
    """Classify pictures with an exported model, through ONNX Runtime.

    Example: resgraph infer runs/demo/resnet20.onnx picture.png
    """
    require_file(model)
    if bool(images) == bool(data):
        raise UsageError("name pictures, or a data set with --data, and not both")
    from resgraph.infer import Classifier

    classifier = Classifier(model, device, threads)
    for assumption in classifier.assumptions:
        warn(assumption)
    if data is not None:
        infer_data(classifier, data, show, top, json)
    else:
        infer_pictures(classifier, images or [], top, json)


def infer_pictures(
    classifier: Classifier, images: list[str], top: int, json: bool
) -> None:
    """The likeliest classes of each picture; exit 1 if one could not be read."""
    from resgraph.infer import read_images

    pictures = read_images(images, classifier.input_shape)
    rows, seconds = timed_top(classifier, pictures.images, top)
    if json:
        say_json(pictures_json(classifier, pictures, rows))
    else:
        for path, row in zip(pictures.paths, rows, strict=True):
            say(f"{path.as_posix()}: {words(row)}")
        say(speed(classifier, len(rows), seconds))
    for problem in pictures.problems:
        warn(f"{problem.path.as_posix()}: {problem.message}")
    if pictures.problems:
        raise typer.Exit(1)


def infer_data(
    classifier: Classifier, data: str, show: int, top: int, json: bool
) -> None:
    """The test error over a data set, and its first few images one by one."""
    from resgraph.data import load_data

    dataset = load_data(data, classifier.input_shape)
    dataset.check_fits(classifier.input_shape, len(classifier.classes))
    rows, seconds = timed_top(classifier, dataset.test_images, top)
    labels = dataset.test_labels.tolist()
    wrong = sum(row[0].index != label for row, label in zip(rows, labels, strict=True))
    error = 100 * wrong / len(rows)
    if json:
        say_json({"data": dataset.name, "images": len(rows), "test_error": error})
        return
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        if number < show:
            truth = dataset.classes[label]
            mark = "" if row[0].index == label else "  (wrong)"
            say(f"test image {number}, {truth!r}: {words(row)}{mark}")
    say(f"test error {error:.2f} % ({wrong} of {len(rows)} images wrong)")
    say(speed(classifier, len(rows), seconds))


def timed_top(
    classifier: Classifier, images: NDArray[np.uint8], top: int
) -> tuple[list[list[Prediction]], float]:
    """The predictions, and the seconds that they took."""
    start = time.perf_counter()
    rows = classifier.top_k(images, top)
    return rows, time.perf_counter() - start


def words(row: list[Prediction]) -> str:
    return ", ".join(f"{p.label} {100 * p.probability:.1f} %" for p in row)


def speed(classifier: Classifier, count: int, seconds: float) -> str:
    """How many images, how fast, and what really ran them."""
    return (
        f"{count} image{'s' * (count != 1)} in {1000 * seconds:.0f} ms by "
        f"{classifier.path.as_posix()} on {classifier.provider}"
    )


def pictures_json(
    classifier: Classifier, pictures: Pictures, rows: list[list[Prediction]]
) -> dict[str, Any]:
    images = [
        {"path": path.as_posix(), "classes": [dataclasses.asdict(p) for p in row]}
        for path, row in zip(pictures.paths, rows, strict=True)
    ]
    problems = [
        {"path": p.path.as_posix(), "message": p.message} for p in pictures.problems
    ]
    return {"provider": classifier.provider, "images": images, "problems": problems}


COMMANDS = {"infer": infer_command}
