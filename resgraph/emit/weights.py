"""The numbers of a model: drawn from a seed, or read from a safetensors file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.diagnostics import ResgraphError, plain, plural
from resgraph.graph import Graph
from resgraph.names import BATCH_COUNTS
from resgraph.ops import Weight
from resgraph.reading.tensors import check_tensors
from resgraph.seal import unsealed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WeightSource = Callable[[str, Weight], "NDArray[Any]"]
"""The tensor for a name of the state_dict, of the weight's shape; the emitter rounds it."""


def drawn(seed: int) -> WeightSource:
    """He-2015 initialisation, each tensor a function of the seed and its name alone."""
    import numpy as np

    def draw(name: str, weight: Weight) -> NDArray[np.float32]:
        init = weight.init
        if init.constant is not None:
            return np.full(weight.shape, init.constant, np.float32)
        random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
        if init.bound:
            return random.uniform(-init.bound, init.bound, weight.shape).astype(
                np.float32
            )
        values = random.standard_normal(weight.shape, np.float32)
        values *= np.float32(init.std)
        return values

    return draw


def stored(path: Path, graph: Graph) -> WeightSource:
    """The tensors of a safetensors file.

    Raises `ResgraphError` if the file is none, or if its tensors' names, shapes or types
    are not the graph's.
    """
    tensors, wanted = _read(path), graph.tensors()
    extra = [n for n in tensors if n not in wanted and not n.endswith(BATCH_COUNTS)]
    missing = [name for name in wanted if name not in tensors]
    wrong = [
        f"{name} is {list(tensors[name].shape)}, not {list(weight.shape)}"
        for name, weight in wanted.items()
        if name in tensors and tensors[name].shape != weight.shape
    ]
    if extra or missing or wrong:
        raise ResgraphError(
            f"{plain(path)} does not hold the weights of {graph.name}: "
            + "; ".join(_differences(missing, extra, wrong)),
            "they must come from the same topology: compare with 'resgraph show'",
        )

    _refuse_unusable(path, {name: tensors[name] for name in wanted})

    def read(name: str, weight: Weight) -> Any:
        return tensors[name].astype("float32", copy=False)

    return read


def _refuse_unusable(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ResgraphError` for tensors that are no float32 numbers, by name and count."""
    found = [(name, why) for name, t in tensors.items() if (why := _unusable(t))]
    if not found:
        return
    shown = "; ".join(f"{name} {why}" for name, why in found[:3])
    rest = len(found) - 3
    more = f"; and {rest:,} more {plural(rest, 'tensor')}" if rest > 0 else ""
    raise ResgraphError(
        f"{plain(path)} has {len(found):,} {plural(len(found), 'tensor')} that a model "
        f"cannot have: {shown}{more}",
        "weights are finite floating-point numbers; the training that they are from "
        "diverged, or the file is damaged or of another kind",
    )


def _unusable(tensor: NDArray[Any]) -> str | None:
    """Why a tensor is none of weights, else None."""
    import numpy as np

    kind = str(tensor.dtype)
    if not kind.startswith(("float", "bfloat")):
        return f"is {kind}"
    with np.errstate(over="ignore"):
        numbers = tensor.astype("float32", copy=False)
    count = int(tensor.size - np.isfinite(numbers).sum())
    if not count:
        return None
    huge = count - int(tensor.size - np.isfinite(tensor).sum())
    what = "beyond float32's range" if huge == count else "not finite"
    return f"holds {count:,} of {tensor.size:,} numbers that are {what}"


def _differences(missing: list[str], extra: list[str], wrong: list[str]) -> list[str]:
    """The first few of each kind, counted."""
    return [
        f"{len(names)} {what} ({', '.join(map(plain, names[:3]))}"
        f"{', ...' if len(names) > 3 else ''})"
        for names, what in (
            (missing, "missing"),
            (extra, "unknown"),
            (wrong, "of another shape"),
        )
        if names
    ]


def _read(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        check_tensors(path)
        tensors: dict[str, Any] = load_file(path)
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        raise ResgraphError(
            f"{plain(path)} is not a readable safetensors file: {plain(error)}",
            "other formats: load them in PyTorch and save with safetensors.torch.save_file",
        ) from None
    unsealed(path)
    return tensors
