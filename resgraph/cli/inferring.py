"""`infer`: pictures, or a data set's test images, through ONNX Runtime."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, console, require_file, say, say_json, warn
from resgraph.diagnostics import UsageError, plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resgraph.data import Dataset
    from resgraph.infer import Classifier, Prediction, Problem

Model = Annotated[Path, typer.Argument(help="An ONNX model.", metavar="MODEL")]
InferDevice = Annotated[
    str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", help="CPU threads; by default all cores.")
]
Tf32 = Annotated[
    bool, typer.Option("--tf32/--no-tf32", help="Round products to TF32, on CUDA.")
]
Advance = Callable[[int], object]
"""Told of so many images that are done."""


def infer_command(
    model: Model,
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
    device: InferDevice = "auto",
    threads: Threads = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Images at a time; by default 256.")
    ] = None,
    tf32: Tf32 = False,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="Replay one CUDA graph per batch.")
    ] = False,
    json: Json = False,
) -> None:
    """Classify pictures with an exported model, through ONNX Runtime.

    Example: resgraph infer runs/demo/resnet20.onnx picture.png
    """
    require_file(model)
    if bool(images) == bool(data):
        raise UsageError("name pictures, or a data set with --data, and not both")
    from resgraph.infer import Classifier

    classifier = Classifier(
        model, device, threads, batch=batch, tf32=tf32, cuda_graph=cuda_graph
    )
    for note in classifier.notes:
        warn(note)
    if data is not None:
        infer_data(classifier, data, show, top, json)
    else:
        infer_pictures(classifier, images or [], top, json)


# --- pictures -------------------------------------------------------------------------


def infer_pictures(
    classifier: Classifier, images: list[str], top: int, json: bool
) -> None:
    """The likeliest classes of each picture; exit 1 if one could not be read."""
    from resgraph.infer import find_pictures

    paths = find_pictures(images)
    start = time.perf_counter()
    rows: dict[Path, list[Prediction]] = {}
    problems: list[Problem] = []
    with progress(len(paths)) as advance:
        for part in parts(len(paths), classifier.batch):
            read_and_classify(classifier, paths[part], top, rows, problems)
            advance(part.stop - part.start)
    seconds = time.perf_counter() - start
    if json:
        say_json(
            {
                **about_run(classifier, len(rows), seconds),
                "images": [
                    {
                        "path": path.as_posix(),
                        "classes": list(map(dataclasses.asdict, row)),
                    }
                    for path, row in rows.items()
                ],
                "problems": [
                    {"path": p.path.as_posix(), "message": p.message} for p in problems
                ],
            }
        )
    else:
        for path, row in rows.items():
            say(f"{path.as_posix()}: {words(row)}")
        say(speed(classifier, len(rows), seconds))
    for problem in problems:
        warn(f"{problem.path.as_posix()}: {problem.message}")
    if problems:
        warn(f"{len(problems)} of {len(paths)} pictures could not be read")
        raise typer.Exit(1)


def read_and_classify(
    classifier: Classifier,
    paths: list[Path],
    top: int,
    rows: dict[Path, list[Prediction]],
    problems: list[Problem],
) -> None:
    """Add the predictions for a batch of pictures, and those that cannot be read."""
    from resgraph.infer import read_files

    pictures = read_files(paths, classifier.input_shape)
    found = classifier.top_k(pictures.images, top)
    rows.update(zip(pictures.paths, found, strict=True))
    problems.extend(pictures.problems)


# --- a data set -----------------------------------------------------------------------


def infer_data(
    classifier: Classifier, data: str, show: int, top: int, json: bool
) -> None:
    """The test error over a data set, what is taken for what, and its first few images."""
    from resgraph.data import load_data
    from resgraph.infer import evaluation

    dataset = load_data(data, classifier.input_shape)
    dataset.check_fits(classifier.input_shape, len(classifier.classes))
    if classifier.metadata.named and classifier.classes != dataset.classes:
        warn(f"the model's classes have other names than those of {dataset.name}")
    start = time.perf_counter()
    rows = probabilities(classifier, dataset.test_images)
    seconds = time.perf_counter() - start
    labels = dataset.test_labels
    result = evaluation(dataset.classes, labels, rows.argmax(axis=1))
    if json:
        run = about_run(classifier, len(rows), seconds)
        say_json({"data": dataset.name, **run, **result.as_json()})
        return
    show_first(classifier, dataset, rows[:show], top)
    for line in result.lines():
        say(line)
    wrong = f"{result.wrong} of {result.images} images wrong"
    say(f"test error {result.error:.2f} % ({wrong})")
    say(speed(classifier, len(rows), seconds))


def probabilities(
    classifier: Classifier, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Of all images [N, C, H, W], with the progress shown."""
    import numpy as np

    found = []
    with progress(len(images)) as advance:
        for part in parts(len(images), classifier.batch):
            found.append(classifier.predict(images[part]))
            advance(part.stop - part.start)
    return np.concatenate(found)


def show_first(
    classifier: Classifier, dataset: Dataset, rows: NDArray[np.float32], top: int
) -> None:
    """The first test images: what they are, and what they are taken for."""
    for number, row in enumerate(rows):
        label = int(dataset.test_labels[number])
        best = classifier.likeliest(row, top)
        mark = "" if best[0].index == label else "  (wrong)"
        say(f"test image {number}, {dataset.classes[label]!r}: {words(best)}{mark}")


# --- both -----------------------------------------------------------------------------


def parts(count: int, size: int) -> Iterator[slice]:
    """`count` things in slices of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """A bar with images per second on stderr, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.description}"),
        console=console(stderr=True),
        transient=True,
        expand=True,
        redirect_stdout=False,  # which may be a file, and results belong there
        disable=not sys.stderr.isatty(),
    )
    start = time.perf_counter()
    with bar:
        task = bar.add_task("", total=total)

        def advance(count: int) -> None:
            done = bar.tasks[0].completed + count
            rate = done / (time.perf_counter() - start)
            bar.update(task, completed=done, description=f"{rate:,.0f} images/s")

        yield advance


def words(row: list[Prediction]) -> str:
    return ", ".join(f"{p.label} {100 * p.probability:.1f} %" for p in row)


def speed(classifier: Classifier, count: int, seconds: float) -> str:
    """How many images, how fast, and what really ran them."""
    return (
        f"{count} {plural(count, 'image')} in {1000 * seconds:.0f} ms "
        f"({count / seconds:,.0f} images/s) by {classifier.path.as_posix()} on "
        f"{classifier.placement}"
    )


def about_run(classifier: Classifier, count: int, seconds: float) -> dict[str, Any]:
    """What ran the images, and how fast, for a program."""
    return {
        "provider": classifier.provider,
        "nodes_elsewhere": dict(classifier.placement.elsewhere),
        "notes": list(classifier.notes),
        "seconds": seconds,
        "images_per_s": count / seconds,
    }


COMMANDS = {"infer": infer_command}
