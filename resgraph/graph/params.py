"""The parameters of a network: numbers, and arithmetic over those before them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fractions import Fraction

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Note, Span, did_you_mean
from resgraph.expr import Expr, ExprError, exact, show
from resgraph.ops.fields import NumberField

Setting = tuple[Fraction | None, Span | None]
"""A parameter set from outside (None: to what is not known), and where (None: on the
command line)."""


@dataclass
class Params:
    """Evaluated parameters, which remember how each came about, for the diagnostics.

    The values of the `unknown` ones are not known; with `more` there may be other
    parameters. What reads such a parameter has no value, and no finding. `used` has the
    names that are read, and `strange` those among them that are no parameter's.
    """

    written: Mapping[str, int | float | Expr]
    spans: Mapping[str, Span]
    settings: Mapping[str, Setting]
    unknown: Set[str] = frozenset()
    more: bool = False
    values: dict[str, Fraction] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    @property
    def strange(self) -> set[str]:
        return self.used - self.written.keys()

    def __post_init__(self) -> None:
        for name, value in self.written.items():
            if name in self.settings:
                number = self.settings[name][0]
                if isinstance(value, Expr):
                    self._readable(value, self.spans[name])
                if number is not None:
                    self.values[name] = number
            elif name in self.unknown:
                continue
            elif isinstance(value, Expr):
                self._evaluate(name, value)
            else:
                self.values[name] = exact(value)

    def _evaluate(self, name: str, value: Expr) -> None:
        order = [*self.written]
        late = [n for n in value.names if n in order[order.index(name) :]]
        for other in late:
            message = f"'{other}' has no value yet at this line"
            needed = name in self._needed(other)
            hint = "they need one another" if needed else f"write '{other}' above it"
            self._report(codes.USED_BEFORE_DEFINITION, message, self.spans[name], hint)
        if self._readable(value, self.spans[name]) and not late:
            try:
                self.values[name] = value.evaluate(self.values)
            except ExprError as error:
                self._report(codes.INVALID_NUMBER, str(error), self.spans[name])

    def _needed(self, name: str) -> set[str]:
        """The parameters behind one, itself among them where it is computed from itself."""
        needed, pending = set[str](), [name]
        while pending:
            value = self.written.get(pending.pop())
            fresh = {*value.names} - needed if isinstance(value, Expr) else set[str]()
            needed |= fresh
            pending += fresh
        return needed

    def _readable(self, value: Expr, span: Span) -> bool:
        """Whether all that the expression reads has a value; what is no parameter is told."""
        self.used.update(value.names)
        for name in value.names:
            if name not in self.written and not self.more:
                hint = did_you_mean(name, self.written)
                message = f"unknown parameter '{name}'"
                place = ("network", "params", name)
                self._report(codes.UNKNOWN_PARAMETER, message, span, hint, place)
        return all(name in self.values for name in value.names)

    def _report(
        self,
        code: Code,
        message: str,
        span: Span,
        hint: str | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        found = Diagnostic(code, message, span, hint, missing=missing)
        self.findings.append(found)

    def settle(
        self, value: int | float | Expr, kind: NumberField, span: Span, what: str
    ) -> Fraction | None:
        """`value` as a number of that kind, or None after a finding at its source."""
        if not isinstance(value, Expr):
            return exact(value)
        if not self._readable(value, span):
            return None
        try:
            return exact(kind.settle(value, self.values))
        except ExprError as error:
            self.findings.append(self._blame(value, kind, span, what, str(error)))
            return None

    def _blame(
        self, value: Expr, kind: NumberField, span: Span, what: str, why: str
    ) -> Diagnostic:
        """The finding, at the parameter that came out broken where there is one."""
        notes = self._origins(value)
        if kind.whole:
            for name in value.names:
                origin = self.written[name]
                if isinstance(origin, Expr) and self.values[name].denominator != 1:
                    came = f"{name} = {origin} comes out as {show(self.values[name])}"
                    given = ", ".join(
                        f"{n} = {show(self.values[n])}" for n in origin.names
                    )
                    return Diagnostic(
                        codes.INVALID_NUMBER,
                        f"{came} with {given}, and {what} must be whole",
                        self.spans[name],
                        self._nearest(name, origin, value, kind),
                        (Note(f"{what} uses it here", span), *self._origins(origin)),
                    )
        return Diagnostic(codes.INVALID_NUMBER, f"{what} {why}", span, None, notes)

    def _origins(self, value: Expr) -> tuple[Note, ...]:
        """Where the plain parameters behind an expression were set."""
        notes: list[Note] = []
        pending = list(value.names)
        while pending:
            name = pending.pop()
            written = self.written[name]
            if name in self.settings:
                number, span = self.values[name], self.settings[name][1]
                where = "set here" if span else "set on the command line"
                notes.append(Note(f"{name} = {show(number)} is {where}", span))
            elif isinstance(written, Expr):
                pending.extend(written.names)
        return tuple(dict.fromkeys(notes))

    def _nearest(
        self, name: str, origin: Expr, use: Expr, kind: NumberField
    ) -> str | None:
        """Which values of the first plain parameter behind `name` would do."""
        plain = [n for n in origin.names if not isinstance(self.written[n], Expr)]
        if not plain or self.values[plain[0]].denominator != 1:
            return None
        now = self.values[plain[0]]
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
