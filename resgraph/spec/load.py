"""A spec file, with what it extends, to a validated `Spec` that knows its places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from resgraph import codes
from resgraph.allow import Allow
from resgraph.allow import read as read_allow
from resgraph.diagnostics import (
    Diagnostic,
    ResgraphError,
    Span,
    SpecError,
    plain,
)
from resgraph.limits import SPEC_EXTENDS
from resgraph.recipe.words import surviving
from resgraph.spec.bounds import bounds
from resgraph.spec.conventions import conventions
from resgraph.spec.files import Sources, root_of
from resgraph.spec.gaps import Gaps
from resgraph.spec.mend import Mender
from resgraph.spec.model import Spec
from resgraph.spec.tree import Entry, Items, Mapping, Scalar, Tree, at
from resgraph.spec.tree import plain as values
from resgraph.spec.yaml import Parsed, parse


@dataclass(frozen=True)
class Loaded:
    """A spec, the tree it came from, the findings so far, and what is not known for them.

    With findings, `spec` has stand-ins at the gaps, so that later checks can add theirs.
    """

    spec: Spec
    tree: Mapping
    file: str
    findings: tuple[Diagnostic, ...] = ()
    gaps: Gaps = field(default_factory=Gaps)
    allow: tuple[Allow, ...] = ()


def load(path: Path, sources: Sources) -> Loaded:
    """Read, merge and validate the spec at `path`.

    Raises `SpecError` for text that is not YAML and `ResgraphError` for a file that cannot
    be read; findings of the language are returned, so that more can join them.
    """
    text = _merged(path, str(path), sources)
    if beyond := bounds(text.tree):
        raise SpecError([*text.findings, *beyond])
    mender = Mender(text.tree, text.doubts, text.unread, text.whole)
    spec = mender.spec()
    allow, refused = read_allow(_allowed(mender.tree), str(path))
    foreign = conventions(spec, mender.tree, mender.gaps)
    found = dict.fromkeys([*text.findings, *mender.findings, *refused, *foreign])
    return Loaded(spec, mender.tree, str(path), tuple(found), mender.gaps, allow)


def _allowed(tree: Mapping) -> Iterator[tuple[str, Span]]:
    """The items of `allow` that are text, each with its place."""
    items = at(tree, ("allow",))
    for item in items.items if isinstance(items, Items) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str):
            yield item.value, item.span


# --- extends ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Merged(Parsed):
    """A file's tree over that of the spec it extends; `whole` if that could be read."""

    whole: bool = True


def _merged(
    path: Path,
    name: str,
    sources: Sources,
    seen: tuple[str, ...] = (),
    root: Path | None = None,
) -> _Merged:
    """Raises what `load` does, for this file; of those below it there are findings.

    `root` is that of the spec which names this file, if one does.
    """
    own = parse(sources.read(path, name, root), name)
    base = own.tree.entries.get("extends")
    if base is None or base.value == Scalar(None, base.value.span):
        return _Merged(own.tree, own.findings, own.doubts, own.unread)
    try:
        chain = (*seen, os.path.realpath(path))
        below = _below(path, base.value, sources, chain, root or root_of(path.parent))
    except SpecError as error:
        findings = (*own.findings, *error.diagnostics)
        return _Merged(own.tree, findings, own.doubts, own.unread, whole=False)
    rest = {k: v for k, v in own.tree.entries.items() if k != "extends"}
    return _Merged(
        _over(_extended(below.tree, own.tree), replace(own.tree, entries=rest)),
        (*below.findings, *own.findings),
        below.doubts | own.doubts,
        below.unread | own.unread,
        below.whole,
    )


def _below(
    path: Path, written: Tree, sources: Sources, chain: tuple[str, ...], root: Path
) -> _Merged:
    """What is extended. Raises `SpecError` where it cannot be read."""
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        raise SpecError(())  # validation tells it
    span, relative = written.span, written.value
    target = path.parent / relative
    if _real(target) in chain:
        message = f"'{plain(relative)}' extends itself in a circle"
        raise SpecError([Diagnostic(codes.CIRCULAR_EXTENDS, message, span)])
    if len(chain) > SPEC_EXTENDS:
        message = f"more than {SPEC_EXTENDS} specs in a chain"
        raise SpecError([Diagnostic(codes.TOO_LARGE, message, span)])
    try:
        return _merged(target, str(target), sources, chain, root)
    except SpecError:
        raise
    except ResgraphError as error:
        unreadable = codes.UNREADABLE_EXTENDS
        finding = Diagnostic(unreadable, error.message, span, error.hint)
        raise SpecError([finding]) from None


def _real(path: Path) -> str | None:
    """The path with its links resolved; None for what cannot be a path."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return None


def _extended(tree: Mapping, own: Mapping) -> Mapping:
    """What of a base goes into a spec: not its networks, since each generated file comes
    from one spec, nor words of its recipe that the spec's own exclude."""
    kept = {k: v for k, v in tree.entries.items() if k != "networks"}
    train, over = at(tree, ("train",)), at(own, ("train",))
    if {"train"} <= kept.keys() & own.entries.keys():
        kept["train"] = replace(kept["train"], value=_without_rivals(train, over))
    return replace(tree, entries=kept)


def _without_rivals(train: Tree, own: Tree) -> Tree:
    if not isinstance(train, Mapping) or not isinstance(own, Mapping):
        return train
    stay = surviving(values(train), values(own))
    return replace(train, entries={k: v for k, v in train.entries.items() if k in stay})


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
