"""What a user sees when something is wrong: where, what, and what to do about it.

This module imports nothing of resgraph; everything else may import it.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding weighs: an error stops, a warning is told, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Example:
    """Lines that provoke a finding, and the lines of a valid spec that they stand for."""

    wrong: str
    right: str
    spec: str | None = None
    """The valid spec; None: that of `resgraph.codes`."""


@dataclass(frozen=True)
class Code:
    """A kind of finding: its name (`unknown-op`), what it weighs, what it means in a line.

    All of them stand in `resgraph.codes`, which `resgraph explain` lists.
    """

    name: str
    severity: Severity
    summary: str
    why: str = ""
    """Why it matters."""
    example: Example | None = None
    by_prove: bool = False
    """Whether `resgraph prove` alone looks for it."""


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of text in a file: 1-based line and column, columns end-exclusive.

    A span that reaches over several lines is shown by its first line alone.
    """

    file: str
    line: int
    col: int
    end_line: int
    end_col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


@dataclass(frozen=True)
class Note:
    """A second place that explains a diagnostic, such as where the other shape came from."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Diagnostic:
    """One finding: its kind, a message, where it is, how to mend it, what else is involved."""

    code: Code
    message: str
    span: Span | None = None
    hint: str | None = None
    notes: tuple[Note, ...] = ()
    missing: tuple[str | int, ...] = ()
    """The place in a spec of what it needs and has not; `spec.merge` knows who removed it."""

    @property
    def severity(self) -> Severity:
        """That of its code."""
        return self.code.severity

    def sort_key(self) -> tuple[str, int, int, str]:
        """Order findings by place, those without a place first."""
        if self.span is None:
            return ("", 0, 0, self.message)
        return (self.span.file, self.span.line, self.span.col, self.message)


class ResgraphError(Exception):
    """A mistake of the user's, told without a traceback: a message and a hint."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def lines(self) -> list[str]:
        """The error, its hint, and what was noted of it later, as they are told."""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        told = f"error: {self.message}{hint}".split("\n")
        return [visible(line) for line in (*told, *getattr(self, "__notes__", ()))]

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in the place of a traceback."""
        return self.lines()


class UsageError(ResgraphError):
    """A mistake in what was asked for, before any work: no such file, no such network."""

    exit_code = 2


class RetryError(ResgraphError):
    """What does not go as it was chosen, and goes with these options of the command."""

    def __init__(self, message: str, hint: str, options: str) -> None:
        super().__init__(message, hint)
        self.options = options


class OptionError(UsageError):
    """A wrong choice of a command's: it begins with the options that it is about.

    Python has them by their names, `log_every`; the command line as they are typed there.
    """

    def __init__(
        self, options: str | tuple[str, ...], what: str, hint: str | None = None
    ) -> None:
        self.options = (options,) if isinstance(options, str) else options
        self.what = what
        super().__init__(f"{' and '.join(self.options)} {what}", hint)

    def typed(self) -> UsageError:
        """The same with the options as they are typed: `--log-every`."""
        names = " and ".join(map(option, self.options))
        return UsageError(f"{names} {self.what}", self.hint)


def option(field: str) -> str:
    """How a field of Python's is typed on the command line."""
    return f"--{field.replace('_', '-')}"


class SpecError(ResgraphError):
    """Findings in a spec with an error among them, all together in the order of the text.

    `sources` maps file names to their text, once known; `str()` then shows the lines.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = ordered(diagnostics)
        self.sources: dict[str, str] = {}
        super().__init__("\n".join(d.message for d in self.diagnostics))

    def __str__(self) -> str:
        return "\n".join(render(d, self.sources) for d in self.diagnostics)

    def lines(self) -> list[str]:
        """Every finding, as it is told."""
        return str(self).splitlines()


def ordered(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Each finding once, in the order of the text."""
    unique = {(d.span, d.message): d for d in reversed([*findings])}
    return sorted(unique.values(), key=Diagnostic.sort_key)


