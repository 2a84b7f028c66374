"""Mistakes in stages, the network, the file and shapes; one per kind and place."""

from __future__ import annotations

from resgraph.spec.tree import Loc
from tests.mistakes import (
    NO_VALUE,
    NOWHERE,
    Mistake,
    Mistakes,
    OpPlace,
    Raw,
    Spec,
    Told,
    at,
    drop,
    gone,
    kinds_of,
    new_key,
    ops,
    ops_of,
    paths,
    put,
    rename,
    slots,
    sources,
    stages,
    units,
    uses,
)

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
        yield at("number as unit", "wrong-form", loc, 7)
        change = put(*loc, NOWHERE, 3)
        yield Mistake("two units", (loc,), (Told("wrong-form", loc),), change)


def empty_stages(spec: Spec) -> Mistakes:
    for loc, stage in stages(spec):
        place = loc if isinstance(stage, list) else (*loc, "units")
        yield at("empty stage", "wrong-length", place, [])


# --- the network ------------------------------------------------------------------------


def wrong_inputs(spec: Spec) -> Mistakes:
    place: Loc = ("network", "input")
    for i in range(3):
        told = Told("invalid-number", (*place, i))
        yield Mistake("wrong side", (place,), (told,), put(*place, i, 0))
    yield at("input of a batch", "wrong-length", place, [1, 3, 32, 32])
    yield at("wrong input", "wrong-type", place, 3)


def network_keys(spec: Spec) -> Mistakes:
    yield new_key("unknown key of the network", "unknown-key", ("network", NOWHERE), 1)
    for key in (
        "input",
        "stages",
        *(["head"] if "outputs" not in spec["network"] else []),
    ):
        yield gone(f"missing {key}", ("network", key))
    for key in ("stem", "head", "stages", "params"):
        if key in spec["network"]:
            yield at(f"wrong {key}", "wrong-type", ("network", key), 3)
    if "stem" in spec["network"]:
        told = Told("unknown-key", ("network", "stme"), at_key=True)
        change = rename("network", "stem", "stme")
        yield Mistake("misspelt stem", (("network", "stem"),), (told,), change)


def network_params(spec: Spec) -> Mistakes:
    params: Loc = ("network", "params")
    for name in spec["network"]["params"]:
        yield at("no value of the network", "wrong-type", (*params, name), NO_VALUE)
        told = Told("unknown-parameter", (*params, name))
        change = put(*params, name, f"{NOWHERE} + 1")
        yield Mistake(
            "unknown parameter of the network",
            ((*params, name),),
            (told,),
            change,
        )
    yield new_key(
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
        yield new_key(
            "unknown parameter of a network",
            "unknown-parameter",
            (*place, NOWHERE),
            1,
            ("network", "params"),
        )
        for key in given:
            yield at("no value of a network", "wrong-type", (*place, key), NO_VALUE)
            yield at(
                "open value of a network", "not-constant", (*place, key), "classes + 1"
            )
        told = Told("invalid-name", ("networks", "import"), at_key=True)
        change = rename(*place, "import")
        yield Mistake("refused network", (("networks",),), (told,), change)
        yield at("wrong network", "wrong-type", place, 5)


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
    yield at("wrong train", "wrong-type", ("train",), 3)


def wrong_roots(spec: Spec) -> Mistakes:
    yield at("wrong version", "unknown-choice", ("resgraph",), 2)
    yield at("wrong title of the spec", "invalid-title", ("title",), "")
    yield new_key("unknown key of the spec", "unknown-key", (NOWHERE,), 1)


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
        yield at("alias of nothing", "invalid-yaml", (*loc, "from"), Raw("*nowhere"))


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
                op for op in ops_of(spec, (*loc, "paths", name)) if op.kind == "conv"
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


KINDS = kinds_of(globals())
