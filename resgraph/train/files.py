"""JSON files: written whole or not at all, read with a clear error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError
from resgraph.files import atomic_write


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` atomically, indented; numbers that JSON lacks become null."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, lambda p: p.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; anything else is a `ResgraphError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResgraphError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise ResgraphError(f"cannot read {path}: it is no JSON object")
    return value


def finite(value: Any) -> Any:
    """`value` with None for every number that is infinite or not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
