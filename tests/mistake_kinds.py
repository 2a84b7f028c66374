"""The kinds of mistakes that are planted: each yields one mistake per place of a spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from resgraph.ops import OPS
from resgraph.spec.tree import Loc, walk
from tests.mistakes import (
    NOWHERE,
    NUMBERS,
    Mistake,
    OpPlace,
    Raw,
    Told,
    both,
    drop,
    ops,
    paths,
    put,
    reads,
    rename,
    slots,
    sources,
    stages,
    units,
    uses,
)

Spec = dict[str, Any]
Mistakes = Iterator[Mistake]
NO_VALUE = [[1]]
"""What no parameter can be."""


def _at(kind: str, code: str, loc: Loc, value: Any, *needs: Loc) -> Mistake:
    """A wrong value, told where it stands."""
    return Mistake(kind, (loc,), (Told(code, loc),), put(*loc, value), needs)


def _new(kind: str, code: str, loc: Loc, value: Any, *needs: Loc) -> Mistake:
    """A new key, told where it stands."""
    return Mistake(
        kind, (loc,), (Told(code, loc, at_key=True),), put(*loc, value), needs
    )


def _gone(kind: str, loc: Loc) -> Mistake:
    """A key that must be there, told where what held it begins."""
    return Mistake(kind, (loc[:-1],), (Told("missing-key", loc[:-1]),), drop(*loc))


# --- ops --------------------------------------------------------------------------------


def unknown_ops(spec: Spec) -> Mistakes:
    for op in ops(spec):
        item = op.item(NOWHERE, op.given)
        yield _at("unknown op", "unknown-op", op.loc, item)


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
        yield _at("two ops in one item", "wrong-form", op.loc, item)


def empty_ops(spec: Spec) -> Mistakes:
    for op in ops(spec):
        yield _at("empty item", "wrong-form", op.loc, None)


def refused_layers(spec: Spec) -> Mistakes:
    for op in ops(spec):
        item = op.item(op.kind, op.given | {"name": "class"})
        told = Told("invalid-name", (*op.inside, "name"))
        yield Mistake("refused layer", (op.loc,), (told,), put(*op.loc, item))


def too_many_inputs(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.index and not op.given and OPS[op.kind].inputs == (1, 1):
            yield _at("merge of one value", "wrong-input-count", op.loc, "add")


# --- paths ------------------------------------------------------------------------------


def unknown_values(spec: Spec) -> Mistakes:
    for loc, path in paths(spec):
        for i, _ in enumerate(sources(path)):
            place = (
                (*loc, "from", i) if isinstance(path["from"], list) else (*loc, "from")
            )
            yield _at("unknown value", "unknown-value", place, NOWHERE)


def question_marks(spec: Spec) -> Mistakes:
    """What drafts call what is not known."""
    for loc, _ in paths(spec):
        yield _at("source '?'", "invalid-name", (*loc, "from"), "?")
    for loc, unit, _ in slots(spec):
        told = Told("invalid-name", loc)
        yield Mistake("unit '?'", (loc,), (told,), rename(*loc, unit, "?"))
        yield _at("unit '?' alone", "invalid-name", loc, "?")


def wrong_sources(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _at("wrong source", "wrong-type", (*loc, "from"), 5)


def missing_sources(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _gone("missing source", (*loc, "from"))


def missing_ops(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _gone("missing ops", (*loc, "ops"))


def no_ops(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _at("no ops", "wrong-length", (*loc, "ops"), [])


def wrong_paths(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _at("wrong path", "wrong-type", loc, 3)


def unknown_keys_of_paths(spec: Spec) -> Mistakes:
    for loc, _ in paths(spec):
        yield _new("unknown key of a path", "unknown-key", (*loc, NOWHERE), 1)


def unused_paths(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        new = (*loc, "paths", "spare")
        path = {"from": unit.get("inputs", ["x"])[0], "ops": ["relu"]}
        needs = [(*loc, "paths", name, "from") for name in unit["paths"]]
        yield _new("unused path", "unused-path", new, path, *needs)


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
        first, *others = _chain(spec, loc) or [None]
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
        yield _new("unknown key of a unit", "unknown-key", (*loc, NOWHERE), [1])


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
        yield _gone("missing paths", (*loc, "paths"))


def missing_outs(spec: Spec) -> Mistakes:
    for loc, unit in units(spec):
        if "outputs" in unit:
            continue
        told = Told("missing-output", loc, at_key=True)
        change = rename(*loc, "paths", "out", "total")
        yield Mistake("missing out", ((*loc, "paths"),), (told,), change)


def wrong_units(spec: Spec) -> Mistakes:
    for loc, _ in units(spec):
        yield _at("wrong unit", "wrong-type", loc, [1])


def unused_units(spec: Spec) -> Mistakes:
    unit = {"paths": {"out": {"from": "x", "ops": ["relu"]}}}
    needs: tuple[Loc, ...] = (*(loc for loc, _ in units(spec)), ("network", "stages"))
    yield _new("unused unit", "unused-unit", ("units", "spare"), unit, *needs)


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
        yield _at("wrong title", "wrong-type", (*loc, "title"), 5)


# --- stages -----------------------------------------------------------------------------


def unknown_units(spec: Spec) -> Mistakes:
    for loc, unit, _ in slots(spec):
        told = Told("unknown-unit", (*loc, NOWHERE), at_key=True)
        yield Mistake("unknown unit", (loc,), (told,), rename(*loc, unit, NOWHERE))


def unknown_arguments(spec: Spec) -> Mistakes:
    for loc, unit, args in slots(spec):
        change = put(*loc, unit, args | {NOWHERE: 1})
        told = Told("unknown-argument", (*loc, unit, NOWHERE), at_key=True)
        needs: tuple[Loc, ...] = (("units", unit, "params"),)
        yield Mistake("unknown argument", (loc,), (told,), change, needs)


def missing_arguments(spec: Spec) -> Mistakes:
    for loc, unit, args in slots(spec):
        for name in args:
            if name in spec["units"][unit].get("params", []):
                told = Told("missing-argument", (*loc, unit), at_key=True)
                change = drop(*loc, unit, name)
                needs: tuple[Loc, ...] = (("units", unit, "params"),)
                yield Mistake("missing argument", (loc,), (told,), change, needs)


def wrong_arguments(spec: Spec) -> Mistakes:
    for loc, unit, args in slots(spec):
        for name in args:
            place = (*loc, unit, name)
            told = Told("wrong-type", place)
            yield Mistake("no argument", (loc,), (told,), put(*place, NO_VALUE))


def wrong_repeats(spec: Spec) -> Mistakes:
    for loc, _, _ in slots(spec):
        told = Told("invalid-number", (*loc, "repeat"))
        yield Mistake("wrong repeat", (loc,), (told,), put(*loc, "repeat", 0))


def wrong_slots(spec: Spec) -> Mistakes:
    for loc, _, _ in slots(spec):
        yield _at("number as unit", "wrong-form", loc, 7)
        change = put(*loc, NOWHERE, 3)
        yield Mistake("two units", (loc,), (Told("wrong-form", loc),), change)


def empty_stages(spec: Spec) -> Mistakes:
    for loc, stage in stages(spec):
        place = loc if isinstance(stage, list) else (*loc, "units")
        yield _at("empty stage", "wrong-length", place, [])


# --- the network ------------------------------------------------------------------------


def wrong_inputs(spec: Spec) -> Mistakes:
    place: Loc = ("network", "input")
    for i in range(3):
        told = Told("invalid-number", (*place, i))
        yield Mistake("wrong side", (place,), (told,), put(*place, i, 0))
    yield _at("input of a batch", "wrong-length", place, [1, 3, 32, 32])
    yield _at("wrong input", "wrong-type", place, 3)


def network_keys(spec: Spec) -> Mistakes:
    yield _new("unknown key of the network", "unknown-key", ("network", NOWHERE), 1)
    for key in (
        "input",
        "stages",
        *(["head"] if "outputs" not in spec["network"] else []),
    ):
        yield _gone(f"missing {key}", ("network", key))
    for key in ("stem", "head", "stages", "params"):
        if key in spec["network"]:
            yield _at(f"wrong {key}", "wrong-type", ("network", key), 3)
    if "stem" in spec["network"]:
        told = Told("unknown-key", ("network", "stme"), at_key=True)
        change = rename("network", "stem", "stme")
        yield Mistake("misspelt stem", (("network", "stem"),), (told,), change)


def network_params(spec: Spec) -> Mistakes:
    params: Loc = ("network", "params")
    for name in spec["network"]["params"]:
        yield _at("no value of the network", "wrong-type", (*params, name), NO_VALUE)
        told = Told("unknown-parameter", (*params, name))
        change = put(*params, name, f"{NOWHERE} + 1")
        yield Mistake(
            "unknown parameter of the network",
            ((*params, name),),
            (told,),
            change,
        )
    yield _new(
        "unused parameter of the network", "unused-parameter", (*params, "spare"), 1
    )


def late_params(spec: Spec) -> Mistakes:
    for name, value in spec["network"]["params"].items():
        if isinstance(value, str):
            told = Told("used-before-definition", ("network", "params", name))

            def change(data: Spec, name: str = name) -> None:
                written = data["network"]["params"]
                first = {name: written.pop(name)}
                data["network"]["params"] = first | written

            touched: tuple[Loc, ...] = (("network", "params"),)
            yield Mistake("late parameter", touched, (told,), change)


# --- networks, training, the file -------------------------------------------------------


def wrong_networks(spec: Spec) -> Mistakes:
    for name, given in spec.get("networks", {}).items():
        place: Loc = ("networks", name)
        yield _new(
            "unknown parameter of a network",
            "unknown-parameter",
            (*place, NOWHERE),
            1,
            ("network", "params"),
        )
        for key in given:
            yield _at("no value of a network", "wrong-type", (*place, key), NO_VALUE)
            yield _at(
                "open value of a network", "not-constant", (*place, key), "classes + 1"
            )
        told = Told("invalid-name", ("networks", "import"), at_key=True)
        change = rename(*place, "import")
        yield Mistake("refused network", (("networks",),), (told,), change)
        yield _at("wrong network", "wrong-type", place, 5)


def wrong_training(spec: Spec) -> Mistakes:
    train = spec.get("train", {})
    for key, value, code in (
        ("lr", -1, "invalid-number"),
        ("batch", "classes", "not-constant"),
        ("flip", 1, "wrong-type"),
        ("milestones", 3, "wrong-type"),
        ("recipe", "he2015", "unknown-choice"),
        ("itrations", 1, "unknown-key"),
        ("learning_rate", 0.1, "unknown-key"),
        ("eps", 1e-8, "unknown-key"),
        ("optimizer", "lamb", "unknown-choice"),
        ("schedule", {"cyclic": {}}, "unknown-choice"),
        ("ema", 1, "invalid-number"),
        ("ema_start", 5, "invalid-number"),
    ):
        change = put("train", train | {key: value})
        told = Told(code, ("train", key), at_key=code == "unknown-key")
        yield Mistake(f"train: {key}", (("train",),), (told,), change)
    yield _at("wrong train", "wrong-type", ("train",), 3)


def wrong_roots(spec: Spec) -> Mistakes:
    yield _at("wrong version", "unknown-choice", ("resgraph",), 2)
    yield _at("wrong title of the spec", "invalid-title", ("title",), "")
    yield _new("unknown key of the spec", "unknown-key", (NOWHERE,), 1)


# --- YAML -------------------------------------------------------------------------------


def twins(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name, value in op.given.items():
            twin = (*op.inside, f"{name}\0twin")
            told = Told("duplicate-key", twin, at_key=True)
            yield Mistake("attribute twice", (op.loc,), (told,), put(*twin, value))
    for loc, path in paths(spec):
        for place, value in ((loc, path), ((*loc, "from"), path["from"])):
            twin = (*place[:-1], f"{place[-1]}\0twin")
            told = Told("duplicate-key", twin, at_key=True)
            yield Mistake(
                "path or source twice", (loc[:-1],), (told,), put(*twin, value)
            )


def tags(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name in op.given:
            told = Told("unsupported-yaml", (*op.inside, name))
            change = put(*op.inside, name, Raw("!!python/name:x 1"))
            yield Mistake("tag", (op.loc,), (told,), change)
    for loc, _ in paths(spec):
        yield _at("alias of nothing", "invalid-yaml", (*loc, "from"), Raw("*nowhere"))


# --- shapes -----------------------------------------------------------------------------


def _deps(spec: Spec, op: OpPlace) -> tuple[Loc, ...]:
    """What must be right for a finding of shapes at an op: its unit's arguments, and that
    a stage names it at all."""
    if [*uses(spec)]:
        return (("network",), ("units",))
    if op.loc[0] == "network":
        return (("network", "params"),)
    unit = str(op.loc[1])
    return (("network", "params"), ("network", "stages"), ("units", unit, "params"))


def even_kernels(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.kind == "conv" and not {"padding", "dilation"} & op.given.keys():
            told = Told("invalid-attribute", (*op.inside, "kernel"))
            change = put(*op.inside, "kernel", 4)
            yield Mistake("even kernel", (op.loc,), (told,), change, _deps(spec, op))


def wrong_groups(spec: Spec) -> Mistakes:
    for op in ops(spec):
        if op.kind == "conv":
            told = Told("invalid-attribute", (*op.inside, "groups"))
            change = put(*op.inside, "groups", 1009)
            yield Mistake("wrong groups", (op.loc,), (told,), change, _deps(spec, op))


def fractions(spec: Spec) -> Mistakes:
    for op in ops(spec):
        for name, value in op.given.items():
            if name in ("channels", "features") and isinstance(value, str):
                told = Told("invalid-number", (*op.inside, name))
                change = put(*op.inside, name, f"({value}) / 1009")
                yield Mistake(
                    "no whole number", (op.loc,), (told,), change, _deps(spec, op)
                )


def mismatches(spec: Spec) -> Mistakes:
    """A unit's last convolution before an addition makes one channel more."""
    for loc, unit in units(spec):
        for name in unit["paths"]:
            convs = [
                op for op in _chain(spec, (*loc, "paths", name)) if op.kind == "conv"
            ]
            readers = [(k, p) for k, p in unit["paths"].items() if name in sources(p)]
            within = any(u.loc[:4] == (*loc, "paths", name) for u in uses(spec))
            if (
                convs
                and not within
                and len(readers) == 1
                and readers[0][1]["ops"][0] == "add"
            ):
                op = convs[-1]
                merge = (*loc, "paths", readers[0][0], "ops", 0)
                change = put(*op.inside, "channels", f"({op.given['channels']}) + 1")
                needs: tuple[Loc, ...] = (("units",), ("network",))
                told = Told("shape-mismatch", merge)
                yield Mistake(
                    "channel mismatch", (op.loc, merge), (told,), change, needs
                )


