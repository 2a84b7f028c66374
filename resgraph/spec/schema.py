"""The language's JSON Schema, for editors.

It is laid out for what an editor makes of it: properties stand in one place, so that they
are completed and explained once, and a choice has few branches, so that a mistake is told
where it is. All words come from the docstrings and `Field`s of the models and the ops.
"""

from __future__ import annotations

import json
from typing import Any

from resgraph.spec.model import STAGE_SCHEMA, Spec
from resgraph.spec.opitem import ARGUMENTS_SCHEMA, op_schema
from resgraph.spec.values import VALUE_SCHEMA

Schema = dict[str, Any]


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of a spec file, as `resgraph schema` prints it.

    A spec that `extends` another may leave out whatever the other one has, or remove it.
    """
    spec: Schema = _tidy(Spec.model_json_schema(by_alias=True))
    own: Schema = _tidy({"Stage": STAGE_SCHEMA, "Value": VALUE_SCHEMA})
    definitions: dict[str, Schema] = spec.pop("$defs") | own
    keys = (key for name, key in spec["properties"].items() if name != "networks")
    for removable in (*keys, *definitions.values()):
        _removable(removable)
    whole = _required(spec, definitions)
    for definition in (spec, *definitions.values()):
        definition.pop("required", None)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **spec,
        "title": "resgraph spec",
        "if": {"required": ["extends"]},
        "else": whole,
        "$defs": definitions | _tidy(_BELOW_LISTS),
    }
    text = json.dumps(schema, indent=1)
    return text.replace('"$comment": "#/', '"$ref": "#/') + "\n"


_BELOW_LISTS: Schema = {
    "Op": op_schema(),
    "Arguments": ARGUMENTS_SCHEMA,
}
"""What stands below lists alone: nothing is removed there."""


def _required(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """What the schema and all below it require, with its kind and nothing else of it.

    The kind makes an editor complete the same text here as from the schema itself.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    found: Schema = {k: schema[k] for k in ("type", "const", "required") if k in schema}
    required = schema.get("required", [])
    for key in ("properties", "patternProperties"):
        parts = {
            name: _required(below, definitions)
            for name, below in schema.get(key, {}).items()
            if key == "patternProperties" or name in (*required, *_ENDS)
        }
        if any("type" in part for part in parts.values()):
            found[key] = parts
    return found | (
        {"not": {"type": "null"}} if "null" in found.get("type", ()) else {}
    )


_ENDS = ("head", "outputs")
"""What a network ends in: one of them is there, and neither is nothing."""


def _removable(schema: Schema) -> None:
    """Let null stand where a spec may remove what it inherits: for a value, and for those
    of the mappings in it, down to the first list."""
    if "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if "type" in schema and "const" not in schema:
        kinds = schema["type"]
        schema["type"] = [*(kinds if isinstance(kinds, list) else [kinds]), "null"]
    for key in ("properties", "patternProperties"):
        for below in schema.get(key, {}).values():
            _removable(below)


def _tidy(node: Any) -> Any:
    """The same without pydantic's habits: a name that is no name is refused, what may be
    left out is not offered as `null`, and a title is the key as one writes it."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _tidy(value) for key, value in node.items()}
    if node.get("default", ...) is None:
        node |= _not_null(node.pop("anyOf", []))
        del node["default"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    for name, below in node.get("properties", {}).items():
        title = below.get("title", "")
        if title == name.replace("_", " ").title():
            below["title"] = name
        elif title and isinstance(below.get("type"), list):
            below["title"] = f"{name}: {title}"
    return node


def _not_null(forms: list[Schema]) -> Schema:
    """What an optional value is where it is given, if the schema says so by a choice."""
    others = [form for form in forms if form != {"type": "null"}]
    return others[0] if len(others) == 1 else {"anyOf": others} if others else {}
