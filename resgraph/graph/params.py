"""The parameters of a network: numbers, and arithmetic over those before them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeVar

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Note, Span, did_you_mean, nearest
from resgraph.expr import Expr, ExprError, KindError, exact, general_kind
from resgraph.graph.uses import CONTEXT, POSITION, Kind, Use, read, word, word_meant
from resgraph.ops import OPS, Op, OpError, elsewhere
from resgraph.ops.fields import NumberField
from resgraph.spec.values import Written
from resgraph.values import Value, show

NUMBER = NumberField()
COUNT = NumberField(minimum=1, whole=True)
_NUMBERS = {Kind.NUMBER, Kind.ANY}
_WORDS = {Kind.WORD, Kind.OP}
BARE: Mapping[str, Op] = {
    kind: op()
    for kind, op in OPS.items()
    if not any(field.is_required() for field in op.model_fields.values())
}
"""The ops that need no attributes, by name."""

_OF_KIND = (codes.WRONG_TYPE, codes.UNKNOWN_OP, codes.MISSING_KEY)
"""What is told of a value that is of another kind than it is used as."""

V = TypeVar("V", bound=Value | Expr)

Setting = tuple[Value | None, Span | None]
"""A parameter set from outside (None: to what is not known), and where (None: on the
command line)."""


@dataclass
class Params:
    """Evaluated parameters, which remember how each came about, for the diagnostics.

    The values of the `unknown` ones are not known; with `more` there may be other
    parameters. What reads such a parameter has no value, and no finding. `used` has the
    names that are read, and `strange` those among them that are no parameter's.
    """

    written: Mapping[str, Written]
    spans: Mapping[str, Span]
    settings: Mapping[str, Setting]
    unknown: Set[str] = frozenset()
    more: bool = False
    units: Collection[str] = ()
    values: dict[str, Value] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    context: dict[str, Value] = field(default_factory=dict)
    """What else is known where an expression stands, such as the number of its stage."""
    around: Collection[str] = ()
    """What may be read where an expression stands, though it has no value yet."""

    @property
    def known(self) -> dict[str, Value]:
        """All values; a parameter of the same name comes before what else is known."""
        return self.context | self.values if self.context else self.values

    @property
    def strange(self) -> set[str]:
        return self.used - self.written.keys()

    def __post_init__(self) -> None:
        self._above: list[str] = []
        self._wrongly_set = set[str]()
        for name, value in self.written.items():
            self._take(name, value)
            self._above.append(name)

    def _take(self, name: str, value: Written) -> None:
        """A parameter's value, where it has one."""
        if name in self.settings:
            given = self.settings[name][0]
            if isinstance(value, Expr) and not self._names_an_op(value):
                self._readable(value, self.spans[name])
            if given is not None:
                self.values[name] = _op_named(given)
        elif name in self.unknown:
            return
        elif isinstance(value, Expr) and self._names_an_op(value):
            self.values[name] = _op_named(str(value))
        elif isinstance(value, Expr):
            self._evaluate(name, value)
        else:
            self._settle(name, value)

    def _names_an_op(self, value: Expr) -> bool:
        """Whether it is one word, which is no parameter's name and is an op's."""
        return (only := word(value)) not in self.written and only in BARE

    def _settle(self, name: str, value: Written) -> None:
        """A value that is no expression; its parts may be."""
        span, what = self.spans[name], f"the parameter '{name}'"
        if self._late(name, value):
            return
        if isinstance(value, bool):
            self.values[name] = value
        elif isinstance(value, tuple):
            self._give(name, self._list(value, span, what))
        elif isinstance(value, Op):
            self._give(name, self._op(value, span))
        elif not isinstance(value, Expr):
            self.values[name] = exact(value)

    def _give(self, name: str, value: Value | None) -> None:
        if value is not None:
            self.values[name] = value

    # --- values of each kind --------------------------------------------------------------

    def value(self, written: Written, use: Use, span: Span, what: str) -> Value | None:
        """What is written, as the kind of value that it is used as, or None after a finding."""
        before = len(self.findings)
        if isinstance(written, tuple) and not _fits((), use.kind):
            self.used.update(read(written))
            self._other_kind(written, use, span, what)
            return None
        found = self._of_kind(written, use.kind, span, what)
        fits = None if found is None else self.fitting(found, use, span, what)
        self._blame_setting(written, before)
        return fits

    def _blame_setting(self, written: Written, before: int) -> None:
        """Of a value of a wrong kind that is set from outside one finding, where it is set."""
        wrong = [f for f in self.findings[before:] if f.code in _OF_KIND]
        if not wrong or (name := self._set_behind(written)) is None:
            return
        del self.findings[before:]
        if name in self._wrongly_set:
            return
        self._wrongly_set.add(name)
        _, where = self.settings[name]
        for found in wrong:
            notes: tuple[Note, ...] = (*found.notes, self._set_note(name))
            if where is not None and found.span is not None:
                notes = (Note("it is read here", found.span), *found.notes)
            notes = tuple(note for note in notes if note.span != where or not where)
            placed = replace(found, span=where or found.span, notes=notes)
            self.findings.append(placed)

    def _set_behind(self, written: Written | None) -> str | None:
        """The first parameter behind a value that is set to one of another kind than the
        spec has there."""
        for name in read(written):
            if name in self.settings and name in self.values:
                own, given = self._own_value(name), self.values[name]
                return name if general_kind(own) != general_kind(given) else None
            if name in self.values and (far := self._set_behind(self.written[name])):
                return far
        return None

    def _own_value(self, name: str) -> object:
        """A value of the kind that a parameter has in the spec."""
        written = self.written[name]
        if not isinstance(written, Expr):
            return written
        only = word(written)
        if only is None:
            return Fraction()
        return self.values.get(only) if only in self.written else BARE.get(only, only)

    def _set_note(self, name: str) -> Note:
        """Where a parameter is set."""
        span = self.settings[name][1]
        where = "set here" if span else "set on the command line"
        return Note(f"{name} = {show(self.values[name])} is {where}", span)

    def fitting(self, found: V, use: Use, span: Span, what: str) -> V | None:
        """A value, if it is of the kind that it is used as; else None, after a finding.

        Of an expression that is more than a name it is known that it is a number.
        """
        if _fits(Fraction() if isinstance(found, Expr) else found, use.kind):
            return found
        if isinstance(found, str) and use.kind is Kind.OP:
            self.plain(found, use.kind, span)  # tells why it is no op
            return None
        self._other_kind(found, use, span, what)
        return None

    def _other_kind(self, found: object, use: Use, span: Span, what: str) -> None:
        """A finding on a value of another kind than it is used as."""
        message = f"{what} is {show(found)}, and is used as {use.kind.value}"
        note = Note("it is used here", use.span)
        self.findings.append(Diagnostic(codes.WRONG_TYPE, message, span, notes=(note,)))

    def symbolic(
        self, value: Any, use: Use, span: Span, what: str, names: Collection[str]
    ) -> Value | Expr | None:
        """What is written in a unit that has these names: a word is one of them, an op, or
        text."""
        found: Value | Expr | None = exact(value) if _is_number(value) else value
        if (name := word(value)) is not None:
            if name in names or not (use.kind in _WORDS or name in OPS):
                return found  # whether it is a parameter is told with the other reads
            found = self.plain(name, use.kind, span)
        return None if found is None else self.fitting(found, use, span, what)

    def _of_kind(
        self, written: Written, kind: Kind, span: Span, what: str
    ) -> Value | None:
        if isinstance(written, bool):
            return written
        if isinstance(written, tuple):
            return self._list(written, span, what)
        if isinstance(written, Op):
            return self._op(written, span)
        if isinstance(written, Expr) and (name := word(written)) is not None:
            own = name in self.written or name in self.context
            if own or (kind not in _WORDS and name not in OPS):
                return self.known[name] if self._readable(written, span) else None
            return self.plain(name, kind, span)
        return self._number(written, NUMBER, span, what)

    def plain(self, name: str, kind: Kind, span: Span) -> Value | None:
        """What a word is that is no parameter's: text, or an op, or a finding."""
        if kind is Kind.WORD:
            return name
        if name in OPS.keys() - BARE.keys():
            fields = OPS[name].model_fields
            needed = [f"'{n}'" for n, field in fields.items() if field.is_required()]
            hint = f"an op with attributes is written {{{name}: {{...}}}}"
            message = f"{name} needs {' and '.join(needed)}"
            self.report(codes.MISSING_KEY, message, span, hint)
        elif name not in BARE:
            hint = elsewhere.hint(name)
            if name in self.units:
                hint = elsewhere.unit_for_op(name)
            self.report(codes.UNKNOWN_OP, f"unknown op '{name}'", span, hint)
        return BARE.get(name)

    def _list(
        self, written: tuple[int | float | Expr, ...], span: Span, what: str
    ) -> Value | None:
        items = [self._number(item, NUMBER, span, what) for item in written]
        known = tuple(item for item in items if item is not None)
        return known if len(known) == len(items) else None

    def _op(self, op: Op, span: Span) -> Op | None:
        """The op with numbers in the place of expressions."""
        if not self._readable(op, span):
            return None
        try:
            return op.resolve(self.known)
        except OpError as error:
            self.report(error.code, error.message, span, error.hint)
            return None

    def _evaluate(self, name: str, value: Expr) -> None:
        late, before = self._late(name, value), len(self.findings)
        if self._readable(value, self.spans[name]) and not late:
            if word(value) is not None:
                self.values[name] = self.values[value.names[0]]
                return
            try:
                self.values[name] = value.evaluate(self.values)
            except ExprError as error:
                self.findings.append(
                    Diagnostic(
                        _code(error),
                        str(error),
                        self.spans[name],
                        notes=self._origins(value),
                    )
                )
                self._blame_setting(value, before)

    def _late(self, name: str, value: Written) -> bool:
        """Whether a parameter reads others that have no value yet; each is told."""
        found = [*too_late(name, read(value), self.written, self.spans[name])]
        self.findings += found
        return bool(found)

    def _readable(self, value: Expr | Op, span: Span) -> bool:
        """Whether all that is read there has a value; what is no parameter is told."""
        readable = [self.readable(name, span) for name in read(value)]
        return all(readable)

    def readable(self, name: str, span: Span) -> bool:
        """Whether the name has a value; a finding where it is no parameter's."""
        self.used.add(name)
        if name not in self.written and name not in self.context and not self.more:
            hint = self._hint(name)
            message = f"unknown parameter '{name}'"
            place = ("network", "params", name)
            self.report(codes.UNKNOWN_PARAMETER, message, span, hint, place)
        return name in self.known

    def _hint(self, name: str) -> str | None:
        """What may be read instead of a name that nothing has."""
        if meant := word_meant(name):
            return meant
        around = sorted({*self.around, *self.context})
        if near := nearest(name, self._above) or nearest(name, around):
            return f"did you mean '{near}'?"
        if name in CONTEXT:
            return f"'{name}' has a value in units, and where they stand, not here"
        if sides := [n for n in around if n not in POSITION] if "." in name else []:
            return f"of what comes in, these can be read here: {', '.join(sides)}"
        return did_you_mean(name, self._above)

    def report(
        self,
        code: Code,
        message: str,
        span: Span,
        hint: str | None = None,
        missing: tuple[str | int, ...] = (),
    ) -> None:
        """Add a finding to all others."""
        found = Diagnostic(code, message, span, hint, missing=missing)
        self.findings.append(found)

    def settle(
        self, value: int | float | Expr, kind: NumberField, span: Span, what: str
    ) -> Fraction | None:
        """`value` as a number of that kind, or None after a finding at its source."""
        before = len(self.findings)
        found = self._number(value, kind, span, what)
        self._blame_setting(value, before)
        return found

    def _number(
        self, value: int | float | Expr, kind: NumberField, span: Span, what: str
    ) -> Fraction | None:
        if not isinstance(value, Expr):
            return exact(value)
        if not self._readable(value, span):
            return None
        try:
            return exact(kind.settle(value, self.known))
        except ExprError as error:
            self.findings.append(self._blame(value, kind, span, what, error))
            return None

    def _blame(
        self, value: Expr, kind: NumberField, span: Span, what: str, error: ExprError
    ) -> Diagnostic:
        """The finding, at the parameter that came out broken where there is one."""
        notes = self._origins(value)
        if kind.whole:
            for name in value.names:
                origin = self.written.get(name)
                if isinstance(origin, Expr) and _is_broken(self.values.get(name)):
                    came = f"{name} = {origin} comes out as {show(self.values[name])}"
                    given = ", ".join(
                        f"{n} = {show(self.values[n])}"
                        for n in origin.names
                        if n in self.values
                    )
                    return Diagnostic(
                        codes.INVALID_NUMBER,
                        f"{came} with {given}, and {what} must be whole",
                        self.spans[name],
                        self._nearest(name, origin, value, kind),
                        (Note(f"{what} uses it here", span), *self._origins(origin)),
                    )
        colon = ":" if what.endswith("'") or isinstance(error, KindError) else ""
        return Diagnostic(_code(error), f"{what}{colon} {error}", span, None, notes)

    def _origins(self, value: Expr) -> tuple[Note, ...]:
        """Where the plain parameters behind an expression were set."""
        notes: list[Note] = []
        pending = list(value.names)
        while pending:
            name = pending.pop()
            written = self.written.get(name)
            if name in self.settings and name in self.values:
                notes.append(self._set_note(name))
            elif isinstance(written, Expr):
                pending.extend(written.names)
            elif isinstance(written, tuple | Op | bool) and name in self.values:
                given = f"{name} = {show(self.values[name])} is given here"
                notes.append(Note(given, self.spans[name]))
        return tuple(dict.fromkeys(notes))

    def _nearest(
        self, name: str, origin: Expr, use: Expr, kind: NumberField
    ) -> str | None:
        """Which values of the first plain parameter behind `name` would do."""
        plain = [n for n in origin.names if not isinstance(self.written.get(n), Expr)]
        now = self.values.get(plain[0]) if plain else None
        if not isinstance(now, Fraction) or now.denominator != 1:
            return None
        good: list[str] = []
        for direction in (-1, 1):
            for step in range(1, 100):
                number = now + direction * step
                try:
                    trial = origin.evaluate(self.values | {plain[0]: number})
                    kind.settle(use, self.values | {plain[0]: number, name: trial})
                except ExprError:
                    continue
                good.append(show(number))
                break
        return f"{plain[0]} = {' or '.join(good)} would do" if good else None