def _chain(spec: Spec, loc: Loc) -> list[OpPlace]:
    return [op for op in ops(spec) if op.loc[:4] == loc]


def wrong_ends(spec: Spec) -> Mistakes:
    if "outputs" in spec["network"]:
        return
    last = [op for op in ops(spec) if op.loc[:2] == ("network", "head")][-1]
    told = Told("wrong-output", last.loc)
    needs: tuple[Loc, ...] = (("network", "params", "classes"), ("network", "head"))
    change = put(*last.inside, "features", "classes + 1")
    yield Mistake("wrong logits", (last.loc,), (told,), change, needs[:1])
    pools = [
        op
        for op in ops(spec)
        if op.kind == "global_avg_pool" and op.loc[0] == "network"
    ]
    for op in pools:
        told = Told("wrong-rank", (*op.loc[:-1], op.index + 1))
        yield Mistake("linear on a map", (op.loc[:-1],), (told,), put(*op.loc, "bn"))


KINDS = [
    value
    for name, value in list(globals().items())
    if callable(value)
    and not name.startswith("_")
    and getattr(value, "__module__", "") == __name__
    and value.__annotations__.get("return") == "Mistakes"
]


def every_mistake(spec: Spec) -> list[Mistake]:
    """One per kind and place."""
    return [mistake for kind in KINDS for mistake in kind(spec)]
