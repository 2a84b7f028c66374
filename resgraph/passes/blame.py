"""What shape inference tells of a block: each finding once, with where its values are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.expr import KindError
from resgraph.graph import INPUT, Block, Call, Node, Part, Row, Style
from resgraph.graph.ir import HEAD, REPEAT, STEM
from resgraph.graph.text import call_text
from resgraph.graph.uses import OWN, is_default
from resgraph.ops import OpError, Shape
from resgraph.passes.sides import Shapes
from resgraph.values import Value


@dataclass(frozen=True)
class Read:
    """What a node reads: its name and place, and the shapes that it may have."""

    name: str
    span: Span | None
    shapes: Shapes


def used(block: Block, row: Row, call: Call, network: bool) -> Note:
    """Where in a block another one is used, for what is wrong inside of that."""
    where = f"the unit '{block.name}'"
    if network:
        where = row.called
    elif block.name in (STEM, HEAD):
        where = f"the {block.name}"
    return Note(f"in {where}: {call_text(call)}", call.span)


MOST_USES = 3
"""How many other uses a finding names of a unit in which the same is wrong."""


@dataclass
class Told:
    """The findings of a program so far, what they are of, and the ops that failed."""

    findings: list[Diagnostic] = field(default_factory=list)
    failed: set[Span] = field(default_factory=set)
    _places: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _uses: dict[int, set[Note]] = field(default_factory=dict)
    _others: dict[int, int] = field(default_factory=dict)
    _log: list[int] = field(default_factory=list)
    """The numbers of the findings in the order in which they were come upon."""

    @contextmanager
    def of(self, found: list[int]) -> Iterator[None]:
        """Adds to `found` what is come upon within: findings, as `again` takes them."""
        start = len(self._log)
        yield
        found += dict.fromkeys(self._log[start:])

    def again(self, found: Iterable[int], uses: Sequence[Note]) -> None:
        """What was come upon once shows in another use, too."""
        for number in found:
            self._log.append(number)
            self._tell_use(number, uses)

    def tell(
        self,
        finding: Diagnostic,
        key: tuple[Any, ...] | None = None,
        uses: Sequence[Note] = (),
    ) -> None:
        """A finding. Of the same key it is one, which says in what uses it shows."""
        if key in self._places:
            self.again([self._places[key]], uses)
            return
        if key is not None:
            number = self._places[key] = len(self.findings)
            self._uses[number] = {*uses}
            self._log.append(number)
        self.findings.append(finding)

    def _tell_use(self, number: int, uses: Sequence[Note]) -> None:
        """One more use, if it is written elsewhere."""
        new = [note for note in uses if note not in self._uses[number]]
        if not new:
            return
        self._uses[number].update(new)
        others = self._others[number] = self._others.get(number, 0) + 1
        first, *rest = new
        more = [replace(first, message=f"also {first.message}"), *rest]
        notes = self.findings[number].notes
        if others > MOST_USES:
            notes = notes if others == MOST_USES + 1 else notes[:-1]
            more = [Note(f"and in {others - MOST_USES} more")]
        found = replace(self.findings[number], notes=(*notes, *more))
        self.findings[number] = found


class Telling(ABC):
    """Tells what is wrong in one block at one place; `notes` say how it is used there."""

    block: Block
    notes: tuple[Note, ...]

    @property
    @abstractmethod
    def told(self) -> Told:
        """What is told already."""

    def tell(
        self,
        code: Any,
        message: str,
        span: Span,
        notes: tuple[Note, ...] = (),
        hint: str | None = None,
        about: str | None = None,
    ) -> None:
        """A finding that is told once, whatever the number of places where it shows.

        `about` says what it is of, where the message has numbers that may differ.
        """
        found = Diagnostic(code, message, span, hint, (*notes, *self.notes))
        key = (span, code, message if about is None else about)
        self.told.tell(found, key, self.notes)

    def miscounted(self, call: Call, block: Block, row: Row, got: int) -> None:
        """A finding on a block that gets another number of values than it takes."""
        wanted, names = count_of(len(block.inputs)), ", ".join(block.inputs)
        message = f"'{block.name}' takes {wanted} ({names}), and gets {got}"
        inline = row.style is Style.INLINE
        notes = () if inline else (Note("its inputs are named here", block.span),)
        several = len(block.inputs) == 1 and any("." in v for v in row.inputs)
        hint = f"start from one of them: from: {row.inputs[0]}" if several else None
        if inline and block.inputs == (INPUT,) and not several:
            hint = f"name them: inputs: [{', '.join(row.inputs)}]"
        self.tell(codes.WRONG_INPUT_COUNT, message, call.span, notes, hint)

    def unfollowed(self, call: Call, block: Block) -> None:
        """A finding on a block that is repeated, and takes another number of values than it
        makes."""
        makes, takes = count_of(len(block.results)), count_of(len(block.inputs))
        message = f"'{block.name}' makes {makes} and takes {takes}, so it cannot follow itself"
        self.tell(codes.WRONG_INPUT_COUNT, message, call.fields.get(REPEAT, call.span))

    def tell_of(self, error: ValueError, span: Span, what: str = "") -> None:
        """A finding on an expression that has no value."""
        wrong_kind = isinstance(error, KindError)
        code = codes.WRONG_TYPE if wrong_kind else codes.INVALID_NUMBER
        self.tell(code, f"{what}{error}".replace(OWN, ""), span, about="value")

    def tell_lacking(
        self,
        names: Iterable[str],
        values: Mapping[str, Shape | None],
        block: Block,
        span: Span,
    ) -> None:
        """A finding on each side that a value of the block lacks, where it is known."""
        for name in names:
            what, _, side = name.removeprefix(OWN).partition(".")
            value = block.inputs[0] if what == "in" else what
            shape = values.get(value) if side else None
            if shape is not None:
                why = f"there is no {what}.{side}: {value} is {[*shape]}"
                self.tell(codes.INVALID_NUMBER, why, span, about=name)

    def blame_all(
        self,
        node: Node,
        given: Sequence[Read],
        error: OpError,
        inputs: tuple[Shape, ...],
    ) -> None:
        """A finding, and one more for each other attribute that does not fit either."""
        op = node.op
        while True:
            notes = [
                self._origin(v, shape) for v, shape in zip(given, inputs, strict=True)
            ]
            self.blame(error, node, notes if len(given) > 1 else ())
            default = type(op).model_fields[error.field or "name"].default
            if not error.field or type(op).model_fields[error.field].is_required():
                return
            op = op.model_copy(update={error.field: default})
            try:
                op.shape(*inputs)
            except OpError as another:
                error = another
            else:
                return

    def _origin(self, value: Read, shape: Shape) -> Note:
        what, here = value.name, ", from here" if value.span else ""
        if value.name in self.block.inputs:
            article = "the" if len(self.block.inputs) == 1 else "an"
            what = f"{value.name}, {article} input of '{self.block.name}',"
        return Note(f"{what} is {list(shape)}{here}", value.span)

    def blame(
        self,
        error: OpError,
        node: Part,
        origins: Sequence[Note] = (),
        notes: Sequence[Note] | None = None,
    ) -> None:
        """A finding at the op, the first time that it fails in this way."""
        self.told.failed.add(node.span)
        span = node.fields.get(error.field or "", node.span)
        around = self.notes if notes is None else notes
        parts = (error.message, span, error.hint, (*origins, *around))
        key = (node.span, error.code, error.field)
        self.told.tell(Diagnostic(error.code, *parts), key, around)


def count_of(number: int) -> str:
    """`one value`, `2 values`."""
    return "one value" if number == 1 else f"{number} values"


def defaulted(call: Call, args: Mapping[str, Value]) -> Iterator[Note]:
    """How the arguments that come out of defaults, and not whole, came about."""
    for name, value in args.items():
        written = call.args[name]
        if (
            is_default(written)
            and isinstance(value, Fraction)
            and value.denominator > 1
        ):
            text = f"{name} = {written}, by default".replace(OWN, "")
            yield Note(text, call.fields[name])
