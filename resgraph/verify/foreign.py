"""Networks and weights that resgraph did not make: callables, safetensors, checkpoints."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError, did_you_mean, first_line, plain
from resgraph.reading import opened, regular_size
from resgraph.reading.checkpoints import check_checkpoint
from resgraph.reading.tensors import check_tensors
from resgraph.seal import unsealed

_NUMBERS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
"""Types that torch computes with; the whole numbers are for counts."""
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "params", "ema")


def is_callable_path(text: str) -> bool:
    """Whether the text is PATH:CALLABLE rather than a file."""
    head, colon, tail = text.rpartition(":")
    return bool(colon and head) and tail.replace(".", "").isidentifier()


def build(where: str) -> nn.Module:
    """The network that PYTHON.PATH:CALLABLE, or FILE.py:CALLABLE, returns without arguments.

    The code is executed. Raises `ResgraphError` if there is no such callable, if it fails, or
    if it returns no `torch.nn.Module`.
    """
    path, _, name = where.rpartition(":")
    if not is_callable_path(where):
        raise ResgraphError(
            f"{where!r} is not PYTHON.PATH:CALLABLE",
            "for example torchvision.models:resnet50, or my_nets.py:resnet20",
        )
    found: Any = _module(path)
    for part in name.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, [n for n in dir(found) if not n.startswith("_")])
            raise ResgraphError(f"{path} has no '{part}'", hint)
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        return _unwrapped(found, where)
    try:
        network = found()
    except Exception as error:  # whatever foreign code raises
        raise ResgraphError(
            f"{where}() fails: {type(error).__name__}: {error}",
            "it is called without arguments: wrap what needs some in a function",
        ) from None
    if not isinstance(network, nn.Module):
        raise ResgraphError(
            f"{where}() returns {type(network).__name__}, and not a torch.nn.Module",
            "name a class or a function that makes the network",
        )
    return _unwrapped(network, where)


def _unwrapped(network: nn.Module, where: str) -> nn.Module:
    """The network without DataParallel. Raises `ResgraphError` for one in TorchScript."""
    if isinstance(network, nn.DataParallel):
        network = network.module
    if isinstance(network, torch.jit.ScriptModule):
        raise ResgraphError(
            f"{where} is a TorchScript module, whose calls of torch cannot be seen",
            "name the module that it was made from",
        )
    return network


def _module(path: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if path.endswith(".py"):
            return _from_file(Path(path))
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise ResgraphError(
            f"cannot import {path}: {error}",
            "is it installed in this environment, or in this folder?",
        ) from None
    except Exception as error:  # whatever foreign code raises
        raise ResgraphError(
            f"importing {path} fails: {type(error).__name__}: {error}"
        ) from None


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ResgraphError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"against_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ResgraphError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickles look there
    spec.loader.exec_module(module)
    return module


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a torch checkpoint, by name.

    A checkpoint is loaded with `weights_only=True`, so that no code in it runs; a state_dict
    is looked for under the usual keys, and the prefix `module.` of DataParallel dropped.
    Raises `ResgraphError` for any other file.
    """
    regular_size(path)
    if path.suffix == ".safetensors":
        tensors = _safetensors(path)
    elif path.suffix in (".pth", ".pt", ".ckpt", ".tar", ".bin"):
        tensors = _state_dict(_checkpoint(path), path)
    else:
        raise ResgraphError(
            f"{plain(path)}: weights come from .safetensors, or from .pth, .pt, .ckpt, .tar, .bin",
            "or from PYTHON.PATH:CALLABLE, a function that returns the trained network",
        )
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): t for name, t in tensors.items()}
    _refuse_unusable(path, tensors)
    return tensors


def _refuse_unusable(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `ResgraphError` for tensors that hold no plain numbers, by name and kind."""
    found = [f"{plain(n)} is {kind}" for n, t in tensors.items() if (kind := _odd(t))]
    if found:
        more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
        raise ResgraphError(
            f"{plain(path)} has tensors that are no dense real numbers: "
            f"{', '.join(found[:3])}{more}",
            "save it with its numbers, dense, real and not quantised",
        )


def _odd(tensor: Tensor) -> str | None:
    """What a tensor is, if no network can have it as a weight."""
    if tensor.is_meta:
        return "on the meta device, without numbers"
    if tensor.is_nested or tensor.layout != torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.')}, not dense"
    if tensor.is_quantized:
        return "quantised"
    if tensor.dtype not in _NUMBERS:
        return str(tensor.dtype).removeprefix("torch.")
    if tensor.element_size() * tensor.numel() > max(
        tensor.untyped_storage().nbytes(), 1
    ):
        return f"{list(tensor.shape)} and kept as one number that is repeated"
    return None


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        check_tensors(path)
        tensors = dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise ResgraphError(
            f"{plain(path)} is not a readable safetensors file: {plain(error)}"
        ) from None
    unsealed(path)
    return tensors


def _checkpoint(path: Path) -> Any:
    check_checkpoint(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with opened(path) as file:
            start = file.read(1)
        if start not in (b"P", b"\x80"):  # of a zip file, of a pickle
            raise ResgraphError(
                f"{plain(path)} is not a readable checkpoint"
            ) from error
        raise ResgraphError(
            f"{plain(path)} holds more than tensors, and loading it would run code from the file",
            "if you trust it: torch.save(network.state_dict(), ...) where it was made, or "
            "safetensors.torch.save_file",
        ) from None
    except Exception as error:  # torch.load raises many kinds for damaged files
        why = plain(first_line(error))
        raise ResgraphError(
            f"{plain(path)} is not a readable checkpoint: {why}"
        ) from None


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    for key in _INSIDE:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if isinstance(loaded, Mapping):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise ResgraphError(
        f"{plain(path)} holds no state_dict",
        f"it is looked for at the top and under {', '.join(_INSIDE)}",
    )
