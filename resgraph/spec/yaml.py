"""YAML 1.2 text to a tree of values that know where they stand in the file.

ruamel.yaml parses; this module composes its events, so that the language's rules hold
while the tree is built: no duplicate keys, no tags, bounded depth, bounded expansion of
aliases (an alias bomb costs nothing, since aliases share their node).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Note, Span, SpecError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_NODES = 20_000


@dataclass(frozen=True)
class Scalar:
    """A leaf: text, number, truth value or nothing."""

    value: Any
    span: Span
    size: int = 1


@dataclass(frozen=True)
class Entry:
    """A key with its place, and its value."""

    key_span: Span
    value: Tree


@dataclass(frozen=True)
class Mapping:
    """Keys in the order of the text."""

    entries: dict[str, Entry]
    span: Span
    size: int = 1


@dataclass(frozen=True)
class Items:
    """Items in the order of the text."""

    items: tuple[Tree, ...]
    span: Span
    size: int = 1


Tree = Scalar | Mapping | Items
Loc = tuple[str | int, ...]


def plain(tree: Tree) -> Any:
    """The tree as dicts, lists and scalars."""
    match tree:
        case Scalar(value=value):
            return value
        case Mapping(entries=entries):
            return {key: plain(entry.value) for key, entry in entries.items()}
        case Items(items=items):
            return [plain(item) for item in items]


def at(tree: Tree, loc: Sequence[str | int]) -> Tree:
    """The value at `loc`, or the deepest one on the way there that exists."""
    for step in loc:
        if isinstance(tree, Mapping) and step in tree.entries:
            tree = tree.entries[str(step)].value
        elif isinstance(tree, Items) and isinstance(step, int):
            tree = tree.items[step]
    return tree


def key_span(tree: Tree, loc: Sequence[str | int]) -> Span:
    """The place of the key that `loc` ends in, or of what holds it."""
    parent = at(tree, loc[:-1])
    if isinstance(parent, Mapping) and loc and loc[-1] in parent.entries:
        return parent.entries[str(loc[-1])].key_span
    return at(tree, loc).span


def parse(text: str, file: str) -> Mapping:
    """Compose one document whose root is a mapping. Raises `SpecError`."""
    composer = _Composer(file, text)
    try:
        tree = composer.document()
    except MarkedYAMLError as error:
        raise SpecError([_syntax_error(error, file)]) from None
    except YAMLError as error:
        raise SpecError([_unreadable(error, file, text)]) from None
    if composer.findings:
        raise SpecError(composer.findings)
    if isinstance(tree, Mapping):
        return tree
    start = Span(file, 1, 1, 1, 2)
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        message, span = "the file is empty", start
    else:
        message, span = "a spec is a mapping of keys to values", tree.span
    raise SpecError([Diagnostic(codes.NOT_A_SPEC, message, span, _STARTER)])


_STARTER = (
    "a spec starts with 'resgraph: 1' and has units and a network; "
    "'resgraph show specs/preact_basic.yaml --emit spec' prints one"
)


@dataclass
class _Composer:
    """Builds the tree from the parser's events, one recursion per level of nesting."""

    file: str
    text: str
    findings: list[Diagnostic] = field(default_factory=list)
    anchors: dict[str, Tree] = field(default_factory=dict)
    size: int = 0

    def document(self) -> Tree | None:
        self.events: Iterator[ev.Event] = YAML(typ="safe", pure=True).parse(self.text)
        tree: Tree | None = None
        for event in self.events:
            if isinstance(event, ev.DocumentStartEvent) and tree is not None:
                message = "a spec is one YAML document"
                self._report(
                    codes.UNSUPPORTED_YAML, message, event, "remove the second"
                )
                break
            if isinstance(event, ev.NodeEvent):
                tree = self.node(event, 0)
        return tree

    def node(self, event: Any, depth: int) -> Tree:
        if isinstance(event, ev.AliasEvent):
            tree = self._alias(event)
            self._count(tree.size, event)
            return tree
        self._count(1, event)
        if depth > MAX_DEPTH:
            self._stop(
                codes.TOO_LARGE, f"nested more than {MAX_DEPTH} levels deep", event
            )
        if event.tag is not None and not (
            isinstance(event, ev.ScalarEvent) and event.tag == "!"
        ):
            message = f"the tag {event.tag} is not part of the language"
            self._report(codes.UNSUPPORTED_YAML, message, event)
        tree = self._collection(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = tree
        return tree

    def _collection(self, event: Any, depth: int) -> Tree:
        if isinstance(event, ev.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, ev.SequenceStartEvent):
            return self._sequence(event, depth)
        return Scalar(_value(event), self._span(event))

    def _sequence(self, start: Any, depth: int) -> Items:
        items: list[Tree] = []
        for event in self.events:
            if isinstance(event, ev.SequenceEndEvent):
                break
            items.append(self.node(event, depth + 1))
        last = items[-1].span if items else None
        size = 1 + sum(item.size for item in items)
        return Items(tuple(items), self._span(start, event, last), size)

    def _mapping(self, start: Any, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        last: Span | None = None
        for event in self.events:
            if isinstance(event, ev.MappingEndEvent):
                break
            key, span = self._key(event, depth)
            value = self.node(next(self.events), depth + 1)
            last = max(span, value.span, key=lambda s: (s.end_line, s.end_col))
            if key in entries:
                first = Note("first given here", entries[key].key_span)
                message = f"the key '{key}' is given twice"
                self.findings.append(
                    Diagnostic(codes.DUPLICATE_KEY, message, span, notes=(first,))
                )
            entries[key] = Entry(span, value)
        size = 1 + sum(entry.value.size for entry in entries.values())
        return Mapping(entries, self._span(start, event, last), size)

    def _key(self, event: Any, depth: int) -> tuple[str, Span]:
        if isinstance(event, ev.ScalarEvent):
            return event.value, self._span(event)
        self._report(codes.UNSUPPORTED_YAML, "a key must be plain text", event)
        return "", self.node(event, depth + 1).span

    def _alias(self, event: Any) -> Tree:
        if event.anchor not in self.anchors:
            message = f"the alias *{event.anchor} has no anchor before it"
            self._stop(codes.INVALID_YAML, message, event)
        return self.anchors[event.anchor]

    def _count(self, size: int, event: Any) -> None:
        self.size += size
        if self.size > MAX_NODES:
            message = f"more than {MAX_NODES} values, aliases expanded"
            self._stop(codes.TOO_LARGE, message, event)

    def _report(
        self, code: Code, message: str, event: Any, hint: str | None = None
    ) -> None:
        self.findings.append(Diagnostic(code, message, self._span(event), hint))

    def _stop(self, code: Code, message: str, event: Any) -> Any:
        self._report(code, message, event)
        raise SpecError(self.findings)

    def _span(self, start: Any, end: Any = None, last: Span | None = None) -> Span:
        """From the event's start to its end; a block ends where its last value does."""
        first, stop = start.start_mark, (end or start).end_mark
        end_line, end_col = stop.line + 1, stop.column + 1
        if end is not None and last is not None and not start.flow_style:
            end_line, end_col = last.end_line, last.end_col
        return Span(self.file, first.line + 1, first.column + 1, end_line, end_col)


_INT = re.compile(r"[-+]?[0-9]{1,18}")
_BASED = re.compile(r"0o[0-7]{1,18}|0x[0-9a-fA-F]{1,14}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _value(event: Any) -> Any:
    """A scalar by YAML 1.2's core schema (`no` and `on` are text, 012 is twelve)."""
    text: str = event.value
    if event.style is not None or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".", ""))
    return text


def _syntax_error(error: MarkedYAMLError, file: str) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    line, col = mark.line + 1, mark.column + 1
    problem = (error.problem or "not valid YAML").splitlines()[0]
    hint = None
    if "\\t" in problem or "tab" in problem:
        problem, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif "<stream end>" in problem or "end of stream" in problem:
        problem = "the file ends in the middle of a value"
        hint = "close what is open: a bracket, a quote, a key without its value"
    elif "mapping values are not allowed" in problem:
        problem = "a ':' that YAML cannot place"
        hint = "check the indentation above, or put text that has a ': ' into quotes"
    span = Span(file, line, col, line, col + 1)
    return Diagnostic(codes.INVALID_YAML, problem, span, hint)


def _unreadable(error: YAMLError, file: str, text: str) -> Diagnostic:
    """A character that YAML forbids (a control character)."""
    position = getattr(error, "position", 0) or 0
    before = text[:position]
    line, col = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
    span = Span(file, line, col, line, col + 1)
    message = "a character that YAML does not allow"
    return Diagnostic(codes.INVALID_YAML, message, span, "remove it")
