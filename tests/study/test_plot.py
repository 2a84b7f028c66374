"""Figures: what is drawn is what was recorded; the files are the same every time."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import imread

from resgraph.cli.studying import plot_command
from resgraph.study import curves, depth
from resgraph.study.canvas import FORMATS, colours, style
from resgraph.study.plot import plot
from resgraph.study.series import read
from resgraph.train.folder import UNITS
from tests.helpers import refused
from tests.study.conftest import MakeRun, monitored

FIGURES = ("curves", "truncation", "responses")


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style():
        yield


def drawn_in(axes: Axes, linestyle: str) -> list[tuple[list[float], list[float]]]:
    """The data of the lines of that style, in the order they were drawn."""
    return [
        ([*map(float, line.get_xdata())], [*map(float, line.get_ydata())])
        for line in axes.get_lines()
        if line.get_linestyle() == linestyle
    ]


def labels(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_loss_is_dashed_on_a_log_axis_and_error_solid(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", "resnet110", records=10)
    make_run("b", "resnet164", records=6)
    found = read([tmp_path / "a", tmp_path / "b"])
    figure = curves.curves(found)
    left, right = figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert drawn_in(left, "--") == [series.loss for series in found]
    assert drawn_in(right, "-") == [series.error for series in found]
    assert [len(series.error[0]) for series in found] == [5, 3]
    for one, two in zip(left.get_lines(), right.get_lines(), strict=False):
        assert one.get_color() == two.get_color()
    assert len({line.get_color() for line in right.get_lines()}) == 2
    assert labels(figure) == ["resnet110", "resnet164"]
    # Where the learning rate drops.
    assert [x for x, _ in drawn_in(left, ":")] == [[32000.0] * 2, [48000.0] * 2]
    assert left.get_xlabel() == "iterations (× 10⁴)"
    assert left.get_xlim() == (0, 64000)
    assert right.get_ylim() == (0, 20)


def test_a_short_run_has_plain_iterations_and_room_for_its_error(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", "resnet20", iterations=300, records=2)
    left, right = curves.curves(read([tmp_path / "a"])).axes
    assert left.get_xlabel() == "iterations"
    assert right.get_ylim() == (0, 1.25 * 20)


def test_the_files_are_the_same_every_time(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", "resnet110", records=10)
    monitored(run, [100, 200], True, tmp_path)
    contents = []
    for out in ("one", "two"):
        with mpl.rc_context({"font.size": 17, "svg.hashsalt": out}):  # the user's own
            files, _ = plot([run.folder], tmp_path / out, FORMATS)
        names = [f"{name}.{form}" for name in FIGURES for form in FORMATS]
        assert [file.name for file in files] == names
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert b"<dc:date>" not in b"".join(contents[0])
    assert imread(tmp_path / "one" / "curves.png").ndim == 3


def texts(path: Path) -> list[str]:
    return [(t.text or "").strip() for t in ElementTree.parse(path).iter() if t.text]


@pytest.mark.parametrize(
    "name", ["a_b$x_1$", "<script>&amp;", "_hidden", r"$ \frac %s {0}"]
)
def test_names_are_text(name: str, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", name)
    monitored(run, [100], True, tmp_path)
    for file in plot([run.folder], tmp_path / "out", ("svg",))[0]:
        assert name in texts(file)


def test_labels_tell_runs_apart(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "resnet110", seed=0)
    make_run("b", "resnet110", seed=1)
    make_run("c", "resnet110", seed=1, iterations=640)
    a, b, c = (tmp_path / name for name in "abc")
    assert [s.label for s in read([a])] == ["resnet110"]
    assert [s.label for s in read([a, b])] == ["resnet110, seed 0", "resnet110, seed 1"]
    assert [s.label for s in read([b, c])] == ["resnet110, b", "resnet110, c"]
    assert labels(curves.curves(read([b, c]))) == ["resnet110, b", "resnet110, c"]


@pytest.mark.parametrize("count", [1, 7, 8, 30])
def test_a_colour_per_run(count: int) -> None:
    assert len({str(colour) for colour in colours(count)}) == count


def test_unfinished_and_damaged_runs_are_drawn_and_said(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("none", "resnet20", records=0)
    make_run("stopped", "resnet110", records=4, status="stopped")
    torn = make_run("torn", "resnet164", records=4, status="running")
    with torn.metrics.open("a") as file:
        file.write('{"iteration": 70000, "ep')
    foreign = make_run("foreign", "resnet1001", records=4)
    with foreign.metrics.open("a") as file:
        file.write('{"iteration": 70000}\n')
    missing = make_run("missing", "resnet1202", records=1)
    missing.metrics.unlink()
    folders = [tmp_path / n for n in ("none", "stopped", "torn", "foreign", "missing")]
    files, notes = plot(folders, tmp_path / "out", ("svg",))
    told = "\n".join(notes)
    assert "none: there are no records in it yet" in told
    assert "missing: there are no records in it yet" in told
    assert "stopped: stopped at iteration 64,000 of 64,000" in told
    assert "torn/metrics.jsonl: a line is not whole" in told
    assert "foreign/metrics.jsonl:5: it has no epoch; it has no lr" in told
    found = read(folders)
    assert [len(series.records) for series in found] == [0, 4, 4, 4, 0]
    shown = texts(files[0])
    for series in found:
        assert series.label in shown
    assert "resnet164 (so far, 64,000)" in shown


def test_only_runs_without_any_record(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "resnet20", records=0)
    files, _ = plot([tmp_path / "a"], tmp_path / "out", ("svg", "png"))
    assert all(file.stat().st_size for file in files)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert "is not a run folder" in refused(
        lambda: plot([tmp_path], tmp_path, ("svg",))
    )
    missing = tmp_path / "missing"
    assert "does not exist" in refused(lambda: plot([missing], tmp_path, ("svg",)))
    assert not any(tmp_path.iterdir())


def test_truncation_over_depth_and_time(make_run: MakeRun, tmp_path: Path) -> None:
    monitored(make_run("a", "original"), [1000, 2000, 4000], True, tmp_path)
    monitored(make_run("b", "preact"), [1000, 2000], False, tmp_path)
    make_run("c", "unmonitored")
    found = depth.monitored(read([tmp_path / name for name in "abc"]))
    assert [series.label for series in found] == ["original", "preact"]
    figure = depth.truncation(found)
    heat, bar, lines = figure.axes[0], figure.axes[1], figure.axes[-1]
    (mesh,) = [c for c in heat.collections if isinstance(c, QuadMesh)]
    assert found[0].units is not None
    table = np.array([r.truncated for r in found[0].units.records]).T
    assert np.array_equal(np.asarray(mesh.get_array()), table)
    edges = mesh.get_coordinates()
    assert edges[0, :, 0].tolist() == [0, 1500, 3000, 4000]
    assert edges[:, 0, 1].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert heat.get_title(loc="left") == "original"
    assert bar.get_ylabel() == "share of y truncated by f"
    original, preact = drawn_in(lines, "-")
    assert original == ([1, 2, 3, 4], [*found[0].units.records[-1].truncated])
    assert preact[1] == [0.0] * 4
    assert labels(figure) == ["original", "preact (f cuts nothing)"]


def test_responses_and_gradients_over_depth(make_run: MakeRun, tmp_path: Path) -> None:
    monitored(make_run("a", "original"), [1000, 4000], True, tmp_path)
    (series,) = found = read([tmp_path / "a"])
    upper, lower = depth.responses(found).axes
    assert series.units is not None
    first, last = series.units.records
    for axes, name in ((upper, "response"), (lower, "gradient")):
        assert axes.get_yscale() == "log"
        (line,) = drawn_in(axes, "-")
        assert line[1] == [*getattr(last, name)]
        assert drawn_in(axes, ":")[0][1] == [*getattr(first, name)]


def test_networks_of_different_depths_share_an_axis(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run("a", "deep")
    monitored(run, [1000], True, tmp_path)
    other = make_run("b", "shallow")
    monitored(other, [1000], True, tmp_path)
    lines = (other.folder / UNITS).read_text()
    cut = lines.replace('"stage1.2", ', "").replace("[true, ", "[")
    record = '{"iteration": 5, "truncated": [0.1, 0.2, 0.3], "negative": [0, 0, 0], '
    record += '"response": [1, 2, 3], "gradient": [1, 1, 1]}\n'
    (other.folder / UNITS).write_text(cut.splitlines()[0] + "\n" + record)
    found = depth.monitored(read([run.folder, other.folder]))
    lines_axes = depth.truncation(found).axes[-1]
    across = [x for x, _ in drawn_in(lines_axes, "-")]
    assert across == [[0.125, 0.375, 0.625, 0.875], [1 / 6, 0.5, 5 / 6]]


def test_only_preactivation_has_no_map(make_run: MakeRun, tmp_path: Path) -> None:
    monitored(make_run("a", "preact"), [1000], False, tmp_path)
    _, truncation, _ = plot([tmp_path / "a"], tmp_path / "out", ("svg",))[0]
    assert "preact (f cuts nothing)" in texts(truncation)


def test_a_torn_line_of_units_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a", "original")
    monitored(run, [1000, 2000], True, tmp_path)
    with (run.folder / UNITS).open("a") as file:
        file.write('{"iteration": 30')
    _, notes = plot([run.folder], tmp_path / "out", ("svg",))
    assert [UNITS in note for note in notes] == [True]


def test_the_command(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("a", "resnet110", status="interrupted")
    plot_command([run.folder], out=tmp_path / "out", formats="png")
    told = capsys.readouterr()
    assert told.out == f"{(tmp_path / 'out' / 'curves.png').as_posix()}\n"
    assert "interrupted at iteration 64,000 of 64,000" in told.err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["curves.png"]
    wrong = refused(lambda: plot_command([run.folder], out=tmp_path, formats="pdf"))
    assert "no figures of the format 'pdf'" in wrong
