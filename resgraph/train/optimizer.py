"""How a step changes weights: the optimiser, parts trained otherwise, a running average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resgraph.diagnostics import OptionError, did_you_mean, plain, plural
from resgraph.recipe import AdamW, Recipe, Sgd

Groups = list[dict[str, Any]]
"""Parameters with options of their own, as torch's optimisers take them."""


def parameter_groups(network: nn.Module, recipe: Recipe) -> Groups:
    """The parameters, those without weight decay apart from the rest."""
    exempt = {id(p) for p in _exempt(network, recipe.no_weight_decay)}
    decayed = [p for p in network.parameters() if id(p) not in exempt]
    rest = [p for p in network.parameters() if id(p) in exempt]
    parts = ((decayed, recipe.weight_decay), (rest, 0.0))
    return [{"params": part, "weight_decay": decay} for part, decay in parts if part]


def _exempt(network: nn.Module, kinds: Iterable[str]) -> Iterator[nn.Parameter]:
    """The parameters of BN, or those that are called bias."""
    for module in network.modules():
        norm = isinstance(module, _BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            if ("bn" in kinds and norm) or ("bias" in kinds and name == "bias"):
                yield parameter


def optimizer_for(
    parameters: Groups,
    recipe: Recipe,
    lr: float | Tensor,
    fused: bool | None = None,
    graphed: bool = False,
) -> torch.optim.Optimizer:
    """torch's optimiser of a recipe; `graphed` for steps that a CUDA graph records.

    `fused` None lets torch choose.
    """
    chosen = recipe.optimizer
    fields: dict[str, Any] = {**chosen.as_dict(), "lr": lr, "fused": fused}
    match chosen:
        case Sgd():
            return torch.optim.SGD(parameters, **fields)
        case AdamW():
            return torch.optim.AdamW(parameters, **fields, capturable=graphed)
    raise ValueError(f"torch has no {chosen.kind} here")


def state_tensors(optimizer: torch.optim.Optimizer, recipe: Recipe) -> list[Tensor]:
    """All that the optimiser keeps of its parameters, made where it is not there yet.

    Before its first step torch has nothing; the zeros that are made here come to the same.
    """
    return [
        kept
        for group in optimizer.param_groups
        for parameter in group["params"]
        for kept in _state(optimizer, recipe, parameter)
    ]


def _state(
    optimizer: torch.optim.Optimizer, recipe: Recipe, parameter: Tensor
) -> Iterator[Tensor]:
    state = optimizer.state[parameter]
    for name in recipe.optimizer.counts:
        if name not in state:
            state[name] = torch.zeros((), device=parameter.device)
        yield state[name]
    for name in recipe.optimizer.moments:
        if state.get(name) is None:
            state[name] = torch.zeros_like(parameter)
        yield state[name]


# --- parts of a network: frozen, or trained at another rate ---------------------------
# A pattern is a name of the state_dict or of a module, in which `*` stands for anything, dots
# as well, and `?` for one character: `stage1`, `*.bn*`, `linear.weight`. What a module holds
# belongs to it.


@dataclass(frozen=True)
class Parts:
    """Which tensors of a network are not trained, and factors on the rate of others."""

    frozen: frozenset[str] = frozenset()
    """Names of parameters."""
    norms: tuple[str, ...] = ()
    """The BNs none of whose parameters is trained: their statistics are not moved either."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """By the name of a parameter that is trained; 1 for all others."""
    words: str = ""
    """The same for the user; empty where there is no such part."""

    def freeze(self, network: nn.Module) -> None:
        """Let the frozen tensors be no one's to train, however the network is used."""
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        for name in self.norms:
            _keep_at_inference(network.get_submodule(name))

    def of(
        self,
        groups: Iterable[Mapping[str, Any]],
        network: nn.Module,
        lr: float | Tensor,
    ) -> list[dict[str, Any]]:
        """An optimiser's groups of what is trained: those given, apart for each factor.

        Each has its `lr_factor` on the recipe's rate `lr`, and a rate of its own.
        """
        names = {id(p): name for name, p in network.named_parameters()}
        made = []
        for group in groups:
            apart: dict[float, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if (name := names[id(parameter)]) not in self.frozen:
                    factor = self.factors.get(name, 1.0)
                    apart.setdefault(factor, []).append(parameter)
            for factor, parameters in apart.items():
                own = {"params": parameters, "lr": lr * factor, "lr_factor": factor}
                made.append({**group, **own})
        return made


WHOLE = Parts()
"""All of the network, alike."""


def parts_of(
    network: nn.Module, freeze: Iterable[str], lr_of: Mapping[str, float]
) -> Parts:
    """The parts that the patterns name; of several that fit, the last one's factor counts.

    Raises `OptionError` for a pattern that fits nothing, for a factor out of range, and
    where nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    patterns = [*freeze]
    frozen = frozenset(_matched(network, names, patterns, "freeze"))
    if len(frozen) == len(names):
        raise OptionError("freeze", "leaves nothing to train", "name less")
    factors: dict[str, float] = {}
    for pattern, factor in lr_of.items():
        found = set(_matched(network, names, [pattern], "lr_of"))
        if not found - frozen:
            raise OptionError("lr_of", f"{pattern!r} fits only what is frozen")
        factors |= dict.fromkeys(sorted(found - frozen), factor)
    norms = tuple(_still(network, frozen, patterns))
    return Parts(frozen, norms, factors, _words(names, frozen, norms, lr_of))


def check_factors(lr_of: Mapping[str, float]) -> None:
    """Raise `OptionError` for a factor that is no number above 0."""
    for pattern, factor in lr_of.items():
        if not 0 < factor <= 1e6:
            what = (
                f"{pattern}={factor}: the factor must be above 0, and at most a million"
            )
            raise OptionError("lr_of", what, f"--freeze {pattern} trains it not at all")


def _matched(
    network: nn.Module, names: list[str], patterns: Iterable[str], option: str
) -> Iterator[str]:
    """The parameters that the patterns fit, which all must fit some."""
    for pattern in patterns:
        found = [name for name in names if _fits(name, pattern)]
        if not found:
            known = {inside for name in names for inside in _prefixes(name)}
            tops = ", ".join(plain(name) for name, _ in network.named_children())
            hint = did_you_mean(pattern, known) or f"the network's parts are {tops}"
            raise OptionError(option, f"{plain(pattern)!r} fits no parameter", hint)
        yield from found


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatchcase(part, pattern) for part in _prefixes(name))


def _prefixes(name: str) -> list[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`: the modules that hold it, and itself."""
    words = name.split(".")
    return [".".join(words[: i + 1]) for i in range(len(words))]


def patterns_of(chosen: Iterable[str], names: Iterable[str]) -> list[str]:
    """The fewest modules, or else parameters, that hold just the chosen of the names."""
    chosen = dict.fromkeys(chosen)
    others = {inside for n in names if n not in chosen for inside in _prefixes(n)}
    alone = (next(p for p in _prefixes(n) if p not in others) for n in chosen)
    return [*dict.fromkeys(alone)]


def _still(
    network: nn.Module, frozen: frozenset[str], patterns: list[str]
) -> Iterator[str]:
    """The names of the BNs that are frozen: by all of their parameters, or themselves."""
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            own = [f"{name}.{inside}" for inside, _ in module.named_parameters()]
            if frozen.issuperset(own) if own else any(_fits(name, p) for p in patterns):
                yield name


def _keep_at_inference(norm: nn.Module) -> None:
    """Let a BN use its running statistics, and leave them, whatever mode the network is in.

    `network.train()` asks each module, and this one answers for itself alone.
    """
    norm.eval()
    vars(norm)["train"] = lambda mode=True: norm


def _words(
    names: list[str],
    frozen: frozenset[str],
    norms: tuple[str, ...],
    lr_of: Mapping[str, float],
) -> str:
    said = []
    if frozen:
        kept = (
            f", and the statistics of {len(norms)} {plural(len(norms), 'BN')}"
            if norms
            else ""
        )
        parameters = plural(len(names), "parameter")
        said.append(f"{len(frozen)} of {len(names)} {parameters} frozen{kept}")
    said += [
        f"{plain(pattern)} at {factor:g} x the rate"
        for pattern, factor in lr_of.items()
    ]
    return ", ".join(said)


# --- a running average of the weights -------------------------------------------------
# Each step takes the average a share of `1 - decay` towards the weights. It starts from zeros and
# is divided by the share that it has taken in, so that it is a weighted mean of the weights of the
# steps alone (the correction of Adam's averages), and no step has another share than the next.


class Average:
    """The average of a network's parameters and of BN's running statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._names = [n for n, t in _named(network) if t.is_floating_point()]
        own = dict(_named(network))
        self._live = [own[name].detach() for name in self._names]
        self.tensors = [torch.zeros_like(tensor) for tensor in self._live]

    @torch.no_grad()
    def add(self) -> None:
        """Take in the weights as they are: one kernel over many, in place."""
        torch._foreach_lerp_(self.tensors, self._live, 1 - self.decay)

    def restart(self) -> None:
        """Begin anew, with what comes next."""
        torch._foreach_zero_(self.tensors)
        self.steps = 0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the average for a while; before any step, its own weights."""
        kept = [tensor.clone() for tensor in self._live]
        with torch.no_grad():
            if self.steps:
                torch._foreach_copy_(self._live, self._corrected())
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, kept)

    def _corrected(self) -> list[Tensor]:
        share = 1 - self.decay**self.steps
        return [tensor / share for tensor in self.tensors]

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on with it."""
        named = dict(zip(self._names, self.tensors, strict=True))
        return {"steps": self.steps, "tensors": named}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave. Raises an error for what is none of this network's."""
        steps, given = state["steps"], state["tensors"]
        if type(steps) is not int or not 0 <= steps <= 2**53:
            raise ValueError("its average is of no number of steps")
        if given.keys() != {*self._names}:
            raise ValueError("its average is of other weights")
        for name, tensor in zip(self._names, self.tensors, strict=True):
            if given[name].shape != tensor.shape:
                raise ValueError(f"its average of {name} has another shape")
            tensor.copy_(given[name])
        self.steps = steps


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()
