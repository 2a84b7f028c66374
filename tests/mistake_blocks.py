"""Mistakes in what blocks within blocks add to the language; one per kind and place."""

from __future__ import annotations

from typing import Any

from resgraph.spec.tree import Loc, walk
from tests.mistakes import (
    NO_VALUE,
    NOWHERE,
    NUMBERS,
    Mistake,
    Mistakes,
    OpPlace,
    Spec,
    Told,
    both,
    drop,
    kinds_of,
    ops,
    paths,
    put,
    reads,
    rename,
    slots,
    stages,
    units,
    uses,
)


def _told(
    kind: str, code: str, at: Loc, change: Any, *needs: Loc, key: bool = False
) -> Mistake:
    """A mistake that is told where it stands."""
    return Mistake(kind, (at,), (Told(code, at, at_key=key),), change, needs)


def _of(use: OpPlace, told: Told, kind: str, change: Any, *needs: Loc) -> Mistake:
    """A mistake in the use of a unit."""
    return Mistake(kind, (use.loc,), (told,), change, needs)


# --- units as ops -------------------------------------------------------------------------


def units_that_are_not(spec: Spec) -> Mistakes:
    for use in uses(spec):
        change = rename(*use.inside, NOWHERE)
        yield _of(use, Told("unknown-op", use.loc), "unknown unit as an op", change)


def strange_arguments(spec: Spec) -> Mistakes:
    for use in uses(spec):
        told = Told("unknown-argument", (*use.inside, NOWHERE), at_key=True)
        change = put(*use.inside, use.given | {NOWHERE: 1})
        yield _of(use, told, "strange argument", change, ("units", use.kind))


def lacking_arguments(spec: Spec) -> Mistakes:
    for use in uses(spec):
        for name in use.given:
            if name in spec["units"][use.kind].get("params", []):
                told = Told("missing-argument", use.inside, at_key=True)
                change = drop(*use.inside, name)
                yield _of(use, told, "lacking argument", change, ("units", use.kind))


def _arguments(spec: Spec) -> Any:
    """Each argument in a path or in a stage: its place, its unit and what else it touches."""
    for use in uses(spec):
        for name in use.given:
            yield (*use.inside, name), use.kind, use.loc
    for loc, unit, args in slots(spec):
        for name in args:
            yield (*loc, unit, name), unit, loc


def arguments_of_no_kind(spec: Spec) -> Mistakes:
    for place, _, item in _arguments(spec):
        told = Told("wrong-type", place)
        yield Mistake("no argument", (item,), (told,), put(*place, NO_VALUE))


def arguments_of_another_kind(spec: Spec) -> Mistakes:
    """Each parameter gets what its default is not."""
    for place, _, item in _arguments(spec):
        takes_op = place[-1] == "act"
        for value in (3, [1]) if takes_op else ("relu", [1]):
            change, told = put(*place, value), Told("wrong-type", place)
            yield Mistake("another kind", (item,), (told,), change, (("units",),))
        if takes_op:
            for value, code in ((NOWHERE, "unknown-op"), ("conv", "missing-key")):
                change, told = put(*place, value), Told(code, place)
                yield Mistake(f"act: {code}", (item,), (told,), change, (("units",),))


def misspelt_beside(spec: Spec) -> Mistakes:
    for use in uses(spec):
        for key in use.beside:
            wrong = key[:-1] + "s"
            told = Told("unknown-key", (*use.loc, wrong), at_key=True)
            yield _of(use, told, f"misspelt {key}", rename(*use.loc, key, wrong))
    for loc, _, _ in slots(spec):
        if "repeat" in walk(spec, loc):
            told = Told("unknown-key", (*loc, "repaet"), at_key=True)
            change = rename(*loc, "repeat", "repaet")
            yield Mistake("misspelt repeat", (loc,), (told,), change)


