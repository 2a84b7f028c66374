"""A generated file, imported: the network's class and what the file says about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError, plain, raised
from resgraph.outputs import LOGITS, classifying
from resgraph.provenance import read_generated
from resgraph.recipe import Recipe


@dataclass(frozen=True)
class Generated:
    """What a generated file offers, checked."""

    name: str
    """The file's name without `.py`."""
    path: Path
    network: type[nn.Module]
    """The network's class; it constructs with no arguments."""
    input_shape: tuple[int, ...]
    """Of one image [C, H, W]; of tokens [T, C], or of a vector [C]."""
    recipe: Recipe
    digest: str
    """Digest of the graph, `sha256:` and 64 hexadecimal digits."""
    spec: str
    """The spec's path as the header line has it."""
    source: str

    def build(self) -> nn.Module:
        """A new network, initialised from torch's global generator.

        Raises `ResgraphError` if the class does not construct, or constructs no module.
        """
        with self.told(f"{self.network.__name__}() fails"):
            made: object = self.network()
        if not isinstance(made, nn.Module):
            what = f"{self.network.__name__}() gives {type(made).__name__}, no module"
            raise _broken(self.path, self.spec, what)
        return made

    def told(self, what: str) -> AbstractContextManager[None]:
        """Tell, as a `ResgraphError`, whatever the file's code raises in the block."""
        return _told(self.path, self.spec, what)

    def classes(self, network: nn.Module) -> int:
        """How many classes the network tells apart, found with a forward of zeros.

        Raises `ResgraphError` if it gives no logits of shape [N, classes].
        """
        with torch.inference_mode():
            return self._logits(self._tried(network)).shape[1]

    def unreached(self, network: nn.Module) -> list[str]:
        """The parameters that no logit depends on, but other outputs do: none can train them."""
        output = self._tried(network)
        if isinstance(output, Tensor):
            return []
        names, tensors = zip(*network.named_parameters(), strict=True)
        total = self._logits(output).sum()
        found = torch.autograd.grad(total, tensors, allow_unused=True)
        return [n for n, gradient in zip(names, found, strict=True) if gradient is None]

    def _tried(self, network: nn.Module) -> object:
        """What the network gives for two images of zeros, as at inference."""
        was_training = network.training
        example = next(network.parameters(), torch.zeros(()))
        zeros = torch.zeros(2, *self.input_shape, device=example.device)
        try:
            with self.told("its forward fails at INPUT_SHAPE"):
                output: object = network.eval()(zeros)
        finally:
            network.train(was_training)
        return output

    def _logits(self, output: object) -> Tensor:
        """The logits among what the network gives for two images."""
        given = named(output) if isinstance(output, tuple) else {"": output}
        tensors = {n: t for n, t in given.items() if isinstance(t, Tensor)}
        if not tensors or tensors.keys() != given.keys():
            other = next((t for t in given.values() if not isinstance(t, Tensor)), ())
            what = f"its forward returns {type(other).__name__}, and no tensor"
            raise _broken(self.path, self.spec, what)
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        found = classifying({n: len(s) == 2 and s[0] == 2 for n, s in shapes.items()})
        if found is not None:
            return tensors[found]
        if len(shapes) == 1:
            (shape,) = shapes.values()
            raise ResgraphError(
                f"{self.path}: the output has shape {shape} for two images, "
                "not [2, classes], so it cannot be trained as a classifier",
                f"end the head with a linear layer in {self.spec}",
            )
        told = ", ".join(f"{plain(name)} {shape}" for name, shape in shapes.items())
        raise ResgraphError(
            f"{self.path}: of the outputs for two images ({told}) none is its one vector of "
            f"logits [2, classes], nor called {LOGITS[0]}, so it cannot be trained as a "
            "classifier",
            f"name one {LOGITS[0]} in {self.spec}, which a linear layer ends",
        )


def load_generated(
    path: str | Path, source: str | None = None, name: str | None = None
) -> Generated:
    """Import a file that `resgraph compile` wrote. The file's code is executed.

    `source` is its text, where that has been read already: `resgraph.origin` compares a
    text before any of it runs, and then this very text must run. `name` is the network's
    where the path is not its file's but its spec's. Raises `ResgraphError` if
    the file is missing, is not Python, was not generated, was edited so that header and
    `DIGEST` differ, lacks a public name, or raises anything, an exit included.
    """
    path = Path(path)
    text, header = read_generated(path, source)
    module = _execute(path, text, header.spec)
    generated = _checked(path, text, header.spec, module, name or path.stem)
    if generated.digest != header.digest:
        what = "its header and its DIGEST differ, so it was edited"
        raise _broken(path, header.spec, what)
    return generated


