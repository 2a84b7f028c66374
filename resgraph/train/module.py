"""A generated file, imported: the network's class and what the file says about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from resgraph.diagnostics import ResgraphError, raised
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
    input_shape: tuple[int, int, int]
    """Channels, height, width."""
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
        """The width of the network's output, found with a forward of zeros.

        Raises `ResgraphError` if the output is not of shape [N, classes].
        """
        was_training = network.training
        example = next(network.parameters(), torch.zeros(()))
        zeros = torch.zeros(2, *self.input_shape, device=example.device)
        try:
            with self.told("its forward fails at INPUT_SHAPE"), torch.inference_mode():
                logits: object = network.eval()(zeros)
        finally:
            network.train(was_training)
        if not isinstance(logits, torch.Tensor):
            what = f"its forward returns {type(logits).__name__}, and no tensor"
            raise _broken(self.path, self.spec, what)
        shape = tuple(logits.shape)
        if len(shape) != 2 or shape[0] != 2:
            raise ResgraphError(
                f"{self.path}: the output has shape {list(shape)} for two images, "
                "not [2, classes], so it cannot be trained as a classifier",
                f"end the head with a linear layer in {self.spec}",
            )
        return int(shape[1])


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


def _input_shape(path: Path, spec: str, module: ModuleType) -> tuple[int, int, int]:
    shape = _public(path, spec, module, "INPUT_SHAPE")
    if (
        not isinstance(shape, (list, tuple))
        or len(shape) != 3
        or not all(type(size) is int and size > 0 for size in shape)
    ):
        raise _broken(path, spec, f"INPUT_SHAPE is {shape!r}, not (channels, h, w)")
    channels, height, width = shape
    return channels, height, width


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
