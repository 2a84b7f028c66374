"""What a spec names is a regular file of its project, or one error that says how to allow it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, SpecError
from resgraph.origin import read_source
from resgraph.spec.files import OUTSIDE
from tests.helpers import SPECS

SECRET = "root:$6$secret:19000:0:99999:7:::\nnobody: [*:19000\n"
TINY = (SPECS / "tiny.yaml").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder, with specs in one below it, and a secret beside it."""
    (tmp_path / "secret").write_text(SECRET)
    root = tmp_path / "project"
    (root / "specs").mkdir(parents=True)
    (root / "resgraph.toml").write_text("")
    (root / "base.yaml").write_text(TINY)
    (root / ".env").write_text("TOKEN: [secret\n")
    return root


FORMS = ('"{0}"', '["{0}"]', '[../base.yaml, "{0}"]', '["{0}", by_way_of.yaml]')


def findings(project: Path, extends: str) -> str:
    """What `check` tells of a spec that extends this: by itself, in lists, by way of another."""
    spec = project / "specs" / "spec.yaml"
    (spec.parent / "by_way_of.yaml").write_text(f'extends: ["{extends}"]\n', "utf-8")
    told = list[str]()
    for form in FORMS:
        listed = form.format(extends)
        spec.write_text(f"resgraph: 1\ntitle: Over\nextends: {listed}\n", "utf-8")
        with pytest.raises(SpecError) as caught:
            Compiler().graphs(spec)
        told.append("\n".join(caught.value.lines()))
    return "\n".join(told)


def test_a_spec_of_the_project_is_read(project: Path) -> None:
    spec = project / "specs" / "spec.yaml"
    spec.write_text("resgraph: 1\ntitle: Over\nextends: ../base.yaml\n")
    assert Compiler().graphs(spec)


OUTSIDE_OF_IT = [
    "../../secret",
    "../../nowhere",
    "/etc/shadow",
    "/dev/zero",
    "../../x.yaml",
]


@pytest.mark.parametrize("extends", OUTSIDE_OF_IT)
def test_outside_of_the_project(project: Path, extends: str) -> None:
    (project.parent / "x.yaml").write_text(TINY)
    told = findings(project, extends)
    assert told.count("outside of the project") >= len(FORMS)
    assert "--allow-outside" in told
    assert "secret:19000" not in told


def test_links_do_not_lead_outside(project: Path) -> None:
    (project / "specs" / "link.yaml").symlink_to(project.parent / "secret")
    (project / "specs" / "folder").symlink_to(project.parent)
    assert "outside of the project" in findings(project, "link.yaml")
    assert "outside of the project" in findings(project, "folder/secret")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path)[-100:] if len(str(path)) < 100 else os.path.relpath(path))


def _loop(path: Path) -> None:
    path.symlink_to(path)


MADE: dict[str, Callable[[Path], None]] = {
    "a pipe": _fifo,
    "a folder": lambda path: path.mkdir(),
    "symbolic links": _loop,
    "Permission denied": lambda path: path.touch(0o000),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_regular_file(project: Path, kind: str) -> None:
    MADE[kind](project / "specs" / "odd.yaml")
    if kind == "Permission denied" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    assert kind in findings(project, "odd.yaml")


@pytest.mark.parametrize(
    "name",
    ["\\0", "\\udc80", "\\ud800.yaml", "a" * 5000, "\\e[2J.yaml", "", ".", "\\n"],
)
def test_what_is_no_name(project: Path, name: str) -> None:
    told = findings(project, name)
    assert told.isprintable() or all(line.isprintable() for line in told.splitlines())
    assert "\x1b" not in told


@pytest.mark.parametrize("name", ["../.env", "../resgraph.toml"])
def test_nothing_is_shown_of_what_is_no_spec(project: Path, name: str) -> None:
    assert "secret" not in findings(project, name)


def test_of_a_file_that_the_user_names_neither(project: Path) -> None:
    with pytest.raises(ResgraphError, match="not a spec") as caught:
        Compiler().graphs(project.parent / "secret")
    assert "19000" not in str(caught.value)


def test_the_option_allows_it(project: Path) -> None:
    (project.parent / "x.yaml").write_text(TINY)
    spec = project / "specs" / "spec.yaml"
    spec.write_text("resgraph: 1\ntitle: Over\nextends: ../../x.yaml\n")
    runner = CliRunner()
    assert runner.invoke(app, ["check", str(spec)]).exception
    assert runner.invoke(app, ["check", "--allow-outside", str(spec)]).exit_code == 0
    assert not OUTSIDE.get()
    with pytest.raises(SpecError):
        Compiler().graphs(spec)


@pytest.mark.parametrize("named", ["../../secret", "../../../etc/shadow"])
def test_a_generated_file_names_no_spec_outside(project: Path, named: str) -> None:
    generated = project / "generated" / "net.py"
    generated.parent.mkdir()
    digest = f"sha256:{'0' * 64}"
    generated.write_text(
        f"# Generated by resgraph 0.1.0 from {named} ({digest}). "
        f"Do not edit: resgraph compile {named}\n"
    )
    with pytest.raises(ResgraphError, match="outside of the project"):
        read_source(generated)