def _execute(path: Path, source: str, spec: str) -> ModuleType:
    """Run the source in a module of its own, leaving no byte code beside the file."""
    module = ModuleType(f"resgraph_generated_{path.stem}")
    module.__file__ = str(path)
    with _told(path, spec, "importing it fails"):
        exec(compile(source, str(path), "exec"), module.__dict__)
    return module


@contextmanager
def _told(path: Path, spec: str, what: str) -> Iterator[None]:
    """Tell what the file's code raises; Ctrl-C alone is the user's, and passes."""
    try:
        yield
    except (KeyboardInterrupt, ResgraphError):
        raise
    except BaseException as error:  # SystemExit would end us as if all were well
        raise _broken(path, spec, f"{what}: {raised(error, str(path))}") from None


def _checked(
    path: Path, source: str, spec: str, module: ModuleType, name: str
) -> Generated:
    """The module's public names, each of the right type."""
    names = getattr(module, "__all__", None)
    if not isinstance(names, (list, tuple)) or not names:
        raise _broken(path, spec, "it has no __all__")
    network = getattr(module, str(names[0]), None)
    if not (inspect.isclass(network) and issubclass(network, nn.Module)):
        raise _broken(
            path, spec, f"{names[0]}, first in __all__, is no nn.Module class"
        )
    return Generated(
        name=name,
        path=path,
        network=network,
        input_shape=_input_shape(path, spec, module),
        recipe=_recipe(path, spec, module),
        digest=str(_public(path, spec, module, "DIGEST")),
        spec=spec,
        source=source,
    )


def _public(path: Path, spec: str, module: ModuleType, name: str) -> Any:
    if not hasattr(module, name):
        raise _broken(path, spec, f"it has no {name}")
    return getattr(module, name)


def _input_shape(path: Path, spec: str, module: ModuleType) -> tuple[int, ...]:
    shape = _public(path, spec, module, "INPUT_SHAPE")
    if (
        not isinstance(shape, (list, tuple))
        or len(shape) not in (1, 2, 3)
        or not all(type(size) is int and size > 0 for size in shape)
    ):
        what = f"INPUT_SHAPE is {shape!r}, and no shape (C, H, W), (T, C) or (C,)"
        raise _broken(path, spec, what)
    return tuple(shape)


def _recipe(path: Path, spec: str, module: ModuleType) -> Recipe:
    fields = _public(path, spec, module, "RECIPE")
    if not isinstance(fields, Mapping):
        raise _broken(path, spec, f"RECIPE is {fields!r}, not a dict")
    try:
        return Recipe.from_mapping(fields)
    except ResgraphError as error:
        raise _broken(path, spec, f"its RECIPE is wrong: {error.message}") from None


def _broken(path: Path, spec: str, what: str) -> ResgraphError:
    return ResgraphError(
        f"{path} is not usable: {what}",
        f"write it anew; run: resgraph compile {spec}",
    )


# --- what a network and its units give, and where its units are -----------------------


def named(output: Any) -> dict[str, Tensor]:
    """The tensors of what a module gives, by name: one, or a tuple of several.

    Those of a plain tuple are called by their numbers, and a single one by no name.
    """
    if isinstance(output, Tensor):
        return {"": output}
    names = getattr(output, "_fields", range(len(output)))
    return dict(zip(map(str, names), output, strict=True))


def parted(
    output: Any,
) -> tuple[tuple[Tensor, ...], Callable[[Sequence[Tensor]], Any]]:
    """The tensors of what a module gives, and what puts others into the same form."""
    kind: Any = type(output)
    tensors = tuple(named(output).values())
    if isinstance(output, Tensor):
        return tensors, lambda others: others[0]
    return tensors, kind if kind is tuple else kind._make


def units_of(network: nn.Module) -> dict[str, nn.Module]:
    """The outermost units of a generated network by name, `stage1.0`, in order.

    A stage is an nn.Sequential or an nn.ModuleList of units, whatever it is called; a unit
    outside of stages, as of a stem, stands by itself.
    """
    found: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            inside = {f"{name}.{number}": u for number, u in child.named_children()}
        else:
            inside = {name: child}
        found |= {name: unit for name, unit in inside.items() if _is_own(unit)}
    return found


def _is_own(module: nn.Module) -> bool:
    """Whether the file defines its class; a layer of torch's is some other nn.Module."""
    torchs = {c for c in type(module).__mro__ if c.__module__.startswith("torch.")}
    return torchs == {nn.Module}
