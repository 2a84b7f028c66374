"""Random programs of the spec language: blocks within blocks, as texts that compile.

Shapes are kept track of while a program is drawn, so that no draw is in vain. What one may
write is in a program by chance: units in units, in rows, under conditions, with several
inputs and outputs, parameters that are ops, lists or words, positions, skips between stages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from hypothesis import strategies as st

Draw = Callable[..., Any]
Ops = list[Any]
Shape = tuple[int, int, int]

_PLAIN: tuple[Any, ...] = (
    "bn",
    "relu",
    "sigmoid",
    "one_minus",
    "identity",
    {"scale": {"factor": -0.5}},
    {"dropout": {"rate": 0.25}},
    {"conv": {"kernel": 3, "channels": "in"}},
    {"conv": {"kernel": 1, "channels": "in", "bias": True}},
    {"conv": {"kernel": 3, "channels": "in", "groups": "in", "dilation": 2}},
    {"max_pool": {"kernel": 3, "stride": 1, "padding": 1}},
    {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
)
"""Ops that keep a map's shape; `in` is that of the unit, which they keep as well."""
_PLACED: tuple[Any, ...] = (
    {"scale": {"factor": "(index + 1) / total"}},
    {"scale": {"factor": "1 / (stage + 1)"}, "when": "index == 0"},
    {"dropout": {"rate": "index / total"}},
    {"bn": None, "when": "index > 0"},
    {"scale": {"factor": "by"}},
    {"scale": {"factor": "1 / ws[index % 2]"}},
)
"""Ops that ask where in the network they stand; `by` and `ws` are defaults that do."""
_ACTS: tuple[Any, ...] = (
    *("relu", "sigmoid", "identity"),
    {"scale": {"factor": 0.5}},
    {"dropout": {"rate": 0.5}},
)


