"""`resgraph draw`: what is drawn, where it goes, and how mistakes are told."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError, SpecError, UsageError
from tests.conftest import ROOT
from tests.draw.common import NS, groups
from tests.helpers import python

DOCUMENT = ROOT / "docs/drawing.md"
COMMANDS = re.findall(r"^resgraph draw .*--out docs/.*$", DOCUMENT.read_text(), re.M)
PREACT = str(ROOT / "specs/preact_bottleneck.yaml")


def draw(*options: str) -> str:
    """What is printed; the error, where there is one, comes up as it is."""
    result = CliRunner().invoke(app, ["draw", *options], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def refusal(*options: str) -> str:
    with pytest.raises(UsageError) as caught:
        draw(*options)
    return f"{caught.value.message} | {caught.value.hint}"


def captions(svg: Path | str, kind: str = "subtitle") -> list[str]:
    text = svg.read_text() if isinstance(svg, Path) else svg
    root = ElementTree.fromstring(text)
    return [t.text or "" for t in root.iter(f"{NS}text") if t.get("class") == kind]


def ops(svg: Path, tag: str = "op") -> list[str]:
    root = ElementTree.parse(svg).getroot()
    name = "data-edge" if tag == "edge" else "data-node"
    return [g.attrib[name] for g in groups(root, tag)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: Path(line).stem)
def test_the_figures_of_the_documentation_are_fresh(
    root: Path, tmp_path: Path, line: str, request: pytest.FixtureRequest
) -> None:
    *options, out = shlex.split(line)[2:]
    figure = root / out
    fresh = (
        figure if request.config.getoption("--update-golden") else tmp_path / "a.svg"
    )
    try:
        draw(*options, str(fresh))
    except SpecError:
        assert "tests/bad/" in line
    text = figure.read_text()
    assert fresh.read_text() == text
    assert "<script" not in text
    assert text.splitlines()[1].startswith("<rect width=")  # a ground of its own


def test_the_python_of_the_documentation(root: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    code = code.replace('Path("units.', f'Path("{tmp_path}/units.')
    assert python(code).stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["units.png", "units.svg"]


def test_no_figure_is_left_over() -> None:
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / "docs/figures").iterdir()}
    assert files == {line.split()[-1] for line in COMMANDS}


def test_default_files(here: Path) -> None:
    assert draw(PREACT) == "preact_bottleneck.svg\n"
    assert captions(here / "preact_bottleneck.svg") == [
        "body of resnet164, stage1.1 to stage1.17"
    ]
    assert draw(PREACT, PREACT, "--format", "png") == "drawing.png\n"
    assert Image.open(here / "drawing.png").format == "PNG"
    assert sorted(p.name for p in here.iterdir()) == [
        "drawing.png",
        "preact_bottleneck.svg",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), ["body of resnet164,"]),
        (("--network", "resnet1001"), ["body of resnet1001,"]),
        (("--set", "depth=29"), ["body of"]),
        (("--unit", "entry"), ["entry of resnet164, stage1.0"]),
        (
            ("--unit", "stem", "--unit", "head"),
            ["stem of resnet164", "head of resnet164"],
        ),
        (("--units",), ["entry of resnet164, stage1.0", "body of resnet164,"]),
        (("--stage", "2"), ["entry of resnet164, stage2.0", "body of resnet164,"]),
        (("--whole",), ["Full pre-activation bottleneck"]),
    ],
)
def test_what_is_drawn(here: Path, options: Sequence[str], said: Sequence[str]) -> None:
    draw(PREACT, *options, "--out", "a.svg")
    lines = captions(here / "a.svg")
    assert [line for line in lines if line.startswith(tuple(said))] != []
    for start in said:
        assert any(line.startswith(start) for line in lines), (start, lines)


def test_each_of_all_units_has_its_own_title(here: Path) -> None:
    draw(PREACT, "--units", "--out", "a.svg")
    assert captions(here / "a.svg", "title") == ["entry", "body"]


def test_scale_and_theme(here: Path) -> None:
    draw(PREACT, "--out", "small.png", "--scale", "1")
    draw(PREACT, "--out", "large.png", "--scale", "3", "--theme", "dark")
    small, large = Image.open("small.png"), Image.open("large.png")
    assert abs(large.width - 3 * small.width) <= 3
    assert small.convert("RGB").getpixel((20, 5)) == (255, 255, 255)
    assert large.convert("RGB").getpixel((60, 15)) == (0x14, 0x18, 0x1F)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_stdout(form: str) -> None:
    code = f"""
import sys
sys.argv = ["resgraph", "draw", {PREACT!r}, "--out", "-", "--format", {form!r}]
from resgraph.cli import main
main()
heavy = ("torch", "onnx", "onnxruntime", "matplotlib", "networkx", "numpy", "rich")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    # Nothing but the drawing on stdout, nothing of the layout's library on stderr.
    assert done.stderr.decode() in ("", "[]\n")
    if form == "svg":
        assert ElementTree.fromstring(done.stdout).tag == f"{NS}svg"
    else:
        assert Image.open(BytesIO(done.stdout)).format == "PNG"


