"""Which text is resgraph's own: compared character by character, and never run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resgraph import __version__
from resgraph.compiler import Compiler
from resgraph.emit import torch_source
from resgraph.origin import read_source
from resgraph.provenance import Header, header_of
from resgraph.settings import parse_settings
from tests.conftest import ROOT
from tests.helpers import SPECS, refused

GENERATED = sorted((ROOT / "generated").glob("*.py"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Specs, and a folder for what is compiled."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "generated").mkdir()
    shutil.copy(SPECS / "tiny.yaml", tmp_path / "specs")
    shutil.copy(ROOT / "specs" / "preact_basic.yaml", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiled(spec: str, network: str | None = None, *settings: str) -> Path:
    """The generated file of a spec's network."""
    graph = Compiler().graphs(Path(spec), network, parse_settings([*settings]))[0]
    path = Path("generated") / f"{graph.name}.py"
    path.write_text(torch_source(graph, path.parent))
    return path


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_committed_files_are_resgraphs_own(path: Path) -> None:
    assert read_source(path).foreign is None


@pytest.mark.parametrize(
    "options",
    [
        ("specs/tiny.yaml", None),
        ("specs/tiny.yaml", None, "depth=14"),
        ("specs/preact_basic.yaml", "resnet20"),
        ("specs/preact_basic.yaml", "resnet20", "depth=14", "classes=100"),
    ],
)
@pytest.mark.parametrize("place", ["there", "here", "elsewhere", "run folder"])
def test_the_spec_is_found_wherever_it_is(
    options: tuple[str, str | None],
    place: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the header, from its own folder too; by `--spec`; as a run folder's copy."""
    path, spec = compiled(*options), None
    if place == "here":
        monkeypatch.chdir("generated")
        path = Path(path.name)
    elif place == "elsewhere":
        Path("specs").rename("moved")
        spec = Path("moved") / Path(options[0]).name
    elif place == "run folder":
        copy = read_source(path).origin.resolved(Compiler())
        run = Path("runs/mine")
        run.mkdir(parents=True)
        path = Path(shutil.copy(path, run))
        (run / "spec.yaml").write_text(copy)
    found = read_source(path, spec)
    assert found.foreign is None
    path.write_text(found.text + "\n")
    assert "first difference at line" in (read_source(path, spec).foreign or "")


def edits(text: str) -> dict[str, tuple[str, str]]:
    """Texts that look alike, and the first difference that is told of each."""
    count = text.count("\n")
    first = text.partition("\n")[0]
    return {
        "a line more": (
            text + "x\n",
            f"{count + 1}\n  file     | x\n  compiled | (nothing",
        ),
        "a line less": (
            text[: text.rstrip().rindex("\n") + 1],
            f"{count}\n  file     | (nothing more)",
        ),
        "CRLF": (text.replace("\n", "\r\n"), "line 1\n"),
        "no last newline": (text[:-1], f"line {count}\n  file     | '"),
        "trailing blank": (text.replace("nn\n", "nn \n", 1), "'from torch import"),
        "a tab": (text.replace("    ", "\t", 1), "first difference at line"),
        "a bidi control": (text.replace("import", "import\u202e", 1), "�"),
        "a long line": (
            text.replace("\nimport", f"\n#{'x' * 999}\nimport", 1),
            "| #xxx",
        ),
        "in a long line": (text.replace(first, first + " " * 300, 1), "not generated"),
    }


@pytest.mark.parametrize("case", edits("a\nb\n"))
def test_whatever_differs_is_foreign(case: str, project: Path) -> None:
    path = compiled("specs/tiny.yaml")
    text, told = edits(path.read_text())[case]
    path.write_bytes(text.encode())
    if told == "not generated":
        assert told in refused(lambda: read_source(path))
        return
    found = read_source(path).foreign or ""
    assert told in found
    assert max(map(len, found.splitlines()[1:])) < 180


def test_another_version_is_told_as_that(project: Path) -> None:
    path = compiled("specs/tiny.yaml")
    path.write_text(
        path.read_text().replace(f" {__version__} ", " 0.0.9 ", 1) + "x = 1\n"
    )
    found = read_source(path).foreign
    assert found == (
        "generated/tiny.py was written by resgraph 0.0.9, which spelled it otherwise; "
        "the graph is the same"
    )


def test_what_cannot_be_compared(project: Path) -> None:
    path = compiled("specs/tiny.yaml")
    Path("specs/tiny.yaml").rename("tiny.yaml")
    alone = read_source(path)
    assert alone.graph is None
    assert "its spec specs/tiny.yaml is not there" in (alone.foreign or "")
    changed = Path("tiny.yaml").read_text().replace("ops: [add, relu]", "ops: [add]")
    Path("specs/tiny.yaml").write_text(changed)
    assert "it has changed since" in refused(lambda: read_source(path))


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x85", "\u2028"])
def test_no_code_hides_in_the_first_line(end: str, project: Path) -> None:
    """Python ends a comment at a carriage return, so a header has no control character."""
    path = compiled("specs/tiny.yaml")
    code = f"x{end}raise SystemExit #"
    path.write_bytes(path.read_text().replace("specs/tiny.yaml", code).encode())
    assert "was not generated" in refused(lambda: read_source(path))


def test_a_header_is_read_as_it_was_written() -> None:
    header = Header("specs/a b.yaml", "sha256:" + "0" * 64, " --set depth=14", "1.2.3")
    assert header_of(f"{header}\nimport torch\n") == header
    assert header_of(f"{header} \n") is None
    assert header_of("") is None