@dataclass
class _Units:
    """The units so far; those in `keep` make of any map one of its shape."""

    draw: Draw
    made: dict[str, Any] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)

    def chain(self, least: int, most: int) -> Ops:
        """Ops, and uses of units, that keep the shape."""
        return [self._item() for _ in range(self.draw(st.integers(least, most)))]

    def _item(self) -> Any:
        kind = self.draw(st.sampled_from(["plain", "plain", "act", "placed", "unit"]))
        if kind == "act":
            return "act"
        if kind == "unit" and self.keep:
            return self._use()
        return self.draw(st.sampled_from(_PLACED if kind == "placed" else _PLAIN))

    def _use(self) -> Any:
        name = self.draw(st.sampled_from(self.keep))
        item: dict[str, Any] = {name: self._arguments(name)}
        if self.draw(st.booleans()):
            item["repeat"] = self.draw(st.sampled_from([1, 2, 3, "index + 1"]))
        if self.draw(st.integers(0, 3)) == 0:
            item["when"] = self.draw(st.sampled_from(_WHEN))
        return item

    def _arguments(self, name: str) -> dict[str, Any]:
        given: dict[str, Any] = {}
        known = self.params(name)
        if "act" in known and self.draw(st.booleans()):
            given["act"] = self.draw(st.sampled_from([*_ACTS, "act"]))
        if "on" in known and self.draw(st.booleans()):
            given["on"] = self.draw(st.sampled_from([True, False, "on"]))
        if "hidden" in known and self.draw(st.booleans()):
            key = self.draw(st.sampled_from(["ratio", "hidden"]))
            given[key] = self.draw(st.sampled_from([1, 2]))
        return given

    def add(self, name: str, paths: dict[str, Any], **more: Any) -> str:
        """A unit that keeps shapes, which later ones may use."""
        params = [{"act": "relu"}] if mentions(paths, "act") else []
        params += [{"on": True}] if mentions(paths, "on") else []
        params += [{"by": "(index + 1) / total"}] if mentions(paths, "by") else []
        params += [{"ws": ["in", "index + 1"]}] if mentions(paths, "ws") else []
        params += [*_HIDDEN] if mentions(paths, "hidden") else []
        self.made[name] = {"params": params, **more, "paths": paths}
        return name

    def params(self, name: str) -> set[str]:
        """The parameters of a unit that keeps shapes: one that nothing reads is refused."""
        return {key for param in self.made[name]["params"] for key in param}

    def keeping(self, number: int) -> None:
        """A unit of one input and one output: a residual one, or a gate."""
        name = f"keep{number}"
        branch = {"from": "x", "ops": [*self.chain(1, 4), _USES_BOTH]}
        if self.draw(st.integers(0, 3)) == 0:
            narrow = self.draw(st.sampled_from([_NARROW, _BY_DEFAULT]))
            gate = [{"global_avg_pool": {"keepdim": True}}, narrow, "relu", _WIDE]
            paths = {"gate": {"from": "x", "ops": [*gate, "sigmoid", _USES_BOTH]}}
            paths |= {"out": {"from": ["x", "gate"], "ops": ["mul"]}}
        else:
            merge = self.draw(st.sampled_from(["add", "mul"]))
            branch["ops"] += ["sigmoid"] if merge == "mul" else []
            first = {merge: {}, **self.draw(st.sampled_from([{}, {"when": "in > 5"}]))}
            paths = {"F": branch, "out": {"from": ["x", "F"], "ops": [first]}}
            if self.draw(st.booleans()):
                short = {"from": "x", "ops": self.chain(1, 2), "when": "in > 4"}
                paths = {"h": short, **paths}
                paths["out"] = {"from": ["h", "F"], "ops": [merge, *self.chain(0, 2)]}
        self.keep.append(self.add(name, paths))

    def several(self) -> None:
        """Units of two values; `crossed` uses them within one of one value."""
        a, b = ({"from": "x", "ops": [*self.chain(1, 3), _USES_BOTH]} for _ in "ab")
        self.add("pair", {"a": a, "b": b}, outputs=["a", "b"])
        low = {"from": "left", "ops": self.chain(1, 2)}
        both = {"from": ["low", "right"], "ops": ["add", _USES_BOTH, *self.chain(0, 1)]}
        outputs = {"one": "both", "other": "low"}
        inputs = ["left", "right"]
        self.add("cross", {"low": low, "both": both}, inputs=inputs, outputs=outputs)
        repeat = {"repeat": self.draw(st.integers(1, 3))}
        paths = {
            "s": {"from": "x", "ops": ["pair"]},
            "t": {
                "from": ["s.b", "s.a"],
                "ops": [{"cross": self._arguments("cross"), **repeat}],
            },
            "out": {"from": ["t.other", "t.one"], "ops": ["add", _USES_BOTH]},
        }
        self.keep.append(self.add("crossed", paths))

    def turning(self) -> None:
        """A unit that changes width and size, entry and body in one."""
        conv = {"conv": {"kernel": 3, "channels": "width", "stride": "stride"}}
        short = {"conv": {"kernel": 1, "channels": "width", "stride": "stride"}}
        paths = {
            "h": {"from": "x", "ops": [short], "when": "stride != 1 or in != width"},
            "F": {"from": "x", "ops": ["bn", "act", conv, *self._wide(1)]},
            "out": {"from": ["h", "F"], "ops": ["add", *self._wide(1)]},
        }
        params = ["width", {"stride": 1}, {"act": "relu"}]
        self.made["turn"] = {"params": params, "paths": paths}

    def _wide(self, most: int) -> Ops:
        """Uses of units that keep the shape, whatever it is."""
        count = self.draw(st.integers(0, most)) if self.keep else 0
        return [{self.draw(st.sampled_from(self.keep)): {}} for _ in range(count)]

    def merging(self) -> None:
        """A unit of two inputs of any width and one output."""
        conv = {"conv": {"kernel": 1, "channels": "width"}}
        ops = ["concat", "bn", "act", conv, *self._wide(1)]
        paths = {"out": {"from": ["below", "skip"], "ops": ops}}
        if self.draw(st.booleans()):
            left, right = ({"from": n, "ops": [conv]} for n in ("below", "skip"))
            same = {"from": "skip", "ops": [conv], "when": "skip.c != width"}
            right = self.draw(st.sampled_from([right, same]))
            paths = {
                "l": left,
                "r": right,
                "out": {"from": ["l", "r"], "ops": ["add", "act"]},
            }
        params = ["width", {"act": "relu"}]
        self.made["merge"] = {
            "params": params,
            "inputs": ["below", "skip"],
            "paths": paths,
        }


_WHEN = ("in > 3", "stage == 0", "not on", "in.h > 4 and not (index == 1 or on)")
_USES_BOTH = {"scale": {"factor": 0.5}, "when": "on"}
_NARROW = {"conv": {"kernel": 1, "channels": "in / 2", "bias": True}}
_BY_DEFAULT = {"conv": {"kernel": 1, "channels": "hidden", "bias": True}}
_HIDDEN: Ops = [{"ratio": 2}, {"hidden": "in / ratio"}]
_WIDE = {"conv": {"kernel": 1, "channels": "in", "bias": True}}


def mentions(part: Any, word: str) -> bool:
    """Whether a value of the tree is the word, or an expression that has it."""
    if isinstance(part, dict):
        return any(mentions(value, word) for value in part.values())
    if isinstance(part, list):
        return any(mentions(item, word) for item in part)
    return isinstance(part, str) and word in re.findall(r"\w+", part)


