"""Mistakes in ops, paths and units: each kind yields one mistake per place of a spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resgraph.ops import OPS
from resgraph.spec.tree import Loc, walk
from tests.mistakes import (
    NO_VALUE,
    NOWHERE,
    NUMBERS,
    Mistake,
    Mistakes,
    Raw,
    Spec,
    Told,
    at,
    both,
    drop,
    gone,
    kinds_of,
    new_key,
    ops,
    ops_of,
    paths,
    put,
    reads,
    rename,
    slots,
    sources,
    units,
    uses,
)

# --- ops --------------------------------------------------------------------------------


def unknown_ops(spec: Spec) -> Mistakes:
    for op in ops(spec):
        item = op.item(NOWHERE, op.given)
        yield at("unknown op", "unknown-op", op.loc, item)


def unknown_attributes(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.given:
            loc = (*op.inside, NOWHERE)
            told = Told("unknown-key", loc, at_key=True)
            yield Mistake("unknown attribute", (op.loc,), (told,), put(*loc, 1))


def misspelt_attributes(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name in op.given:
            loc = (*op.inside, name[:-1])
            told = Told("unknown-key", loc, at_key=True)
            change = rename(*op.inside, name, name[:-1])
            yield Mistake("misspelt attribute", (op.loc,), (told,), change)


def missing_attributes(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name in op.given:
            if OPS[op.kind].model_fields[name].is_required():
                told = Told("missing-key", op.inside)
                change = drop(*op.inside, name)
                yield Mistake("missing attribute", (op.loc,), (told,), change)


def _wrong_numbers(spec: Spec, kind: str, code: str, value: Any) -> Mistakes:
    for op in ops(spec):
        for name in op.given:
            if name in NUMBERS[op.kind]:
                told = Told(code, (*op.inside, name))
                change = put(*op.inside, name, value)
                yield Mistake(kind, (op.loc,), (told,), change)


def infinite_numbers(spec: Spec) -> Mistakes:
    return _wrong_numbers(spec, "infinite number", "invalid-number", Raw(".inf"))


def lists_as_numbers(spec: Spec) -> Mistakes:
    return _wrong_numbers(spec, "list as number", "wrong-type", [])


def no_arithmetic(spec: Spec) -> Mistakes:
    return _wrong_numbers(spec, "no arithmetic", "invalid-expression", "2 ** 3")


def unknown_parameters(spec: Spec) -> Mistakes:
    found = _wrong_numbers(spec, "unknown parameter", "unknown-parameter", NOWHERE)
    for mistake in found:
        yield replace(mistake, needs=_scope(mistake.touched[0]))


def misspelt_parameters(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name, value in op.given.items():
            plain = isinstance(value, str) and not {*".[+"} & {*value}
            if plain and name in NUMBERS[op.kind]:
                place = (*op.inside, name)
                told = Told("unknown-parameter", place)
                read = min(reads(value))
                change = put(*place, value.replace(read, f"{read}s"))
                needs = _scope(op.loc)
                yield Mistake("misspelt parameter", (op.loc,), (told,), change, needs)


def _scope(loc: Loc) -> tuple[Loc, ...]:
    """Where the parameters are declared that an op may read."""
    holder: Loc = loc[:2] if loc[0] == "units" else ("network",)
    return ((*holder, "params"),)


def wrong_truths(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.kind in ("conv", "linear"):
            loc = (*op.inside, "bias")
            told = Told("wrong-type", loc)
            yield Mistake("wrong truth", (op.loc,), (told,), put(*loc, 1))


def two_ops(spec: Spec) -> Mistakes:
    for op in ops(spec):
        item = op.item(op.kind, op.given)
        item = {item: None} if isinstance(item, str) else item
        item = item | {"flatten": None, "identity": None, "mul": None, "add": None}
        yield at("two ops in one item", "wrong-form", op.loc, item)


def empty_ops(spec: Spec) -> Mistakes:
    for op in ops(spec):
        yield at("empty item", "wrong-form", op.loc, None)


def refused_layers(spec: Spec) -> Mistakes:
    for op in ops(spec):
        item = op.item(op.kind, op.given | {"name": "class"})
        told = Told("invalid-name", (*op.inside, "name"))
        yield Mistake("refused layer", (op.loc,), (told,), put(*op.loc, item))


def too_many_inputs(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.index and not op.given and OPS[op.kind].inputs == (1, 1):
            yield at("merge of one value", "wrong-input-count", op.loc, "add")


# --- paths ------------------------------------------------------------------------------


def unknown_values(spec: Spec) -> Mistakes:
    for loc, path in paths(spec):
        for i, _ in enumerate(sources(path)):
            place = (
                (*loc, "from", i) if isinstance(path["from"], list) else (*loc, "from")
            )
            yield at("unknown value", "unknown-value", place, NOWHERE)


def question_marks(spec: Spec) -> Mistakes:
    """What drafts call what is not known."""
    for loc, _ in paths(spec):
        yield at("source '?'", "invalid-name", (*loc, "from"), "?")
    for loc, unit, _ in slots(spec):
        told = Told("invalid-name", loc)
        yield Mistake("unit '?'", (loc,), (told,), rename(*loc, unit, "?"))
        yield at("unit '?' alone", "invalid-name", loc, "?")


def wrong_sources(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield at("wrong source", "wrong-type", (*loc, "from"), 5)


def missing_sources(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield gone("missing source", (*loc, "from"))


def missing_ops(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield gone("missing ops", (*loc, "ops"))


def no_ops(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield at("no ops", "wrong-length", (*loc, "ops"), [])


def wrong_paths(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield at("wrong path", "wrong-type", loc, 3)


def unknown_keys_of_paths(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield new_key("unknown key of a path", "unknown-key", (*loc, NOWHERE), 1)


def unused_paths(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        new = (*loc, "paths", "spare")
        path = {"from": unit.get("inputs", ["x"])[0], "ops": ["relu"]}
        needs = [(*loc, "paths", name, "from") for name in unit["paths"]]
        yield new_key("unused path", "unused-path", new, path, *needs)


def own_sources(spec: Spec) -> Mistakes:
    for loc, path in paths(spec):
        if isinstance(path["from"], str) and loc[-1] != "out":
            told = Told("circular-paths", loc, at_key=True)
            change = put(*loc, "from", loc[-1])
            yield Mistake("circle", (loc,), (told,), change)


def late_sources(spec: Spec) -> Mistakes:
    """A path after the only one that reads it."""
    for loc, _ in paths(spec):
        holder = walk(spec, loc[:-1])
        readers = [name for name, path in holder.items() if loc[-1] in sources(path)]
        if len(readers) == 1 and readers[0] != "out":
            reader = (*loc[:-1], readers[0])
            listed = isinstance(holder[readers[0]]["from"], list)
            steps = [sources(holder[readers[0]]).index(loc[-1])] * listed
            told = Told("used-before-definition", (*reader, "from", *steps))

            def change(data: Spec, loc: Loc = loc) -> None:
                paths = walk(data, loc[:-1])
                out = paths.pop("out")
                paths |= {loc[-1]: paths.pop(loc[-1]), "out": out}

            yield Mistake("late source", (loc, (*reader, "from")), (told,), change)


def refused_paths(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        if loc[-1] not in ("out", "F"):
            yield _refused("refused path", loc, "lambda")


def _refused(kind: str, loc: Loc, new: str) -> Mistake:
    """Another name, where it is given and wherever it is read."""
    scope, old = loc[:-1], str(loc[-1])

    def change(data: Spec) -> None:
        for path in walk(data, scope).values():
            if path["from"] == old:
                path["from"] = new
            elif isinstance(path["from"], list):
                path["from"] = [new if s == old else s for s in path["from"]]
        rename(*loc, new)(data)

    told = Told("invalid-name", (*scope, new), at_key=True)
    return Mistake(kind, (scope,), (told,), change)


def clashing_paths(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        for name in [*unit["paths"]]:
            if "F" in unit["paths"] and name not in ("F", "out"):
                mistake = _refused("clashing paths", (*loc, "paths", name), "f")
                order = ["f" if path == name else path for path in unit["paths"]]
                last = max("F", "f", key=order.index)
                told = Told("name-clash", (*loc, "paths", last), at_key=True)
                yield replace(mistake, told=(told,))


def clashing_layers(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        first, *others = ops_of(spec, loc) or [None]
        for op in others:
            change = both(
                *(
                    put(*o.loc, o.item(o.kind, o.given | {"name": f"layer{loc[-1]}"}))
                    for o in (first, op)
                )
            )
            told = Told("name-clash", op.loc)
            yield Mistake("clashing layers", ((*loc, "ops"),), (told,), change)


# --- units ------------------------------------------------------------------------------


def unknown_keys_of_units(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        yield new_key("unknown key of a unit", "unknown-key", (*loc, NOWHERE), [1])


def misspelt_paths(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        told = Told("unknown-key", (*loc, "pahts"), at_key=True)
        change = rename(*loc, "paths", "pahts")
        yield Mistake("misspelt paths", (loc,), (told,), change)


def misspelt_params(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        if "params" in unit:
            told = Told("unknown-key", (*loc, "parms"), at_key=True)
            change = rename(*loc, "params", "parms")
            yield Mistake(
                "misspelt params",
                (loc,),
                (told,),
                change,
            )


def missing_paths(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        yield gone("missing paths", (*loc, "paths"))


def missing_outs(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        if "outputs" in unit:
            continue
        told = Told("missing-output", loc, at_key=True)
        change = rename(*loc, "paths", "out", "total")
        yield Mistake("missing out", ((*loc, "paths"),), (told,), change)


def wrong_units(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        yield at("wrong unit", "wrong-type", loc, [1])


def unused_units(spec: Spec) -> Mistakes:
    unit = {"paths": {"out": {"from": "x", "ops": ["relu"]}}}
    needs: tuple[Loc, ...] = (*(loc for loc, _ in units(spec)), ("network", "stages"))
    yield new_key("unused unit", "unused-unit", ("units", "spare"), unit, *needs)


def refused_units(spec: Spec) -> Mistakes:
    touched: tuple[Loc, ...] = (("units",), ("network", "stages"))
    for loc, _ in units(spec):
        told = Told("invalid-name", ("units", "class"), at_key=True)
        yield Mistake("refused unit", touched, (told,), rename(*loc, "class"))
        for new, code in (
            ("class", "invalid-name"),
            ("__", "invalid-name"),
            ("stem", "invalid-name"),
        ):
            named = [
                rename(*place, unit, new)
                for place, unit, _ in slots(spec)
                if unit == loc[1]
            ]
            named += [
                rename(*use.inside, new) for use in uses(spec) if use.kind == loc[1]
            ]
            told = Told(code, ("units", new), at_key=True)
            change = both(rename(*loc, new), *named)
            yield Mistake(f"unit called {new}", touched, (told,), change)


def refused_params(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        for i, item in enumerate(unit.get("params", [])):
            place = (*loc, "params", i)
            touched: tuple[Loc, ...] = (loc, ("network", "stages"))
            if isinstance(item, str):
                told, change = Told("invalid-name", place), put(*place, "list")
            else:
                told = Told("invalid-name", (*place, "list"), at_key=True)
                change = rename(*place, min(item), "list")
            yield Mistake("refused parameter", touched, (told,), change)


def unused_params(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        new = [*unit.get("params", []), {"spare": 1}]
        place = (*loc, "params", len(new) - 1)
        told = Told("unused-parameter", place)
        change = put(*loc, "params", new)
        yield Mistake("unused parameter", ((*loc, "params"),), (told,), change)


def wrong_params(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        for i, item in enumerate(unit.get("params", [])):
            if isinstance(item, dict):
                (name,) = item
                told = Told("wrong-type", (*loc, "params", i, name))
                change = put(*loc, "params", i, name, NO_VALUE)
                yield Mistake("wrong default", ((*loc, "params"),), (told,), change)
        if "params" in unit:
            for value in (5, [], {}):
                change = put(*loc, "params", [*unit["params"], value])
                told = Told("wrong-form", (*loc, "params", len(unit["params"])))
                yield Mistake("wrong parameter", ((*loc, "params"),), (told,), change)


def params_twice(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        params = unit.get("params", [])
        for item in params:
            change = put(*loc, "params", [*params, item])
            told = Told("duplicate-key", (*loc, "params", len(params)))
            yield Mistake("parameter twice", ((*loc, "params"),), (told,), change)


def wrong_titles(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        yield at("wrong title", "wrong-type", (*loc, "title"), 5)


KINDS = kinds_of(globals())
