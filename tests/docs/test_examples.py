"""What the pages tell a reader to write and to run, written and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs._build.pages import Block, blocks
from resgraph.compiler import Compiler
from tests.conftest import ROOT
from tests.helpers import printed

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLLOWED = ("tutorial", "spec-language", "training")
"""Pages whose commands run in an empty folder, exactly as written and in order."""

# What may differ from one run or machine to the next; all else is compared as it is.
VARIES = [
    (r"\b\d+(\.\d+)? m?s\b", "TIME"),
    (r"\b[\d,]+ (img|images)/s", "SPEED"),
    (r"\b\d+ threads?\b", "THREADS"),
    (r"\b(loss) \d+\.\d+", r"\1 LOSS"),
    (r"\d+\.\d+ %", "SHARE"),
    (r"\(\d+ of 360 images wrong\)", "WRONG"),
    (r"\b\d(\.\d+)?e[-+]\d+\b", "ERROR"),
    (r"values up to [\d.]+", "values up to ERROR"),
    (r"at iteration \d+", "at iteration N"),
    (r"(test image \d+, '\d'): .*", r"\1"),
    (r"^( \d  \d +).*", r"\1"),
]
_COLUMNS = re.compile(r"(?<=\S) +(?=\S)")


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_is_followed(page: str, tmp_path: Path) -> None:
    """At its end every spec that the reader has written compiles."""
    ran = 0
    for block in blocks_of(ROOT / "docs" / f"{page}.md"):
        if block.title:
            block.write(tmp_path)
        elif block.language == "console":
            for command, output in block.commands():
                shown = steady(run(command, tmp_path))
                wanted = steady(output)
                assert fits(wanted, shown), f"line {block.line}: {command}\n{shown}"
                ran += 1
    assert ran
    written = [*tmp_path.glob("*.yaml")]
    assert written
    assert all(Compiler().graphs(spec) for spec in written)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_whole_specs_stand_on_pages_that_are_followed(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "yaml" and block.body.startswith("resgraph:"):
            assert page.stem in FOLLOWED, f"{page.name}:{block.line}"
            assert block.title, f"{page.name}:{block.line}"


def test_the_python_example_prints_what_it_says() -> None:
    example = blocks_of(ROOT / "docs" / "python.md")[0]
    assert f"  # {printed(example.body)}\n" in example.body


def blocks_of(page: Path) -> list[Block]:
    return [*blocks(page.read_text(encoding="utf-8"))]


def run(command: str, folder: Path) -> str:
    """What the command prints on a terminal, stdout and stderr together."""
    binaries = Path(sys.executable).parent
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1; {command}"],
        cwd=folder,
        env=os.environ | {"PATH": path, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.stdout


def steady(output: str) -> str:
    """The output without what may vary."""
    for pattern, word in VARIES:
        output = re.sub(pattern, word, output, flags=re.MULTILINE)
    return "\n".join(map(_aligned, output.strip().splitlines()))


def _aligned(line: str) -> str:
    """The line as it is where it shows a place in a file, else without its columns."""
    return line.rstrip() if " | " in line else _COLUMNS.sub(" ", line.rstrip())


def fits(wanted: str, shown: str) -> bool:
    """Whether the page shows the output, with "..." for lines that it leaves out."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else f"{re.escape(line)}\n"
        for line in wanted.splitlines()
    ]
    return re.fullmatch("".join(lines), f"{shown}\n" if shown else "") is not None


def test_what_is_left_out_is_lines_and_nothing_else() -> None:
    assert fits("a\n...\nd", "a\nb\nc\nd")
    assert fits("a\n...", "a")
    assert not fits("a\n...\nd", "a\nb\nc")
    assert not fits("a", "a\nb")
    assert not fits("a", "")
