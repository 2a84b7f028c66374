"""A step of a recipe's optimiser: by torch, and by its formula in plain tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from resgraph.graph import Graph
from resgraph.ops.facts import Role
from resgraph.recipe import AdamW, Recipe, Sgd
from resgraph.train.optimizer import optimizer_for

State = Mapping[str, Mapping[str, Tensor]]
"""What an optimiser keeps: by torch's name of it, of each parameter."""


@dataclass(frozen=True)
class Rule:
    """What a step makes of gradients; the learning rate is the comparison's."""

    recipe: Recipe
    lr: float
    exempt: frozenset[str] = frozenset()
    """The parameters without weight decay."""

    @classmethod
    def of(cls, graph: Graph) -> Rule:
        """A graph's own, at the rate of its warm-up."""
        recipe = Recipe.from_mapping(graph.recipe)
        return cls(recipe, recipe.warmup_lr, frozenset(_exempt(graph, recipe)))

    @property
    def title(self) -> str:
        """What a step is one of."""
        return self.recipe.optimizer.title

    def at(self, lr: float) -> Rule:
        """The same at another learning rate."""
        return replace(self, lr=lr)

    def decay(self, name: str) -> float:
        """The weight decay of a parameter."""
        return 0.0 if name in self.exempt else self.recipe.weight_decay

    def as_dict(self) -> dict[str, Any]:
        """For another process."""
        recipe = self.recipe.as_dict()
        return {"recipe": recipe, "lr": self.lr, "exempt": sorted(self.exempt)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rule:
        """What `as_dict` gave."""
        recipe = Recipe.from_mapping(values["recipe"])
        return cls(recipe, values["lr"], frozenset(values["exempt"]))


def _exempt(graph: Graph, recipe: Recipe) -> Iterator[str]:
    for prefix, instance in graph.parts():
        norms = {node.name for node in instance.steps if node.op.role is Role.NORM}
        for layer, weight in instance.weights:
            bias = "bias" in recipe.no_weight_decay and weight.name == "bias"
            if bias or ("bn" in recipe.no_weight_decay and layer in norms):
                yield f"{prefix}{layer}.{weight.name}"


# --- by torch ---------------------------------------------------------------------------


def torch_step(
    parameters: Mapping[str, nn.Parameter], rule: Rule, state: State, steps: int
) -> None:
    """A step of torch's optimiser from the parameters' gradients, the first after `steps`."""
    if (most := rule.recipe.clip_grad_norm) is not None:
        clip_grad_norm_(parameters.values(), most)
    groups = [
        {"params": [parameter], "weight_decay": rule.decay(name)}
        for name, parameter in parameters.items()
    ]
    optimizer = optimizer_for(groups, rule.recipe, rule.lr)
    for name, parameter in parameters.items() if state else ():
        kept = optimizer.state[parameter]
        for count in rule.recipe.optimizer.counts:
            kept[count] = torch.tensor(float(steps))
        for kind in state:
            kept[kind] = state[kind][name].reshape(parameter.shape).clone()
    optimizer.step()


# --- by formula -------------------------------------------------------------------------


@dataclass
class Stepped:
    """What a step changes: updates of weights, and what the optimiser keeps."""

    updates: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def formula_step(
    gradients: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    rule: Rule,
    state: State,
    steps: int,
) -> Stepped:
    """The same by the optimiser's formula."""
    made, scale = Stepped(), _clipped(gradients, rule.recipe.clip_grad_norm)
    formula = _FORMULAS[type(rule.recipe.optimizer)]
    for name, gradient in gradients.items():
        before = {kind: kept[name] for kind, kept in state.items()}
        g, weight = gradient if scale is None else gradient * scale, weights[name]
        moved, after = formula(rule, rule.decay(name), weight, g, before, steps + 1)
        made.updates[name] = moved - weight
        for kind, tensor in after.items():
            made.state.setdefault(kind, {})[name] = tensor
    return made


def _clipped(gradients: Mapping[str, Tensor], most: float | None) -> Tensor | None:
    """What all gradients are multiplied by; None where they stay."""
    if most is None or not gradients:
        return None
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    return torch.clamp(most / (norm + 1e-6), max=1.0)


_Kept = dict[str, Tensor]


def _sgd(
    rule: Rule, decay: float, weight: Tensor, g: Tensor, kept: _Kept, step: int
) -> tuple[Tensor, _Kept]:
    """g += decay * w; v = momentum * v + g; w -= lr * v, or lr * (g + momentum * v) with
    Nesterov's (the form of torch, Sutskever et al. 2013)."""
    sgd = rule.recipe.optimizer
    assert isinstance(sgd, Sgd)
    g = g.add(weight, alpha=decay)
    v = g + sgd.momentum * kept["momentum_buffer"] if kept else g
    used = g.add(v, alpha=sgd.momentum) if sgd.nesterov else v
    after = {"momentum_buffer": v} if sgd.momentum else {}
    return weight.add(used, alpha=-rule.lr), after


def _adamw(
    rule: Rule, decay: float, weight: Tensor, g: Tensor, kept: _Kept, step: int
) -> tuple[Tensor, _Kept]:
    """w -= lr * decay * w; m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g^2;
    w -= lr * m' / (sqrt(v') + eps), m' and v' over 1 - b^step (Loshchilov, Hutter 2019)."""
    adamw = rule.recipe.optimizer
    assert isinstance(adamw, AdamW)
    b1, b2 = adamw.betas
    m = kept.get("exp_avg", torch.zeros_like(g)).lerp(g, 1 - b1)
    v = kept.get("exp_avg_sq", torch.zeros_like(g)) * b2 + (1 - b2) * g * g
    below = v.sqrt() / (1 - b2**step) ** 0.5 + adamw.eps
    weight = weight * (1 - rule.lr * decay)
    moved = weight.addcdiv(m, below, value=-rule.lr / (1 - b1**step))
    return moved, {"exp_avg": m, "exp_avg_sq": v}


_FORMULAS = {Sgd: _sgd, AdamW: _adamw}
