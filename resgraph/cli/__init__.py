"""The command line: parse, call, print, exit code. Nothing else lives here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import resgraph.cli.startup  # noqa: F401 (before the large imports)
from resgraph import __version__
from resgraph.cli import (
    compiling,
    diffing,
    drawing,
    explaining,
    exporting,
    fscking,
    inferring,
    planning,
    proving,
    reporting,
    running,
    serving,
    showing,
    studying,
    sweeping,
    verifying,
)
from resgraph.cli.common import tell
from resgraph.diagnostics import ResgraphError

app = typer.Typer(
    name="resgraph",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write a residual unit as a graph in YAML; get readable PyTorch source, an ONNX "
    "model that needed no tracing, and a trained network.",
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"resgraph {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="The version."
        ),
    ] = False,
) -> None:
    """Options before the command."""


for module in (
    compiling,
    explaining,
    showing,
    drawing,
    proving,
    diffing,
    reporting,
    verifying,
    planning,
    running,
    sweeping,
    studying,
    fscking,
    exporting,
    inferring,
    serving,
):
    for name, command in module.COMMANDS.items():
        app.command(name)(command)


def main() -> None:
    """Run the command line. Exit codes: 0 fine, 1 errors found, 2 usage, 130 interrupted."""
    try:
        app()
    except ResgraphError as error:
        tell(error, json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
