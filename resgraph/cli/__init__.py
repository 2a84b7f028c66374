"""The command line: parse, call, print, exit code. Nothing else lives here."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any

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
from resgraph.cli.common import tell, tell_interrupted
from resgraph.cli.terminal import guarded, trusted
from resgraph.diagnostics import ResgraphError, plain
from resgraph.spec.files import OUTSIDE

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


READ_SPECS = frozenset(
    [
        "compile",
        "check",
        "show",
        "list",
        "draw",
        "prove",
        "diff",
        "report",
        "verify",
        "import-weights",
        "plan",
        "train",
        "sweep",
    ]
)


def reading_specs(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option that all have which read specs."""
    name = "allow_outside"
    option = typer.Option(
        "--allow-outside", help="Let specs name files outside of their project."
    )

    @wraps(command)
    def run(*args: Any, **keywords: Any) -> None:
        token = OUTSIDE.set(keywords.pop(name))
        try:
            command(*args, **keywords)
        finally:
            OUTSIDE.reset(token)

    kind = Annotated[bool, option]
    signature = inspect.signature(command, eval_str=True)
    given = Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=kind)
    parameters = [*signature.parameters.values(), given]
    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


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
        app.command(name)(reading_specs(command) if name in READ_SPECS else command)


def main() -> None:
    """Run the command line. Exit codes: 0 fine, 1 errors found, 2 usage, 130 interrupted."""
    with guarded():
        try:
            app()
        except ResgraphError as error:
            tell(error, json="--json" in sys.argv)
            sys.exit(error.exit_code)
        except KeyboardInterrupt as error:
            tell_interrupted(error)
            sys.exit(130)
        except BrokenPipeError:
            trusted(sys.stderr).close()
            sys.exit(141)
        except (OSError, MemoryError) as error:
            tell(of_the_system(error))
            sys.exit(1)


def of_the_system(error: OSError | MemoryError) -> ResgraphError:
    """What the system refuses: a name that is too long, a full disk, memory."""
    if isinstance(error, MemoryError):
        return ResgraphError("there is not enough memory for it")
    where = "" if error.filename is None else f"{plain(error.filename)}: "
    return ResgraphError(f"{where}{plain(error.strerror or error).lower()}")
