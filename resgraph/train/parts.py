"""Parts of a network that are trained otherwise than the rest: frozen, or at another rate.

A pattern is a name of the state_dict or of a module, in which `*` stands for anything, dots
as well, and `?` for one character: `stage1`, `*.bn*`, `linear.weight`. What a module holds
belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resgraph.diagnostics import OptionError, did_you_mean, plain


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
        kept = f", and the statistics of {len(norms)} BNs" if norms else ""
        said.append(f"{len(frozen)} of {len(names)} parameters frozen{kept}")
    said += [
        f"{plain(pattern)} at {factor:g} x the rate"
        for pattern, factor in lr_of.items()
    ]
    return ", ".join(said)