def wrong_beside(spec: Spec) -> Mistakes:
    for use in uses(spec):
        for key, value, code in (
            ("repeat", 0, "invalid-number"),
            ("repeat", NO_VALUE, "wrong-type"),
            ("repeat", NOWHERE, "unknown-parameter"),
            ("name", "class", "invalid-name"),
            ("when", 5, "wrong-type"),
        ):
            told = Told(code, (*use.loc, key))
            change = put(*use.loc, key, value)
            needs = [("units", use.loc[1], "params")]
            yield _of(use, told, f"wrong {key}", change, *needs)


def units_of_themselves(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        place = (*loc, "paths", next(iter(unit["paths"])), "ops")
        count = len(walk(spec, place))
        args = {p: 1 for p in unit.get("params", []) if isinstance(p, str)}
        inputs = unit.get("inputs", [1]) == [1] and "outputs" not in unit
        if inputs:
            told = Told("circular-units", (*place, count, loc[1]), at_key=True)
            change = put(*place, [*walk(spec, place), {loc[1]: args}])
            yield Mistake("unit of itself", (loc,), (told,), change, (("units",),))


# --- conditions ---------------------------------------------------------------------------


def _conditions(spec: Spec) -> Any:
    for loc, path in paths(spec):
        if "when" in path:
            yield (*loc, "when"), loc
    for use in uses(spec):
        if "when" in use.beside:
            yield (*use.loc, "when"), use.loc


def wrong_conditions(spec: Spec) -> Mistakes:
    for place, holder in _conditions(spec):
        written = walk(spec, place)
        for value, code in (
            (f"({written}) and", "invalid-expression"),
            (f"{written} or {NOWHERE} > 1", "unknown-parameter"),
            (5, "wrong-type"),
            ([1], "wrong-type"),
        ):
            told, needs = Told(code, place), (("units", place[1], "params"),)
            change = put(*place, value)
            yield Mistake("wrong condition", (holder,), (told,), change, needs)


# --- inputs and outputs -------------------------------------------------------------------


def wrong_inputs_of_units(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        if "inputs" in unit:
            place = (*loc, "inputs")
            for value, code in ((5, "wrong-type"), ([], "wrong-length")):
                yield Mistake(
                    "wrong inputs", (loc,), (Told(code, place),), put(*place, value)
                )


def wrong_outputs(spec: Spec) -> Mistakes:
    holders: list[Loc] = [loc for loc, unit in units(spec) if "outputs" in unit]
    holders += [("network",)] if "outputs" in spec["network"] else []
    for loc in holders:
        place = (*loc, "outputs")
        more = put(*place, _with(walk(spec, place), NOWHERE))
        at = (*place, NOWHERE) if loc == ("network",) else (*place, 2)
        told = Told("unknown-value", at)
        yield Mistake("unknown output", (loc,), (told,), more)
        for value, code in ((5, "wrong-type"), ({}, "wrong-length")):
            change = put(*place, value)
            yield Mistake("wrong outputs", (loc,), (Told(code, place),), change)


def _with(outputs: Any, name: str) -> Any:
    return outputs | {name: name} if isinstance(outputs, dict) else [*outputs, name]


# --- stages -------------------------------------------------------------------------------


def wrong_stages(spec: Spec) -> Mistakes:
    for loc, stage in stages(spec):
        network: Loc = ("network",)
        if isinstance(stage, list):
            continue
        many = isinstance(stage["from"], list)
        source = (*loc, "from", 0) if many else (*loc, "from")
        for value, code in ((NOWHERE, "unknown-value"), (5, "wrong-type")):
            yield Mistake(
                "wrong from", (network,), (Told(code, source),), put(*source, value)
            )
        told = Told("circular-paths", loc, at_key=True)
        yield Mistake("stage of itself", (network,), (told,), put(*source, loc[-1]))
        told = Told("missing-key", loc)
        yield Mistake("no units", (network,), (told,), drop(*loc, "units"))
        told = Told("unknown-key", (*loc, "unit"), at_key=True)
        yield Mistake(
            "misspelt units", (network,), (told,), rename(*loc, "units", "unit")
        )
        told = Told("unknown-key", (*loc, NOWHERE), at_key=True)
        yield Mistake("key of a stage", (loc,), (told,), put(*loc, NOWHERE, 1))
        told = Told("invalid-name", (*loc[:-1], "stem"), at_key=True)


def unused_stages(spec: Spec) -> Mistakes:
    named = isinstance(spec["network"]["stages"], dict)
    for _, unit, args in slots(spec) if named else ():
        if not args:
            stage = {"from": "stem", "units": [{unit: args}]}
            place: Loc = ("network", "stages", "spare")
            told = Told("unused-path", place, at_key=True)
            yield Mistake(
                "unused stage",
                (("network",),),
                (told,),
                put(*place, stage),
                (("units",),),
            )


def wrong_stems(spec: Spec) -> Mistakes:
    stem = spec["network"].get("stem")
    if isinstance(stem, dict):
        place: Loc = ("network", "stem")
        for key, value in (("from", "x"), ("ops", ["relu"])):
            told = Told("wrong-form", place)
            yield Mistake("wrong stem", (place,), (told,), put(*place, key, value))


def misspelt_stages(spec: Spec) -> Mistakes:
    """Both keys of a stage, so that it has none that is known."""
    for loc, stage in stages(spec):
        if isinstance(stage, dict) and {*stage} == {"from", "units"}:
            keys = (("from", "form"), ("units", "unit"))
            told = tuple(
                Told("unknown-key", (*loc, new), at_key=True) for _, new in keys
            )
            change = both(*(rename(*loc, old, new) for old, new in keys))
            yield Mistake("misspelt keys", (("network",),), told, change)


def outputs_twice(spec: Spec) -> Mistakes:
    outputs = [*spec["network"].get("outputs", {}).values()]
    place: Loc = ("network", "outputs")
    for name in outputs:
        told = Told("duplicate-key", (*place, len(outputs)))
        change = put(*place, [*outputs, name])
        yield Mistake("output twice", (place,), (told,), change, (("network",),))


# --- what has no value there ----------------------------------------------------------------


def repeats_by_position(spec: Spec) -> Mistakes:
    for loc, _, _ in slots(spec):
        for name in ("index", "total + 1"):
            place = (*loc, "repeat")
            if "repeat" not in walk(spec, loc):
                told = Told("unknown-parameter", place)
                yield Mistake("repeat", (loc,), (told,), put(*place, name))


def positions_in_ends(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name, value in op.given.items() if op.loc[0] == "network" else ():
            if name in NUMBERS[op.kind] and not reads(value):
                place = (*op.inside, name)
                told = Told("unknown-parameter", place)
                change = put(*place, "2 * stage + in")
                yield Mistake("position", (op.loc,), (told,), change)


def lists_of_ops(spec: Spec) -> Mistakes:
    for loc, unit, args in slots(spec):
        for name, value in args.items():
            if not reads(value) or isinstance(value, dict):
                place, told = (*loc, unit, name), "wrong-type"
                change = put(*place, ["relu", "bn"])
                needs: tuple[Loc, ...] = (("units",),)
                wrong = (Told(told, place),)
                yield Mistake("list of ops", (loc,), wrong, change, needs)


# --- lists --------------------------------------------------------------------------------


def wrong_indices(spec: Spec) -> Mistakes:
    params = spec["network"]["params"]
    lists = [name for name, value in params.items() if isinstance(value, list)]
    for loc, unit, args in slots(spec):
        for name, value in args.items():
            for wanted in (n for n in lists if f"{n}[" in str(value)):
                for wrong, code in (
                    (f"{wanted}[9]", "invalid-number"),
                    (f"{wanted}[stage - 7]", "invalid-number"),
                    (wanted, "wrong-type"),
                    (f"{wanted}[]", "invalid-expression"),
                    (f"{wanted}[{NOWHERE}]", "unknown-parameter"),
                ):
                    place = (*loc, unit, name)
                    change, told = put(*place, wrong), Told(code, place)
                    needs: tuple[Loc, ...] = (("network", "params"), ("units",))
                    yield Mistake("wrong index", (loc,), (told,), change, needs)


KINDS = kinds_of(globals())
