"""Every malformed spec gets diagnostics, and golden files pin their every word."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from resgraph.cli.common import paint
from resgraph.codes import UNKNOWN_OP, UNUSED_ALLOW, UNUSED_UNIT
from resgraph.compiler import Compiler
from resgraph.diagnostics import (
    Diagnostic,
    ResgraphError,
    SpecError,
    counted,
    did_you_mean,
    edits,
    nearest,
    render,
)

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
WARNED = sorted((Path(__file__).parent / "warned").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_golden(path: Path, root: Path, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path.relative_to(root))
    golden(f"errors/{path.stem}.txt", f"{caught.value}\n")


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_every_finding_has_a_place(path: Path, root: Path) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path.relative_to(root))
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.span is not None
        assert diagnostic.span.line >= 1
        assert diagnostic.span.col >= 1


@pytest.mark.parametrize("path", WARNED, ids=[path.stem for path in WARNED])
def test_golden_of_what_compiles(
    path: Path, root: Path, golden: Callable[[str, str], None]
) -> None:
    compiler = Compiler()
    name = path.relative_to(root)
    assert compiler.graphs(name)
    told = [render(f, compiler.sources.texts) for f in compiler.warnings[str(name)]]
    assert told
    golden(f"warnings/{path.stem}.txt", "\n".join(told) + "\n")


def test_findings_are_counted_by_severity() -> None:
    codes = (UNUSED_ALLOW, UNKNOWN_OP, UNUSED_UNIT, UNKNOWN_OP)
    found = [Diagnostic(code, "it is so") for code in codes]
    assert counted(found) == "2 errors, 1 warning, 1 note"
    assert counted(found[2:3]) == "1 warning"


@pytest.mark.parametrize(
    ("line", "painted"),
    [
        ("error: no", "\033[1;31merror: \033[0mno"),
        ("a b.yaml:1:2: error[unknown-op]: x", "a b.yaml:1:2: \033[1;31merror[unknown-op]: \033[0mx"),
        ("s.yaml:1:2: warning[unused-unit]: x", "s.yaml:1:2: \033[1;33mwarning[unused-unit]: \033[0mx"),
        ("s.yaml:1:2: note: x", "s.yaml:1:2: \033[36mnote: \033[0mx"),
        ("rank 1: error: x", "rank 1: \033[1;31merror: \033[0mx"),
        ("  hint: x", "  \033[32mhint: \033[0mx"),
        ("  7 | # note: x", "  7 | # note: x"),
        ("  7 | error: x", "  7 | error: x"),
    ],
)  # fmt: skip
def test_colours_on_a_terminal(line: str, painted: str) -> None:
    terminal, file = Terminal(), StringIO()
    paint(line, terminal)
    paint(line, file)
    assert terminal.getvalue() == f"{painted}\n"
    assert file.getvalue() == f"{line}\n"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_no_finding_steers_the_terminal(tmp_path: Path) -> None:
    """Words of the spec are in messages, hints and notes, and its name before them."""
    word = '"\\e[31m\\nx"'
    spec = tmp_path / "a\033b.yaml"
    spec.write_text(f"resgraph: 1\ntitle: x\n{word}: 1\n{word}: 1\nallow: [{word}]\n")
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(spec)
    assert "\033" not in str(caught.value)
    spec.write_text(
        f"resgraph: 1\ntitle: x\nallow: [{word}]\nunits: {{body: {{paths: {{out: "
        f"{{from: {word}, ops: [{word}]}}}}}}}}\nnetwork: {{params: {{{word}: 1}}, "
        f"input: [{word}, 8, 8], stages: [[{word}]], head: [{word}]}}\n"
    )
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(spec)
    assert "\033" not in str(caught.value)
    assert len(caught.value.diagnostics) > 3
    with pytest.raises(ResgraphError) as missing:
        Compiler().graphs(tmp_path / "\033none.yaml")
    assert all(line.isprintable() for line in missing.value.lines())


def test_a_hint_proposes_what_is_near() -> None:
    assert edits("widht", "width", 2) == 1
    assert edits("kernal", "kernel", 2) == 1
    assert edits("kitten", "sitting", 3) == 3
    assert edits("kitten", "sitting", 2) is None
    assert nearest("dpth", ["width", "depth"]) == "depth"
    assert nearest("F", ["f", "out"]) == "f"
    assert nearest("nowhere.yaml", ["even_kernel.yaml"]) is None
    assert nearest("m", ["n"]) is None
    assert did_you_mean("m", ["n"]) == "known here: n"
    assert did_you_mean("m", []) is None


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "large.yaml").write_text("a" * 300_000)
    for name in ("absent.yaml", "binary.yaml", "large.yaml", "."):
        with pytest.raises(ResgraphError) as caught:
            Compiler().graphs(tmp_path / name)
        assert str(tmp_path / name) in caught.value.message
