"""The documentation's pages as a reader follows them: files to write, commands to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the file that its title names."""

    language: str
    title: str | None
    body: str
    line: int

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command of a console block with what the page says it prints."""
        for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output

    def write(self, folder: Path) -> None:
        """Make the file, or change it as a diff's lines say."""
        assert self.title is not None
        path = folder / self.title
        if self.language != "diff":
            path.write_text(self.body, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        old, new = (self._lines_without(mark) for mark in "+-")
        assert text.count(old) == 1, f"line {self.line}: not there once:\n{old}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _lines_without(self, mark: str) -> str:
        lines = self.body.splitlines(keepends=True)
        return "".join(line[1:] for line in lines if not line.startswith(mark))


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for match in _BLOCK.finditer(markdown):
        line = markdown.count("\n", 0, match.start()) + 1
        yield Block(match["language"], match["title"], match["body"], line)
