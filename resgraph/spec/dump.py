"""A spec's tree as YAML again: resolved, with the file and line of every value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from resgraph.spec.tree import Entry, Items, Mapping, Scalar, Tree, plain

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(?<! )")
_FLOW_WIDTH = 72


def dump(tree: Mapping) -> str:
    """YAML text that loads to the same spec; each line ends in `# file:line`."""
    lines = list(_mapping(tree, ""))
    width = min(72, max(len(text) for text, _ in lines))
    return "".join(f"{text:<{width}}  # {origin}\n" for text, origin in lines)


def _mapping(tree: Mapping, indent: str) -> Iterator[tuple[str, str]]:
    for key, entry in tree.entries.items():
        yield from _value(f"{indent}{_text(key)}:", entry, indent + "  ")


def _items(tree: Items, indent: str) -> Iterator[tuple[str, str]]:
    for item in tree.items:
        origin = f"{item.span.file}:{item.span.line}"
        lines = list(
            _block(item, indent + "  ") or [(indent + "  " + _flow(item), origin)]
        )
        text, origin = lines[0]
        yield f"{indent}- {text[len(indent) + 2 :]}", origin
        yield from lines[1:]


def _value(start: str, entry: Entry, indent: str) -> Iterator[tuple[str, str]]:
    """On the line of its key where it is short and from one line, else below it."""
    tree, key = entry.value, entry.key_span
    origin = f"{key.file}:{key.line}"
    one_line = tree.span.line == tree.span.end_line and _files(tree) == {key.file}
    flat = f"{start} {_flow(tree)}"
    leaf = isinstance(tree, Scalar) or tree.size == 1
    if leaf or (one_line and len(flat) <= _FLOW_WIDTH):
        yield flat, origin
    else:
        yield start, origin
        yield from _block(tree, indent)


def _files(tree: Tree) -> frozenset[str]:
    """The files that a value is from; only the keys of mappings can be from several."""
    entries = tree.entries.values() if isinstance(tree, Mapping) else ()
    found = (_files(entry.value) | {entry.key_span.file} for entry in entries)
    return frozenset({tree.span.file}).union(*found)


def _block(tree: Tree, indent: str) -> list[tuple[str, str]]:
    if isinstance(tree, Mapping):
        return list(_mapping(tree, indent))
    return list(_items(tree, indent)) if isinstance(tree, Items) else []


def _flow(tree: Tree) -> str:
    match tree:
        case Scalar(value=str() as value):
            return _text(value)
        case Scalar(value=value):
            return json.dumps(value)
        case Mapping(entries=entries):
            pairs = (f"{_text(k)}: {_flow(e.value)}" for k, e in entries.items())
            return f"{{{', '.join(pairs)}}}"
        case Items(items=items):
            return f"[{', '.join(map(_flow, items))}]"
    return json.dumps(plain(tree))


def _text(value: str) -> str:
    """Plain where YAML reads it as the same text, else quoted."""
    words = {"true", "false", "null", "nan", "inf"}
    if _PLAIN.fullmatch(value) and value.lower() not in words:
        return value
    return json.dumps(value, ensure_ascii=False)
