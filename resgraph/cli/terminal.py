"""The border behind which a terminal is: no character passes that would steer it.

Names of files, classes and tensors go through `diagnostics.plain` where they are put into
words. What was forgotten there, or is told by a library, is caught here: standard output and
error are streams that show such characters and do not send them. Colours and progress are
ours, and go to the stream itself (`trusted`), their text filtered as well.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from resgraph.diagnostics import visible

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 100
"""Characters of a line where there is no terminal that has a width."""


def harmless(text: str) -> str:
    """`text` with what steers a terminal made visible; ends of lines and tabs stay."""
    if text.isprintable():
        return text
    lines = text.split("\n")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in lines)


class Guarded(io.TextIOBase):
    """A text stream that writes what is harmless of a text into another one."""

    def __init__(self, stream: TextIO) -> None:
        self.trusted = stream

    def write(self, text: str) -> int:
        self.trusted.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.trusted.flush()

    def close(self) -> None:
        """Nothing: Python closes a stream that nobody holds, and this one holds another's."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.trusted.isatty()

    def fileno(self) -> int:
        return self.trusted.fileno()

    @property
    def closed(self) -> bool:
        return self.trusted.closed

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Libraries choose their characters by it."""
        return self.trusted.encoding


def trusted(stream: TextIO) -> TextIO:
    """The stream itself, for what resgraph makes of its own: colours, bytes of a drawing."""
    return cast(TextIO, getattr(stream, "trusted", stream))


@contextmanager
def guarded() -> Iterator[None]:
    """Guard standard output and error of this process for a while.

    A character that the terminal's encoding lacks is written as an escape, and no error.
    """
    streams = sys.stdout, sys.stderr
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (cast(TextIO, Guarded(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def console(stderr: bool = False) -> Console:
    """For tables and progress, on stdout or stderr; plain text where that is no terminal."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Filtered(Console):
        """Its own control sequences pass, and none in what it is given to print."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield segment._replace(text=harmless(segment.text))

    stream = sys.stderr if stderr else sys.stdout
    return Filtered(
        file=trusted(stream),
        width=None if stream.isatty() else _WIDTH,
        highlight=False,
        soft_wrap=False,
    )
