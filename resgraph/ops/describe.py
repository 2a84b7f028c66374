"""An op class in words, for `resgraph ops` and the documentation."""

from __future__ import annotations

import json
from typing import Any

from resgraph.ops.base import Op


def describe(op: type[Op]) -> dict[str, Any]:
    """The op's name, what it does, how many values it takes, and its attributes."""
    low, high = op.inputs
    return {
        "op": op.kind,
        "summary": (op.__doc__ or "").splitlines()[0],
        "inputs": {"min": low, "max": high},
        "attributes": [
            {
                "name": name,
                "description": field.description or "",
                "default": None if field.is_required() else _default(field.default),
            }
            for name, field in op.model_fields.items()
        ],
    }


def _default(value: object) -> str:
    """As YAML would write it."""
    return "none" if value is None else json.dumps(value)
