"""YAML 1.2 text to a tree (`resgraph.spec.tree`), and what is wrong with the text.

ruamel.yaml parses; this module composes its events, so that the language's rules hold
while the tree is built: no duplicate keys, no tags, bounded depth, bounded expansion of
aliases (an alias bomb costs nothing, since aliases share their node).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Note, Span, SpecError
from resgraph.limits import SPEC_NESTING, SPEC_VALUES
from resgraph.spec.tree import Entry, Items, Mapping, Scalar, Tree, plain, words


@dataclass(frozen=True)
class Parsed:
    """A file's tree, what is wrong with its YAML, and which values that puts in doubt.

    `doubts` has the place of each such value, and the names that may be meant there;
    `unread` those of values that cannot be read at all, such as one with a tag.
    """

    tree: Mapping
    findings: tuple[Diagnostic, ...]
    doubts: dict[Span, frozenset[str]]
    unread: frozenset[Span]


def parse(text: str, file: str) -> Parsed:
    """Compose one document whose root is a mapping. Raises `SpecError` where that fails."""
    composer = _Composer(file, text)
    try:
        tree = composer.document()
    except MarkedYAMLError as error:
        raise SpecError([*composer.findings, _syntax_error(error, file)]) from None
    except YAMLError as error:
        raise SpecError([*composer.findings, _unreadable(error, file, text)]) from None
    if isinstance(tree, Mapping):
        unread = frozenset(composer.unread)
        return Parsed(tree, tuple(composer.findings), composer.doubts, unread)
    start = Span(file, 1, 1, 1, 2)
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        message, span = "the file is empty", start
    else:
        message, span = "a spec is a mapping of keys to values", tree.span
    no_spec = Diagnostic(codes.NOT_A_SPEC, message, span, _STARTER)
    raise SpecError([*composer.findings, no_spec])


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
    doubts: dict[Span, frozenset[str]] = field(default_factory=dict)
    unread: set[Span] = field(default_factory=set)
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
        if depth > SPEC_NESTING:
            self._stop(
                codes.TOO_LARGE, f"nested more than {SPEC_NESTING} levels deep", event
            )
        if event.tag is not None and not (
            isinstance(event, ev.ScalarEvent) and event.tag == "!"
        ):
            message = f"the tag {event.tag} is not part of the language"
            self._report(codes.UNSUPPORTED_YAML, message, event)
            tree = self._collection(event, depth)
            self._doubt(tree.span, tree)
            self.unread.add(tree.span)
        else:
            tree = self._collection(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = tree
        return tree

    def _doubt(self, span: Span, *trees: Tree) -> None:
        """The value there is not known; it may have to do with what the trees mention."""
        mentioned = frozenset().union(*(words(plain(tree)) for tree in trees))
        self.doubts[span] = self.doubts.get(span, frozenset()) | mentioned

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
        lost: list[Tree] = []
        last: Span | None = None
        for event in self.events:
            if isinstance(event, ev.MappingEndEvent):
                break
            key, span = self._key(event, depth)
            value = _placed(self.node(next(self.events), depth + 1), span)
            last = max(span, value.span, key=lambda s: (s.end_line, s.end_col))
            if key is None:
                lost.append(value)
                continue
            if key in entries:
                lost.append(self._twice(key, span, value, entries[key]))
            entries[key] = Entry(span, value)
        size = 1 + sum(entry.value.size for entry in entries.values())
        tree = Mapping(entries, self._span(start, event, last), size)
        if lost:
            self._doubt(tree.span, *lost)
        return tree

    def _twice(self, key: str, span: Span, value: Tree, first: Entry) -> Tree:
        """Report the key: which of its values is meant, nobody knows."""
        note = Note("first given here", first.key_span)
        message = f"the key '{key}' is given twice"
        self.findings.append(
            Diagnostic(codes.DUPLICATE_KEY, message, span, notes=(note,))
        )
        self._doubt(value.span, first.value, value)
        return first.value

    def _key(self, event: Any, depth: int) -> tuple[str | None, Span]:
        if isinstance(event, ev.ScalarEvent):
            return event.value, self._span(event)
        self._report(codes.UNSUPPORTED_YAML, "a key must be plain text", event)
        return None, self.node(event, depth + 1).span

    def _alias(self, event: Any) -> Tree:
        if event.anchor in self.anchors:
            return self.anchors[event.anchor]
        message = f"the alias *{event.anchor} has no anchor before it"
        self._report(codes.INVALID_YAML, message, event)
        nothing = Scalar(None, self._span(event))
        self._doubt(nothing.span, nothing)
        self.unread.add(nothing.span)
        return nothing

    def _count(self, size: int, event: Any) -> None:
        self.size += size
        if self.size > SPEC_VALUES:
            message = f"more than {SPEC_VALUES} values, aliases expanded"
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


def _placed(value: Tree, key: Span) -> Tree:
    """A value that is not there stands at its key, not at whatever comes next."""
    at = value.span
    nowhere = (at.line, at.col) == (at.end_line, at.end_col)
    return replace(value, span=key) if nowhere else value


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
    elif "but got '['" in problem and "," in problem:
        hint = 'an element of a list stands in quotes here: "widths[stage]"'
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
