"""A spec file, with what it extends, to a validated `Spec` that knows its places."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resgraph import codes
from resgraph.diagnostics import (
    Diagnostic,
    ResgraphError,
    SpecError,
    UsageError,
    did_you_mean,
)
from resgraph.spec.errors import explain, location
from resgraph.spec.model import Spec
from resgraph.spec.yaml import MAX_BYTES, Entry, Mapping, Scalar, parse, plain

MAX_EXTENDS = 8


@dataclass(frozen=True)
class Loaded:
    """A spec, the tree it came from, and the findings so far.

    With findings, `spec` is what could be made sense of (broken ops are stand-ins), so that
    later checks can add theirs, or None.
    """

    spec: Spec | None
    tree: Mapping
    file: str
    findings: tuple[Diagnostic, ...] = ()


@dataclass
class Sources:
    """The text of every file read, by the name it is cited by; for rendering excerpts."""

    texts: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path, name: str) -> str:
        """The file's text. Raises `ResgraphError` for what is not a readable spec."""
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise UsageError(f"{name}: no such file", _siblings(path)) from None
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror or error}") from None
        if len(data) > MAX_BYTES:
            raise ResgraphError(f"{name}: larger than {MAX_BYTES // 1024} KiB, no spec")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise ResgraphError(f"{name}:{line}: not UTF-8 text") from None
        self.texts[name] = text
        return text


def _siblings(path: Path) -> str | None:
    """A hint at the specs that are there."""
    folder = path.parent
    names = [p.name for p in folder.glob("*.yaml")] if folder.is_dir() else []
    return did_you_mean(path.name, names)


def load(path: Path, sources: Sources) -> Loaded:
    """Read, merge and validate the spec at `path`.

    Raises `SpecError` for text that is not YAML and `ResgraphError` for a file that cannot
    be read; findings of the language are returned, so that more can join them.
    """
    tree = _merged(path, str(path), sources, ())
    data = plain(tree)
    try:
        return Loaded(Spec.model_validate(data), tree, str(path))
    except ValidationError as error:
        findings = tuple(explain(error, tree))
        spec = _salvage(data, error)
        return Loaded(spec, tree, str(path), findings)


# --- extends ------------------------------------------------------------------------


def _merged(path: Path, name: str, sources: Sources, seen: tuple[Path, ...]) -> Mapping:
    """The file's tree over that of the spec it extends."""
    tree = parse(sources.read(path, name), name)
    base = tree.entries.get("extends")
    if base is None or not isinstance(base.value, Scalar):
        return tree
    span = base.value.span
    relative = str(base.value.value)
    target = path.parent / relative
    chain = (*seen, path.resolve())
    if target.resolve() in chain:
        message = f"'{relative}' extends itself in a circle"
        raise SpecError([Diagnostic(codes.CIRCULAR_EXTENDS, message, span)])
    if len(chain) > MAX_EXTENDS:
        message = f"more than {MAX_EXTENDS} specs in a chain"
        raise SpecError([Diagnostic(codes.TOO_LARGE, message, span)])
    try:
        below = _merged(target, str(target), sources, chain)
    except SpecError:
        raise
    except ResgraphError as error:
        unreadable = codes.UNREADABLE_EXTENDS
        finding = Diagnostic(unreadable, error.message, span, error.hint)
        raise SpecError([finding]) from None
    rest = {k: v for k, v in tree.entries.items() if k != "extends"}
    return _over(_without_networks(below), replace(tree, entries=rest))


def _without_networks(tree: Mapping) -> Mapping:
    """A base's networks stay its own: each generated file comes from one spec."""
    kept = {k: v for k, v in tree.entries.items() if k != "networks"}
    return replace(tree, entries=kept)


def _over(base: Mapping, top: Mapping) -> Mapping:
    """`top` over `base`, key by key; a new key stands before the next one they share."""
    entries = dict(base.entries)
    pending: dict[str, Entry] = {}
    for key, entry in top.entries.items():
        old = entries.get(key)
        if old is None:
            pending[key] = entry
            continue
        if isinstance(old.value, Mapping) and isinstance(entry.value, Mapping):
            entry = Entry(entry.key_span, _over(old.value, entry.value))
        entries[key] = entry
        entries = _insert(entries, pending, key)
        pending = {}
    merged = entries | pending
    size = 1 + sum(entry.value.size for entry in merged.values())
    return Mapping(merged, top.span, size)


def _insert(
    entries: dict[str, Entry], new: dict[str, Entry], before: str
) -> dict[str, Entry]:
    result: dict[str, Entry] = {}
    for key, entry in entries.items():
        if key == before:
            result |= new
        result[key] = entry
    return result


# --- going on after findings ----------------------------------------------------------


def _salvage(data: Any, error: ValidationError) -> Spec | None:
    """The spec with stand-ins for broken ops and without unknown keys, if that is enough."""
    for item in error.errors(include_url=False):
        loc = location(item)
        op = next(
            (
                i
                for i, step in enumerate(loc)
                if isinstance(step, int) and _is_op(loc, i)
            ),
            None,
        )
        if op is not None:
            _replace_op(data, loc, op)
        elif item["type"] == "extra_forbidden":
            _walk(data, loc[:-1]).pop(loc[-1], None)
        else:
            return None
    try:
        return Spec.model_validate(data)
    except ValidationError:
        return None


def _is_op(loc: tuple[str | int, ...], index: int) -> bool:
    holder = loc[index - 1]
    return (holder == "ops" and loc[0] == "units") or (
        holder in ("stem", "head") and loc[0] == "network"
    )


def _replace_op(data: Any, loc: tuple[str | int, ...], index: int) -> None:
    """A stand-in that takes as many values as the broken op was given."""
    ops = _walk(data, loc[:index])
    path = _walk(data, loc[: index - 1])
    merges = isinstance(path.get("from"), list) and len(path["from"]) > 1
    ops[loc[index]] = "add" if merges and loc[index] == 0 else "identity"


def _walk(data: Any, loc: tuple[str | int, ...]) -> Any:
    for step in loc:
        data = data[step]
    return data