@dataclass
class _Stages:
    """The stages so far, and the values that they may start from."""

    draw: Draw
    units: _Units
    made: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Shape] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        """A stage from one earlier value, or from two of one size."""
        pairs = [
            [a, b]
            for a, one in self.values.items()
            for b, other in self.values.items()
            if a != b and one[1:] == other[1:]
        ]
        if pairs and self.draw(st.booleans()):
            sources = self.draw(st.sampled_from(pairs))
            width = self.draw(st.sampled_from([2, 4, 6]))
            units: Ops = [{"merge": {"width": width}}]
            shape = (width, *self.values[sources[0]][1:])
        else:
            sources = [self.draw(st.sampled_from([*self.values]))]
            shape, units = self._turned(self.values[sources[0]])
        units += self._kept()
        self.read |= {*sources}
        ends = self.draw(st.integers(0, 3)) == 0
        units += ["pair"] if ends else []
        self.made[name] = {"from": sources, "units": units}
        names = [f"{name}.a", f"{name}.b"] if ends else [name]
        self.values |= dict.fromkeys(names, shape)

    def _turned(self, shape: Shape) -> tuple[Shape, Ops]:
        width = self.draw(st.sampled_from([2, 4, 6]))
        stride = self.draw(st.sampled_from([1, 1, 2])) if min(shape[1:]) > 2 else 1
        act = self.draw(st.sampled_from(_ACTS))
        unit = {"turn": {"width": "widths[0]" if width == 4 else width, "act": act}}
        unit["turn"] |= {"stride": stride} if stride > 1 else {}
        halved = tuple((side + stride - 1) // stride for side in shape[1:])
        return (width, *halved), [unit]

    def _kept(self) -> Ops:
        """Rows of units that keep the shape."""
        found: Ops = []
        for _ in range(self.draw(st.integers(0, 2))):
            name = self.draw(st.sampled_from(self.units.keep))
            act = {"act": self.draw(st.sampled_from(_ACTS))}
            repeat = self.draw(st.sampled_from([1, 2, 3, "depth"]))
            known = self.units.params(name)
            found.append({name: act if "act" in known else {}, "repeat": repeat})
        return found

    @property
    def open(self) -> list[str]:
        """The values that nothing reads yet."""
        return [name for name in self.values if name not in self.read]


@st.composite
def programs(draw: Draw) -> str:
    """The text of a spec whose network compiles."""
    units = _Units(draw)
    for number in range(draw(st.integers(1, 3))):
        units.keeping(number)
    units.several()
    units.turning()
    units.merging()
    size = draw(st.sampled_from([[5, 6], [4, 4], [7, 5]]))
    stages = _Stages(draw, units, values={"stem": (4, *size)})
    for number in range(draw(st.integers(1, 4))):
        stages.add(draw(st.sampled_from([f"c{number}", f"part{number}"])))
    network = _network(draw, stages, [draw(st.sampled_from([1, 3])), *size])
    spec = {
        "resgraph": 1,
        "title": "Drawn by hypothesis",
        "units": _reachable(units.made, stages.made),
        "network": network,
    }
    return str(yaml.dump(spec, Dumper=_Plain, sort_keys=False, default_flow_style=None))


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _network(draw: Draw, stages: _Stages, shape: list[int]) -> dict[str, Any]:
    stem = [
        {"conv": {"kernel": 3, "channels": "widths[0]"}},
        *draw(st.sampled_from([[], ["bn", "relu"]])),
    ]
    network: dict[str, Any] = {
        "params": {"depth": draw(st.integers(1, 3)), "widths": [4, 6]},
        "input": shape,
        "stem": stem,
        "stages": stages.made,
    }
    if not mentions(stages.made, "depth"):
        del network["params"]["depth"]
    left = stages.open
    head = [
        *draw(st.sampled_from([[], ["bn", "relu"]])),
        "global_avg_pool",
        {"linear": {"features": 3}},
    ]
    if len(left) == 1 and draw(st.booleans()):
        return network | {"head": head}
    network["outputs"] = {f"p{i}": value for i, value in enumerate(left)}
    if draw(st.booleans()):
        chosen = draw(st.sampled_from(left))
        network["head"] = {"from": chosen, "ops": head}
        network["outputs"] |= {"classes": "head"}
    if draw(st.integers(0, 3)) == 0:
        network["outputs"] |= {"early": "stem"}
    return network


def _reachable(units: dict[str, Any], stages: dict[str, Any]) -> dict[str, Any]:
    """The units that something uses, since the others are refused."""
    found: set[str] = set()
    left = [*_used(stages, units)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _used(units[name]["paths"], units)
    return {name: unit for name, unit in units.items() if name in found}


def _used(part: Any, units: dict[str, Any]) -> set[str]:
    if isinstance(part, dict):
        inside = set().union(*(_used(value, units) for value in part.values()), set())
        return inside | ({*part} & {*units})
    if isinstance(part, list):
        return set().union(*(_used(item, units) for item in part), set())
    return {part} & {*units} if isinstance(part, str) else set()
