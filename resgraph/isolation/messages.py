"""What parent and child tell each other: JSON and arrays in one safetensors file.

No pickle, whose loading would run the sender's code. A message appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

READY = "ready"
"""What the child says first, when all is imported but the file."""
_ENTRY = "resgraph.message"


@dataclass(frozen=True)
class Message:
    """Values that JSON has, and arrays by name."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


def write_message(path: Path, message: Message) -> None:
    """Write the message into a file that is there when it is whole."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(a, order="C") for name, a in message.arrays.items()}
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(save(arrays, {_ENTRY: json.dumps(dict(message.values))}))
    unfinished.replace(path)


def read_message(path: Path) -> Message:
    """Read it again. Raises `OSError` or `ValueError` for what is not there, or not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            values = json.loads((file.metadata() or {})[_ENTRY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    return Message(values, arrays)
