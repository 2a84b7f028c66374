"""The language's JSON Schema, for editors."""

from __future__ import annotations

import json
from typing import Any

from resgraph.spec.model import Spec
from resgraph.spec.opitem import OP_REFERENCE, op_schema

_PARTIAL = ("Network", "Unit", "Path")


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of a spec file, as `resgraph schema` prints it.

    A spec that `extends` another may leave out whatever the other one has.
    """
    whole = Spec.model_json_schema(by_alias=True)
    definitions = whole.pop("$defs") | {"Op": op_schema()}
    for name in _PARTIAL:
        definitions[f"Partial{name}"] = _partial(definitions[name])
    definitions |= {"Spec": whole, "PartialSpec": _partial(whole)}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "resgraph spec",
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/PartialSpec"},
        "else": {"$ref": "#/$defs/Spec"},
        "$defs": definitions,
    }
    text = json.dumps(schema, indent=1)
    placeholder = json.dumps(OP_REFERENCE)[1:-1]
    return text.replace(placeholder, '"$ref": "#/$defs/Op"') + "\n"


def _partial(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition with nothing required, of it or of what it refers to."""
    text = json.dumps({k: v for k, v in definition.items() if k != "required"})
    for name in _PARTIAL:
        text = text.replace(f"#/$defs/{name}", f"#/$defs/Partial{name}")
    partial: dict[str, Any] = json.loads(text)
    return partial