def constant(value: Written) -> Value | None:
    """The value of what is written without parameters; None of what reads one."""
    only = word(value)
    if only is not None:
        return BARE.get(only)
    if _has_expressions(value):
        return None
    if isinstance(value, tuple):
        return tuple(exact(item) for item in value if not isinstance(item, Expr))
    if isinstance(value, Op | bool | Expr):
        return value if not isinstance(value, Expr) else None
    return exact(value)


def too_late(
    name: str, reads: Iterable[str], written: Mapping[str, Written | None], span: Span
) -> Iterator[Diagnostic]:
    """Findings on the parameters that one of them reads, and that are written no earlier."""
    order = [*written]
    later = order[order.index(name) :]
    for other in dict.fromkeys(reads):
        if other in later:
            message = f"'{other}' has no value yet at this line"
            circle = name in _needed(other, written)
            hint = "they need one another" if circle else f"write '{other}' above it"
            hint = "it needs itself" if other == name else hint
            yield Diagnostic(codes.USED_BEFORE_DEFINITION, message, span, hint)


def _needed(name: str, written: Mapping[str, Written | None]) -> set[str]:
    """The parameters behind one, itself among them where it is computed from itself."""
    needed, pending = set[str](), [name]
    while pending:
        fresh = {*read(written.get(pending.pop()))} - needed
        needed |= fresh
        pending += fresh
    return needed


def _has_expressions(value: Written) -> bool:
    if isinstance(value, Op):
        return any(isinstance(v, Expr) for v in value.attributes().values())
    items = value if isinstance(value, tuple) else (value,)
    return any(isinstance(item, Expr) for item in items)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _op_named(value: Value | str) -> Value:
    """The op that a word names, if it does."""
    return BARE.get(value, value) if isinstance(value, str) else value


def _fits(value: object, kind: Kind) -> bool:
    """Whether a value is of that kind."""
    if kind is Kind.UNKNOWN:
        return True
    match value:
        case bool():
            return kind in (Kind.FLAG, Kind.ANY)
        case Fraction():
            return kind in _NUMBERS
        case tuple():
            return kind is Kind.LIST
        case str():
            return kind is Kind.WORD
    return kind is Kind.OP


def _code(error: ExprError) -> Code:
    """What is said of an expression that has no value."""
    return codes.WRONG_TYPE if isinstance(error, KindError) else codes.INVALID_NUMBER


def _is_broken(value: Value | None) -> bool:
    """Whether it is a number, and not a whole one."""
    return isinstance(value, Fraction) and value.denominator != 1
