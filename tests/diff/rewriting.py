"""Specs written in another way, and specs with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from resgraph.ops import OPS
from resgraph.ops.fields import NumberField

Draw = Callable[[st.SearchStrategy[Any]], Any]
COMMUTATIVE = {"add", "mul"}
Item = tuple[str, dict[str, Any]]


def items(ops: list[Any]) -> list[Item]:
    """A path's ops as (kind, attributes), however they are written."""
    pairs = [next(iter(o.items())) if isinstance(o, dict) else (o, {}) for o in ops]
    return [(kind, dict(attributes or {})) for kind, attributes in pairs]


def written(pairs: list[Item]) -> list[Any]:
    return [{kind: attributes} for kind, attributes in pairs]


def sources(path: dict[str, Any]) -> list[str]:
    given = path["from"]
    return [given] if isinstance(given, str) else [*given]


def rewritten(spec: dict[str, Any], draw: Draw) -> dict[str, Any]:
    """The same networks: other names and titles, another order, defaults written out."""
    names = {name: f"u{i}_{name[::-1]}" for i, name in enumerate(spec["units"])}
    units = [(names[name], _unit(unit, draw)) for name, unit in spec["units"].items()]
    network = dict(spec["network"])
    network["stages"] = [_stage(stage, names, draw) for stage in network["stages"]]
    for part in ("stem", "head"):
        network[part] = written(
            [_op(i, draw, part) for i in enumerate(items(network[part]))]
        )
    return spec | {
        "title": "Something else",
        "units": dict(draw(st.permutations(units))),
        "network": network,
        "networks": {f"n{i}": v for i, v in enumerate(spec["networks"].values())},
    }


def _stage(stage: list[Any], names: dict[str, str], draw: Draw) -> list[Any]:
    slots = []
    for slot in stage:
        (unit,) = slot.keys() & names.keys()
        rest = {names[unit]: slot[unit]}
        if "repeat" not in slot:
            slots.append(rest)
        elif draw(st.booleans()):
            slots += [rest, rest | {"repeat": f"({slot['repeat']}) - 1"}]
        else:
            slots.append(rest | {"repeat": f"2 * ({slot['repeat']}) / 2"})
    return slots


def _unit(unit: dict[str, Any], draw: Draw) -> dict[str, Any]:
    paths = dict(unit["paths"])
    names = {n: n if n == "out" else f"p{i}_{n}" for i, n in enumerate(paths)}
    names["x"] = "x"
    made: dict[str, Any] = {}
    left = [*paths]
    while left:
        ready = [n for n in left if {*sources(paths[n])} <= {"x", *paths} - {*left}]
        name = draw(st.sampled_from(ready))
        left.remove(name)
        pairs = [
            _op(i, draw, names[name]) for i in enumerate(items(paths[name]["ops"]))
        ]
        read = [names[s] for s in sources(paths[name])]
        if pairs[0][0] in COMMUTATIVE:
            read = draw(st.permutations(read))
        made[names[name]] = {"from": read, "ops": written(pairs)}
    return {"params": unit.get("params", []), "paths": made}


def _op(numbered: tuple[int, Item], draw: Draw, path: str) -> Item:
    number, (kind, attributes) = numbered
    made = dict(attributes)
    for name, field in OPS[kind].model_fields.items():
        absent = name not in made and not field.is_required()
        if absent and field.default is not None and draw(st.booleans()):
            made[name] = field.default
    if "padding" in OPS[kind].model_fields and kind == "conv" and draw(st.booleans()):
        made.setdefault("padding", f"({made['kernel']} - 1) / 2")
    for name, field in OPS[kind].numbers().items():
        if name in made and isinstance(field, NumberField) and draw(st.booleans()):
            made[name] = f"({made[name]}) * 3 / 3"
    if draw(st.booleans()):
        made["name"] = f"layer_{path}_{number}"
    return kind, made


def mutations(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Specs that differ in one thing, each with what it is; some do not compile."""
    for unit, parts in spec["units"].items():
        for path, chain in parts["paths"].items():
            loc = (unit, path)
            pairs = items(chain["ops"])
            for i, (kind, attributes) in enumerate(pairs):
                at = f"{unit}.{path}[{i}] {kind}"
                yield f"{at} removed", _with(spec, loc, pairs[:i] + pairs[i + 1 :])
                for new in ("relu", "bn", "sigmoid"):
                    more = [*pairs[: i + 1], (new, {}), *pairs[i + 1 :]]
                    yield f"{new} after {at}", _with(spec, loc, more)
                if i and pairs[i - 1] != pairs[i]:
                    swapped = [*pairs]
                    swapped[i - 1 : i + 1] = pairs[i], pairs[i - 1]
                    yield f"{at} swapped", _with(spec, loc, swapped)
                for name, value in _other_attributes(kind, attributes):
                    changed = [*pairs]
                    changed[i] = (kind, attributes | {name: value})
                    yield f"{at} with {name} {value}", _with(spec, loc, changed)


def _other_attributes(
    kind: str, attributes: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    if kind == "conv":
        yield "kernel", 5
        yield "bias", not attributes.get("bias", False)
        yield "groups", 2
        yield "dilation", 2
    if kind == "bn":
        yield "eps", 0.001
        yield "momentum", 0.5


def _with(
    spec: dict[str, Any], loc: tuple[str, str], pairs: list[Item]
) -> dict[str, Any]:
    unit, path = loc
    old = spec["units"][unit]
    chain = old["paths"][path] | {"ops": written(pairs)}
    units = spec["units"] | {unit: old | {"paths": old["paths"] | {path: chain}}}
    return spec | {"units": units}