def test_starts_light() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "matplotlib", "networkx", "numpy")
    code = f"""
import sys
from pathlib import Path
from resgraph.cli.drawing import draw_command
draw_command([Path({PREACT!r})], out="-")
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    assert python(code).stderr == "[]\n"


def test_findings_are_marked_and_told(here: Path) -> None:
    spec = str(ROOT / "tests/bad/add_map_size.yaml")
    with pytest.raises(SpecError) as caught:
        draw(spec, "--out", "a.svg")
    assert "add needs equal shapes" in str(caught.value)
    assert ops(here / "a.svg", "mark-finding") == ["out_add"]
    text = (here / "a.svg").read_text()
    assert "[16, 16, 16]" in text
    assert "[16, 8, 8]" in text
    assert "add needs equal shapes" in text
    with pytest.raises(SpecError):
        draw(spec, "--whole", "--out", "b.svg")
    assert ops(here / "b.svg", "mark-finding") == ["stage1.0", "stage2.0"]


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        ("unknown_value", ["out_add"]),
        ("no_out", ["out"]),
        ("cycle", ["h_option_a"]),
        ("unknown_ops", 2),
        ("ends_in_wrong_width", ["head_linear"]),
        ("groups", ["conv2"]),
    ],
)
def test_marks_by_finding(here: Path, name: str, marked: list[str] | int) -> None:
    with pytest.raises(SpecError):
        draw(str(ROOT / f"tests/bad/{name}.yaml"), "--out", "a.svg")
    found = ops(here / "a.svg", "mark-finding")
    assert found == marked or len(found) == marked


def test_as_json(here: Path) -> None:
    assert json.loads(draw(PREACT, "--json")) == {
        "file": "preact_bottleneck.svg",
        "findings": [],
    }
    bad = str(ROOT / "tests/bad/cycle.yaml")
    result = CliRunner().invoke(app, ["draw", bad, "--json", "--out", "a.svg"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["file"] == "a.svg"
    assert len(told["findings"]) == 1
    assert (here / "a.svg").exists()


def test_a_spec_that_cannot_be_built_leaves_no_file(here: Path) -> None:
    with pytest.raises(SpecError) as caught:
        draw(str(ROOT / "tests/bad/unclosed.yaml"))
    assert caught.value.diagnostics
    assert [*here.iterdir()] == []
    # Beside one that can be, it is told, and the other one drawn.
    with pytest.raises(SpecError):
        draw(str(ROOT / "tests/bad/unclosed.yaml"), PREACT)
    assert [p.name for p in here.iterdir()] == ["drawing.svg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--unit", "bdy"), "no unit 'bdy' | did you mean 'body'?"),
        (("--stage", "4"), "no stage 4 | the stages of resnet164 are 1 to 3"),
        (("--stage", "0"), "no stage 0"),
        (("--units", "--whole"), "--units and --whole do not go together"),
        (("--network", "resnet165"), "did you mean 'resnet164'?"),
        (("--set", "dpth=3"), "no parameter 'dpth'"),
        (("--out", "a.pdf"), "ends in .svg or .png"),
        (("--out", "a.svg", "--format", "png"), "does not go with --format png"),
        (("--out", "."), "which format"),
        (("--out", "-", "--json"), "both want stdout"),
        (("--out", ".", "--format", "svg"), "is a folder"),
    ],
)
def test_usage(here: Path, options: Sequence[str], said: str) -> None:
    assert said in refusal(PREACT, *options)
    assert [*here.iterdir()] == []


def test_a_picture_that_is_too_large(here: Path) -> None:
    specs = sorted(str(path) for path in (ROOT / "specs").glob("*.yaml"))
    said = refusal(*specs, "--units", "--out", "a.png", "--scale", "8")
    assert "pixels is too large | give a smaller --scale" in said
    assert [*here.iterdir()] == []


def test_no_such_spec(here: Path) -> None:
    assert "nothing.yaml: no such file" in refusal("nothing.yaml")


def test_a_place_that_cannot_be_written(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(ResgraphError) as caught:
        draw(PREACT, "--out", "file/a.svg")
    assert "cannot write file/a.svg" in caught.value.message
    assert caught.value.hint == "choose another file with --out"


def test_an_empty_stem(here: Path) -> None:
    text = (ROOT / "tests/specs/tiny.yaml").read_text()
    lines = [
        "  stem: []" if line.startswith("  stem:") else line
        for line in text.splitlines()
    ]
    (here / "bare.yaml").write_text("\n".join(lines))
    draw("bare.yaml", "--whole", "--out", "a.svg")
    assert ops(here / "a.svg", "part") == ["stage1.0", "stage2.0", "head"]
    draw("bare.yaml", "--unit", "stem", "--out", "a.svg")
    assert (ops(here / "a.svg"), ops(here / "a.svg", "edge")) == ([], ["x>out"])
