"""`verify` with files that resgraph did not write: none is verified that should not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError
from tests.isolation.attacks import AT_IMPORT, CASES, planted


def verify(path: Path, *options: str) -> tuple[int, str]:
    """The command's exit code; what it tells of the error, or prints."""
    result = CliRunner().invoke(app, ["verify", str(path), *options])
    error = result.exception
    if isinstance(error, ResgraphError):
        return error.exit_code, error.message
    assert error is None or isinstance(error, SystemExit), repr(error)
    return result.exit_code, result.output


def checks(path: Path) -> dict[str, Any]:
    """The verdicts of `--json`, whose stdout holds nothing else."""
    result = CliRunner().invoke(app, ["verify", str(path), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    (outcome,) = json.loads(result.stdout)
    return {check["check"]: check["verdict"] for check in outcome["checks"]}


KINDS = {
    "sys.exit(0) at import": "importing it fails: SystemExit: 0 (line {})",
    "os._exit(1) at import": "its process ended with exit code 1 while it is imported",
    "SIGSEGV at import": "its process ended by SIGSEGV while it is imported (line {})",
    "an endless loop at import": "no answer within 3 s while it is imported (line {})",
    "KeyboardInterrupt in forward": "KeyboardInterrupt (line 96) while its forward is traced",
    "prints a verdict": 'it prints \'[{{"network"',
    "writes a file": "it does more than compute: it writes files (line {})",
    "patches torch.equal": "it does more than compute: it replaces torch.equal",
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", CASES)
def test_an_attack_is_not_verified(case: str, tiny: Path) -> None:
    """Of some the whole message: what happened, and where."""
    source = tiny.read_text()
    tiny.write_text(planted(source, *CASES[case]))
    code, told = verify(tiny)
    assert code == 1
    assert "tiny" in told.lower()  # the file, or its class
    assert KINDS.get(case, "").format(source.count("\n") + 2) in told
    assert not Path("left").exists()


def test_every_message_is_of_a_case() -> None:
    assert KINDS.keys() <= CASES.keys()


def test_code_of_ones_own_is_verified_as_resgraphs_is(tiny: Path) -> None:
    """The same checks with the same verdicts, and a note on stderr."""
    own = checks(tiny)
    assert set(own.values()) == {"passed"}
    tiny.write_text(
        tiny.read_text().replace("import torch\n", "import torch  # mine\n")
    )
    assert checks(tiny) == own
    code, told = verify(tiny)
    assert code == 0
    assert "is not what resgraph compile writes from specs/tiny.yaml" in told
    assert "  file     | import torch  # mine\n  compiled | import torch\n" in told


def test_another_network_fails_by_its_structure_and_numbers(tiny: Path) -> None:
    text = tiny.read_text().replace("return torch.relu(h + f)", "return h + f")
    tiny.write_text(text)
    code, told = verify(tiny)
    assert code == 1
    assert "numbers where they part" in told
    assert "checks FAILED" in told


def test_a_file_of_another_version(tiny: Path) -> None:
    text = tiny.read_text().replace("resgraph 0.1.0 from", "resgraph 0.0.9 from")
    assert text != tiny.read_text()
    tiny.write_text(text)
    code, told = verify(tiny, "--structure")
    assert code == 0
    assert (
        "was written by resgraph 0.0.9, which spelled it otherwise; the graph is the same"
        in " ".join(told.split())
    )


def test_nothing_of_the_file_runs_here(tiny: Path) -> None:
    """The module of the file lives and dies elsewhere."""
    code = f"import os; assert os.getpid() != {__import__('os').getpid()}"
    tiny.write_text(planted(tiny.read_text(), code))
    assert verify(tiny, "--structure")[0] == 0


def test_a_model_beside_a_foreign_file(tiny: Path) -> None:
    """`NAME.py` beside `NAME.onnx` is verified with it, and is as foreign."""
    runner = CliRunner()
    assert runner.invoke(app, ["compile", "specs/tiny.yaml"]).exit_code == 0
    model = tiny.with_suffix(".onnx")
    assert verify(model)[0] == 0
    tiny.write_text(planted(tiny.read_text(), AT_IMPORT["patches torch.equal"]))
    code, told = verify(model)
    assert code == 1
    assert "it replaces torch.equal" in told
