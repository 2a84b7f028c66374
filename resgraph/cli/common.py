"""What the commands share: options, output, and the way that errors are told."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from resgraph.cli.terminal import console as console
from resgraph.cli.terminal import trusted
from resgraph.compiler import Compiler
from resgraph.diagnostics import (
    Diagnostic,
    OptionError,
    ResgraphError,
    SpecError,
    UsageError,
    counted,
    render,
    visible,
)

if TYPE_CHECKING:
    from resgraph.origin import Source

Specs = Annotated[
    list[Path],
    typer.Argument(help="Spec files.", metavar="SPEC...", show_default=False),
]
SpecFile = Annotated[
    Path, typer.Argument(help="A spec file.", metavar="SPEC", show_default=False)
]
Network = Annotated[
    str | None, typer.Option("--network", help="Only this one of the spec's networks.")
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a parameter: --set depth=1001."
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The output folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def say(text: str = "") -> None:
    """A line of result, on stdout."""
    print(text)


def say_json(value: Any) -> None:
    """A result for a program, on stdout."""
    print(json.dumps(value, indent=2))


def leave_closed_terminal() -> None:
    """Let what is still said go nowhere where the terminal was closed in the meantime.

    Writing to it would fail, and the exit code would be that of the failure.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # of a stream that is no file
            if _is_closed_terminal(stream.fileno()):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def _is_closed_terminal(handle: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.tcgetpgrp(handle)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def warn(text: str) -> None:
    """What the user should know beside the result, on stderr."""
    print(f"note: {text}", file=sys.stderr)


def warn_of(source: Source) -> None:
    """Say that a generated file is not resgraph's own, and in what it differs."""
    warn(f"{source.foreign}\n  it is foreign code, and runs in a process of its own")


def require_file(path: Path) -> None:
    """Raise `UsageError` unless the file is there, before anything heavy is imported."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")


def telling_compiler() -> Compiler:
    """A compiler that tells the warnings and notes of specs as they compile, on stderr.

    Of several processes that torchrun started, the first one's does.
    """
    return Compiler(tell=tell_findings if os.environ.get("RANK", "0") == "0" else None)


def tell_findings(
    findings: Iterable[Diagnostic],
    sources: dict[str, str],
    stream: TextIO | None = None,
) -> None:
    """Findings with their lines, on stderr unless another stream is given."""
    for finding in findings:
        for line in render(finding, sources).splitlines():
            paint(line, stream or sys.stderr)


def tell(error: ResgraphError, json: bool = False) -> None:
    """The error and its hint, on stderr; a spec's findings with their lines.

    With `json`, a spec's findings go to stdout, for a program. Of several processes that
    torchrun started, each says which it is.
    """
    if isinstance(error, SpecError) and json:
        say_json({"findings": [as_json(finding) for finding in error.diagnostics]})
        return
    if isinstance(error, SpecError):
        tell_findings(error.diagnostics, error.sources)
        print(counted(error.diagnostics), file=sys.stderr)
        return
    if isinstance(error, OptionError):
        error = error.typed()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank = f"rank {os.environ.get('RANK')}: " if ranks > 1 else ""
    first, *others = error.lines()
    for line in (f"{rank}{first}", *others):
        paint(line, sys.stderr)


def tell_interrupted(error: KeyboardInterrupt) -> None:
    """That a second Ctrl-C ended the command, and the line that goes on, on stderr."""
    for line in ("interrupted", *getattr(error, "__notes__", ())):
        print(line, file=sys.stderr)


_COLOURS = {
    "error": "\033[1;31m",
    "warning": "\033[1;33m",
    "note": "\033[36m",
    "hint": "\033[32m",
}
_LABEL = re.compile(
    r"(?P<place>(?:\S.*?:\d+:\d+: )?(?:rank \d+: )?(?:  )?)"
    r"(?P<label>(?P<word>error|warning|note|hint)(?:\[[a-z-]+\])?: )"
)


def paint(line: str, stream: TextIO) -> None:
    """Colour the word that says what the line is, on a terminal that shows colours."""
    line = visible(line)
    if stream.isatty() and (match := _LABEL.match(line)):
        label = f"{_COLOURS[match['word']]}{match['label']}\033[0m"
        line = f"{match['place']}{label}{line[match.end() :]}"
    print(line, file=trusted(stream))


def as_json(diagnostic: Diagnostic, allowed: bool = False) -> dict[str, Any]:
    """A finding as JSON: code, severity, allowed, message, span, hint, notes."""
    about = {
        "code": diagnostic.code.name,
        "severity": diagnostic.severity.value,
        "allowed": allowed,
    }
    return about | {
        key: value
        for key, value in dataclasses.asdict(diagnostic).items()
        if key not in ("code", "missing")
    }
