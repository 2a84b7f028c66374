"""What `--set` makes: values of parameters, one network more with a name of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from resgraph.diagnostics import UsageError
from resgraph.expr import Expr, ExprError, written
from resgraph.names import MAX_LENGTH

_VALUE = re.compile(r"m?\d+(p\d+)?(em?\d+)?(d\d+)?")
_LETTERS = str.maketrans({"-": "m", ".": "p", "/": "d"})


def parse_settings(pairs: list[str]) -> dict[str, Fraction]:
    """`KEY=VALUE` pairs, each value arithmetic without parameters. Raises `UsageError`."""
    settings: dict[str, Fraction] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        try:
            if not equals:
                raise ExprError("expected KEY=VALUE, such as depth=1001")
            if key in settings:
                raise ExprError(f"'{key}' is set twice")
            settings[key] = Expr.parse(text).evaluate({})
        except ExprError as error:
            raise UsageError(f"--set {pair}: {error}") from None
    return settings


def options(network: str | None, settings: Mapping[str, Fraction]) -> str:
    """The options that make a network which the spec does not name, values in full."""
    if not settings:
        return ""
    base = f" --network {network}" if network else ""
    return base + "".join(f" --set {k}={written(v)}" for k, v in settings.items())


def name_with(
    base: str,
    settings: Mapping[str, Fraction],
    networks: Iterable[str],
    params: Iterable[str],
) -> str:
    """The name of network `base` with these settings: `resnet164_depth29`.

    Among a spec's networks and parameters no other settings have it: where the plain name
    could be read in two ways (`a1` = 2, `a` = 12), or is too long, a digest of them follows.
    """
    if not settings:
        return base
    words = (f"{k}{written(v).translate(_LETTERS)}" for k, v in settings.items())
    name = "_".join([base, *words])
    known = tuple(params)
    readings = sum(_readings(name, other, known) for other in {base, *networks})
    if readings == 1 and len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(options(base, settings).encode()).hexdigest()
    return f"{base}_set{digest[:8]}"


def _readings(name: str, base: str, params: tuple[str, ...]) -> int:
    """How many settings would give network `base` that name, none among them."""
    return _splits(name.removeprefix(base), params) if name.startswith(base) else 0


def _splits(rest: str, params: tuple[str, ...]) -> int:
    """In how many ways `_a1_b2` is read as parameters with values."""
    if not rest:
        return 1
    count = 0
    for param in params:
        if rest.startswith(f"_{param}"):
            value = rest[len(param) + 1 :].split("_")[0]
            if _VALUE.fullmatch(value):
                count += _splits(rest[len(param) + 1 + len(value) :], params)
    return count