def broken(findings: Iterable[Diagnostic]) -> bool:
    """Whether an error is among them."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def counted(findings: Iterable[Diagnostic]) -> str:
    """How many there are of each severity: `2 errors, 1 warning`."""
    counts = Counter(finding.severity for finding in findings)
    kinds = [(severity.value, counts[severity]) for severity in Severity]
    return ", ".join(f"{n} {plural(n, kind)}" for kind, n in kinds if n)


def plural(count: int, what: str) -> str:
    """What there are so many of: `unit` of one, else `units`."""
    return what if count == 1 else f"{what}s"


def so_often(count: int) -> str:
    """How often: `once`, `2 times`."""
    return "once" if count == 1 else f"{count:,} times"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class's name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def raised(error: BaseException, file: str) -> str:
    """An exception of foreign code in a line: its class, its message, its line in `file`."""
    try:
        said = first_line(error)
    except BaseException as other:  # of the exception's own __str__
        said = f"its __str__ raises {type(other).__name__}"
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    what = type(error).__name__
    words = what if said == what else f"{what}: {visible(said)}"
    return f"{words} (line {lines[-1]})" if lines else words


ANY = "*"
"""Among words: every name may be meant, since nothing is written there."""


def meant(words: Iterable[str], known: Iterable[str]) -> set[str]:
    """Those of the known names that the words may mean, each by the nearest one."""
    names, words = {*known}, {*words}
    if ANY in words:
        return names
    found = {word if word in names else nearest(word, names) for word in words}
    return {name for name in found if name is not None}


def like(words: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """The known names that words must mean which are not known: `ANY` for one like none."""
    found = {nearest(word, known) for word in words}
    return frozenset(ANY if name is None else name for name in found)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the nearest known word, else the known words, else nothing."""
    names = sorted(known)
    if near := nearest(word, names):
        return f"did you mean '{near}'?"
    if not names:
        return None
    return f"known here: {', '.join(names)}" if len(names) <= 30 else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that this one is but for a slip or two, whatever their case."""
    found = [
        (count, name)
        for name in sorted(known)
        if (count := edits(word.lower(), name.lower(), slips_in(word, name)))
        is not None
    ]
    return min(found, default=(0, None))[1]


def slips_in(a: str, b: str) -> int:
    """How many slips may part two words: one in four letters, and one in a short word."""
    longest = max(len(a), len(b))
    return max(longest // 4, int(longest > 2))


def edits(a: str, b: str, most: int) -> int | None:
    """How many letters added, lost, changed or swapped with the next part `a` from `b`;
    None for more than `most`."""
    if abs(len(a) - len(b)) > most:
        return None
    a, b = _between_equal_ends(a, b)
    if not a or not b:
        return len(a) + len(b)
    if most < 2:
        alone = len(a) == len(b) == 1 or (len(a) == 2 and a == b[::-1])
        return 1 if most and alone else None
    if max((Counter(a) - Counter(b)).total(), (Counter(b) - Counter(a)).total()) > most:
        return None
    return _counted(a, b, most)


def _between_equal_ends(a: str, b: str) -> tuple[str, str]:
    """Two words without what both begin with, and what both end in."""
    shorter = min(len(a), len(b))
    start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    left = shorter - start
    end = next((i for i in range(left) if a[-1 - i] != b[-1 - i]), left)
    return a[start : len(a) - end], b[start : len(b) - end]


def _counted(a: str, b: str, most: int) -> int | None:
    """The same for words whose ends differ, letter by letter."""
    before, row = [0] * (len(b) + 1), [*range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            least = min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and (a[i - 2], x) == (y, b[j - 2]):
                least = min(least, before[j - 2] + 1)
            row.append(least)
        if min(*above, *row) > most:
            return None
        before = above
    return row[-1] if row[-1] <= most else None


def render(diagnostic: Diagnostic, sources: dict[str, str]) -> str:
    """The finding as plain text: `file:line:col: error[code]: ...`, the line, carets, hints.

    `sources` maps a file's name to its text; a file that is absent from it is cited
    by position alone.
    """
    label = f"{diagnostic.severity}[{diagnostic.code.name}]"
    at = (diagnostic.span, sources)
    return told(label, diagnostic.message, *at, diagnostic.hint, diagnostic.notes)


def told(
    label: str,
    message: str,
    span: Span | None,
    sources: dict[str, str],
    hint: str | None = None,
    notes: Iterable[Note] = (),
) -> str:
    """The same of anything at a place, with the word or words that say what it is."""
    lines = [*_located(label, message, span, sources)]
    for note in notes:
        lines += _located("note", note.message, note.span, sources)
    return "\n".join([*lines, *([f"  hint: {visible(hint)}"] if hint else [])])


def _located(
    label: str, message: str, span: Span | None, sources: dict[str, str]
) -> list[str]:
    if span is None:
        return [f"{label}: {visible(message)}"]
    return [visible(f"{span}: {label}: {message}"), *_excerpt(span, sources)]


def _excerpt(span: Span, sources: dict[str, str]) -> list[str]:
    text = sources.get(span.file, "").splitlines()
    if not 1 <= span.line <= len(text):
        return []
    line = visible(text[span.line - 1])
    end = span.end_col if span.end_line == span.line else len(line) + 1
    width = max(1, min(end, len(line) + 1) - span.col)
    number = str(span.line)
    start, shown = _window(line, span.col - 1)
    carets = " " * (span.col - 1 - start) + "^" * min(width, len(shown) + 1)
    return [f"  {number} | {shown}", f"  {' ' * len(number)} | {carets}"]


def _window(line: str, column: int, width: int = 160) -> tuple[int, str]:
    """The part of an overlong line around `column`, and where it starts."""
    if len(line) <= width:
        return 0, line
    start = max(0, column - width // 2)
    return start, line[start : start + width]


def visible(text: str) -> str:
    """`text` with each unprintable character (tab, escape, bidi control) as one '�'.

    One for one, so that carets stay under their columns and a terminal is never steered.
    """
    return "".join(c if c.isprintable() else " " if c == "\t" else "�" for c in text)


def plain(text: object, limit: int = 120) -> str:
    """A foreign string for a terminal, a page or a log: visible, on one line, not too long.

    Whatever did not come from us or from a spec's own line passes through here: names of
    files, classes, columns and tensors, metadata, the messages of other people's code. What
    has more than `limit` characters is cut in the middle.
    """
    shown = visible(str(text).replace("\t", " "))
    if len(shown) <= limit:
        return shown
    head, tail = (limit + 1) // 2 - 1, limit // 2 - 1
    return f"{shown[:head]}…{shown[len(shown) - tail :]}"
