"""Specs as trees: valid ones changed at random, and written as YAML again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.fuzz.target import Outcome, Target

BASES = (
    *sorted((ROOT / "tests" / "specs").glob("*.yaml")),
    *sorted((ROOT / "tests" / "specs" / "nested").glob("*.yaml")),
    *sorted((ROOT / "tests" / "specs" / "field").glob("*.yaml")),
    *sorted((ROOT / "specs").glob("preact_*.yaml")),
)
NUMBERS: tuple[Any, ...] = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 16, 26, 1.0, 0.5, 1 / 3, -1, 1e-9, 1e-300, 0.00002),
    *(10**6, 10**9, 10**15, 10**16, 1e308, 2.5, True, None, "width", "stride", "n"),
    *("4 * width", "width / 4", "(k - 1) / 2", "stride / stride", "1 / 3", "1 - 1"),
    *("width // 3", "width % 3", "-width", "+8", "in_channels", "x", "growth + growth"),
    *(
        "1e400",
        "2 ** 9",
        "((((1))))",
        "0.1 * 10",
        "1 / 0",
        "classes",
        "depth",
        "16 / 3",
    ),
)
NAMES = (
    *(
        "F",
        "h",
        "out",
        "x",
        "a",
        "g",
        "RECIPE",
        "DIGEST",
        "none",
        "true",
        "type",
        "range",
    ),
    *(
        "in_channels",
        "in_channels_pool",
        "self",
        "forward",
        "conv1",
        "bn",
        "Tensor",
        "nn",
    ),
    *("OptionA", "functional", "torch", "stage1", "head", "stem", "repeat", "module"),
    *("a" * 48, "a" * 49, "a_1", "a1", "A", "_a", "a_", "a-b", "é", "", "\x1b[2J", "‮"),
    *("channels", "Body", "body", "lambda", "print", "con", "random", "x_1", "b" * 47),
)
OPS: tuple[Any, ...] = (
    *(
        "bn",
        "relu",
        "sigmoid",
        "one_minus",
        "identity",
        "add",
        "mul",
        "concat",
        "flatten",
    ),
    *("global_avg_pool", "gelu", "softmax", "Conv2d", ""),
    {"global_avg_pool": {"keepdim": True}},
    {"conv": {"kernel": 3, "channels": 8}},
    {"conv": {"kernel": 1, "channels": "width", "bias": True, "bias_init": "width"}},
    {"conv": {"kernel": 3, "channels": "2 * width", "groups": "width", "padding": 0}},
    {"conv": {"kernel": 5, "channels": "width", "dilation": 2, "stride": "stride"}},
    {"max_pool": {"kernel": 3, "stride": "stride", "padding": 1}},
    {"avg_pool": {"kernel": 2, "stride": "stride"}},
    {"avg_pool": {"kernel": "stride + 1", "padding": "stride // 2"}},
    {"scale": {"factor": "1 / width"}},
    {"dropout": {"rate": "1 / width"}},
    {"bn": {"eps": "1 / 100000", "momentum": "1 / width"}},
    {"option_a": {"channels": "2 * width", "stride": "stride"}},
    {"linear": {"features": "classes"}},
    {"flatten": None},
    {"relu": []},
    {"conv": 3},
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, "", "x", "~", [], {}, [[]], {"a": {}}, [None], "\x00"),
    *("a" * 5000, "é‮", "../../etc/passwd", list(range(50)), {"x": 1, "y": 2}),
)


class Specs(Target):
    """Changes a tree at one to six places."""

    def __enter__(self) -> Specs:
        from tests.fuzz import judge

        self.judge = judge
        yaml = YAML(typ="safe", pure=True)
        self.trees = {path.stem: yaml.load(path) for path in BASES}
        return self

    def attack(self, random: Random, folder: Path) -> Outcome:
        """One tree, changed."""
        base = random.choice(sorted(self.trees))
        tree = copy.deepcopy(self.trees[base])
        if "networks" in tree and random.random() < 0.8:
            tree["networks"] = dict([random.choice([*tree["networks"].items()])])
        changes = MILD if random.random() < 0.6 else CHANGES
        made = [
            random.choice(changes) for _ in range(random.choice([1, 1, 1, 2, 3, 6]))
        ]
        for change in made:
            change(random, tree)
        path = folder / random.choice(["spec.yaml"] * 9 + ["none.yaml", "9.yaml"])
        path.write_text(written(tree, random), encoding="utf-8", errors="replace")
        return self.judge.judged(made[-1].__name__, path, random)


def written(tree: Any, random: Random) -> str:
    """JSON is YAML; some trees lie flat, some on a line each."""
    return json.dumps(tree, indent=random.choice([None, 1, 2]), ensure_ascii=False)


def target() -> Specs:
    """The target `specs`."""
    return Specs()


# --- places -------------------------------------------------------------------------------


def holders(tree: Any) -> list[Any]:
    """Every list and mapping in the tree."""
    found, pending = [], [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list) and value:
            found.append(value)
            pending += value.values() if isinstance(value, dict) else value
    return found


def keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def lists_of_ops(tree: Any) -> list[list[Any]]:
    network = tree.get("network")
    ends = (
        [network.get(end) for end in ("stem", "head")]
        if isinstance(network, dict)
        else []
    )
    paths = [path.get("ops") for path in all_paths(tree) if isinstance(path, dict)]
    return [ops for ops in (*ends, *paths) if isinstance(ops, list)]


def all_units(tree: Any) -> list[dict[str, Any]]:
    units = tree.get("units")
    found = units.values() if isinstance(units, dict) else []
    return [
        u for u in found if isinstance(u, dict) and isinstance(u.get("paths"), dict)
    ]


def all_paths(tree: Any) -> list[Any]:
    return [path for unit in all_units(tree) for path in unit["paths"].values()]


# --- changes ------------------------------------------------------------------------------


def another_number(random: Random, tree: Any) -> None:
    places = [
        (holder, key)
        for holder in holders(tree)
        for key in keys(holder)
        if isinstance(holder[key], int | float | str)
    ]
    holder, key = random.choice(places)
    holder[key] = random.choice(NUMBERS)


def near_number(random: Random, tree: Any) -> None:
    places = [
        (holder, key)
        for holder in holders(tree)
        for key in keys(holder)
        if isinstance(holder[key], int) and not isinstance(holder[key], bool)
    ]
    if places:
        holder, key = random.choice(places)
        holder[key] = max(0, holder[key] + random.choice([-2, -1, 1, 2, holder[key]]))


def odd_value(random: Random, tree: Any) -> None:
    holder = random.choice(holders(tree))
    holder[random.choice(keys(holder))] = copy.deepcopy(random.choice(ODD))


def gone(random: Random, tree: Any) -> None:
    holder = random.choice(holders(tree))
    if holder is not tree or len(holder) > 2:
        del holder[random.choice(keys(holder))]


def renamed(random: Random, tree: Any) -> None:
    mappings = [h for h in holders(tree) if isinstance(h, dict)]
    holder = random.choice(mappings)
    old, new = random.choice([*holder]), random.choice(NAMES)
    items = [(new if key == old else key, value) for key, value in holder.items()]
    holder.clear()
    holder.update(items)


def renamed_throughout(random: Random, tree: Any) -> None:
    """A parameter, a unit or a path under another name wherever it stands alone."""
    words = [key for h in holders(tree) if isinstance(h, dict) for key in h]
    old, new = random.choice(words), random.choice(NAMES)

    def swap(value: Any) -> Any:
        if isinstance(value, dict):
            return {new if k == old else k: swap(v) for k, v in value.items()}
        if isinstance(value, list):
            return [swap(item) for item in value]
        return new if value == old else value

    made = swap(tree)
    tree.clear()
    tree.update(made)


def an_op_more(random: Random, tree: Any) -> None:
    ops = random.choice(lists_of_ops(tree) or [[]])
    ops.insert(random.randint(0, len(ops)), copy.deepcopy(random.choice(OPS)))


def an_op_named(random: Random, tree: Any) -> None:
    ops = random.choice(lists_of_ops(tree) or [[]])
    if ops:
        i = random.randrange(len(ops))
        kind, given = (
            next(iter(ops[i].items()))
            if isinstance(ops[i], dict) and ops[i]
            else (ops[i], {})
        )
        if isinstance(kind, str) and isinstance(given, dict):
            ops[i] = {kind: {**given, "name": random.choice(NAMES)}}


def moved(random: Random, tree: Any) -> None:
    lists = [h for h in holders(tree) if isinstance(h, list) and len(h) > 1]
    if lists:
        random.shuffle(random.choice(lists))


def a_path_more(random: Random, tree: Any) -> None:
    units = all_units(tree)
    if units:
        paths = random.choice(units)["paths"]
        sources = random.choices([*paths, "x"], k=random.choice([1, 2, 3]))
        merge = random.choice(["add", "mul", "concat"]) if len(sources) > 1 else "relu"
        items = [*paths.items()]
        made = (random.choice(NAMES), {"from": sources, "ops": [merge]})
        items.insert(random.randint(0, len(items)), made)
        paths.clear()
        paths.update(items)


def dense(random: Random, tree: Any) -> None:
    """A unit whose channels are a sum of many terms."""
    count = random.choice([2, 5, 18, 40])
    paths: dict[str, Any] = {}
    values = ["x"]
    for i in range(count):
        conv = {"conv": {"kernel": 1, "channels": random.choice([2, "g", "2 * g"])}}
        merge = [] if len(values) == 1 else ["concat"]
        paths[f"p{i}"] = {"from": [*values], "ops": [*merge, "bn", "relu", conv]}
        values = random.sample([*values, f"p{i}"], k=min(len(values) + 1, 4))
    paths["out"] = {"from": ["x", *paths], "ops": ["concat"]}
    tree.setdefault("units", {})["dense_one"] = {"params": [{"g": 2}], "paths": paths}
    stages = tree.get("network", {})
    if isinstance(stages, dict) and isinstance(stages.get("stages"), list):
        stages["stages"].append([{"dense_one": {}, "repeat": random.choice([1, 2])}])


def parameters(random: Random, tree: Any) -> None:
    """A chain of parameters, each computed from the one before."""
    network = tree.get("network")
    if isinstance(network, dict) and isinstance(network.setdefault("params", {}), dict):
        step = random.choice(["{} * {}", "{} + {}", "{} / 3", "{} - {} + 1", "{} * 1"])
        chain: dict[str, Any] = {"a0": random.choice(["1 / 3", 2, 0.1, 1])}
        for i in range(random.choice([1, 3, 17])):
            chain[f"a{i + 1}"] = step.replace("{}", f"a{i}")
        network["params"] = {**chain, **network["params"]}
        an_op_more(random, tree)


def repeats(random: Random, tree: Any) -> None:
    items = [
        h for h in holders(tree.get("network")) if isinstance(h, dict) and "repeat" in h
    ]
    if items:
        random.choice(items)["repeat"] = random.choice(
            [1, 2, 5, 300, 10**5, 10**9, "n + 1"]
        )


def networks(random: Random, tree: Any) -> None:
    made = {random.choice(NAMES): {} for _ in range(random.choice([1, 2]))}
    tree["networks"] = made


def recipe(random: Random, tree: Any) -> None:
    keys = ("iterations", "batch", "lr", "milestones", "gamma", "momentum", "flip")
    tree["train"] = {
        random.choice(keys): random.choice([*NUMBERS, [1, 2], [30, 60], [2, 1]])
    }


MILD = (
    *(near_number, near_number, an_op_more, an_op_more, an_op_named, moved),
    *(a_path_more, a_path_more, dense, parameters, repeats, networks),
)
"""Changes that often leave a spec valid."""
CHANGES = (*MILD, another_number, odd_value, gone, renamed, renamed_throughout, recipe)
