"""One tree over another: keys merge, lists and values replace, `key: ~` removes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.recipe.words import surviving
from resgraph.spec.tree import Entry, Items, Loc, Mapping, Scalar, Tree
from resgraph.spec.tree import plain as values
from resgraph.spec.yaml import Parsed


@dataclass(frozen=True)
class Removal:
    """Where a spec removes an inherited key, and what stood there."""

    span: Span
    value: Tree


Removals = dict[Loc, Removal]
"""What was removed last, by its place; something else may stand there again."""


@dataclass(frozen=True)
class Merged:
    """The trees of a spec's files, each over those before it, and what they removed.

    `idle` has the nulls with nothing below, each with the keys that are inherited beside it:
    they may be values, or were to remove something.
    """

    tree: Mapping
    removals: Removals
    idle: dict[Span, frozenset[str]]


def merged(layers: Sequence[Parsed]) -> Merged:
    """The files of a spec as one tree, the lowest of them first."""
    merger = _Merger(frozenset[Span]().union(*(layer.doubts for layer in layers)))
    tree, *others = (_without(layer.tree, "extends") for layer in layers)
    for other in others:
        tree = merger.over(_inherited(tree, other), other)
    upper = {other.span.file for other in others}
    nulls = (s for s in _nulls(tree) if s.file in upper and s not in merger.doubts)
    idle = {span: merger.beside.get(span, frozenset()) for span in nulls}
    return Merged(tree, merger.removals, idle)


def _nulls(tree: Mapping) -> Iterator[Span]:
    for entry in tree.entries.values():
        if isinstance(entry.value, Mapping):
            yield from _nulls(entry.value)
        elif _nothing(entry.value):
            yield entry.value.span


def _nothing(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is None


def _without(tree: Mapping, *keys: str) -> Mapping:
    entries = {k: v for k, v in tree.entries.items() if k not in keys}
    return replace(tree, entries=entries)


def _inherited(tree: Mapping, own: Mapping) -> Mapping:
    """What of a base goes into a spec: not its networks, since each generated file comes
    from one spec, nor words of its recipe that the spec's own exclude."""
    kept = _without(tree, "networks").entries
    if {"train"} <= kept.keys() & own.entries.keys():
        train = _without_rivals(kept["train"].value, own.entries["train"].value)
        kept |= {"train": replace(kept["train"], value=train)}
    return replace(tree, entries=kept)


def _without_rivals(train: Tree, own: Tree) -> Tree:
    if not isinstance(train, Mapping) or not isinstance(own, Mapping):
        return train
    written = values(own)
    nothing = {word for word, value in written.items() if value is None}
    stay = surviving(values(train), written) | nothing
    return _without(train, *train.entries.keys() - stay)


@dataclass
class _Merger:
    """Merges trees, and notes what it removes; a null that is in doubt removes nothing.

    `beside` has the keys below of each mapping with a null that removes none of them.
    """

    doubts: frozenset[Span]
    removals: Removals = field(default_factory=dict)
    beside: dict[Span, frozenset[str]] = field(default_factory=dict)

    def over(self, base: Mapping, top: Mapping, loc: Loc = ()) -> Mapping:
        """`top` over `base`, key by key; a new key stands before the next one they share."""
        new, entries = _new(base, top), dict[str, Entry]()
        for key, old in base.entries.items():
            entries |= new.get(key, {})
            own = top.entries.get(key, old)
            if (left := self._entry(old, own, (*loc, key))) is not None:
                entries[key] = left
        entries |= new[None]
        values = (entry.value for more in new.values() for entry in more.values())
        vain = (value.span for value in values if _nothing(value))
        self.beside |= dict.fromkeys(vain, frozenset(base.entries))
        size = 1 + sum(entry.value.size for entry in entries.values())
        return Mapping(entries, top.span, size)

    def _entry(self, old: Entry, own: Entry, loc: Loc) -> Entry | None:
        if old is own:
            return old
        if self._removes(own, loc):
            self.removals[loc] = Removal(own.key_span, old.value)
            return None
        base = _by_name(old.value, loc)
        if isinstance(base, Mapping) and isinstance(own.value, Mapping):
            return Entry(own.key_span, self.over(base, own.value, loc))
        return own

    def _removes(self, entry: Entry, loc: Loc) -> bool:
        """Whether an entry removes what it stands over.

        A part of a recipe that is named with nothing, `optimizer: {adamw: ~}`, is chosen.
        """
        chosen = loc[0] == "train" and len(loc) == 3
        in_doubt = entry.value.span in self.doubts
        return _nothing(entry.value) and not chosen and not in_doubt


def _by_name(value: Tree, loc: Loc) -> Tree:
    """A unit's list of parameters as the mapping that it stands for; else the value."""
    match loc, value:
        case ("units", _, "params"), Items(items=items):
            entries = dict[str, Entry]()
            for item in items:
                match item:
                    case Scalar(value=str(name), span=span):
                        entries[name] = Entry(span, Scalar(None, span))
                    case Mapping(entries=own) if len(own) == 1:
                        entries |= own
                    case _:
                        return value
            return Mapping(entries, value.span, value.size)
    return value


def _new(base: Mapping, top: Mapping) -> dict[str | None, dict[str, Entry]]:
    """The keys that `top` alone has, by the next one they share; None: there is none."""
    found, pending = dict[str | None, dict[str, Entry]](), dict[str, Entry]()
    for key, entry in top.entries.items():
        if key in base.entries:
            found[key], pending = pending, {}
        else:
            pending[key] = entry
    return found | {None: pending}


# --- what is missing since it was removed ---------------------------------------------------


def noted(finding: Diagnostic, removals: Removals) -> Diagnostic:
    """The finding; of something that is missing since it was removed, with that line too."""
    for note in (n for loc in _places(finding.missing) for n in _notes(loc, removals)):
        return replace(finding, notes=(*finding.notes, note))
    return finding


def _places(missing: Loc) -> Iterator[Loc]:
    """Where a spec may say what is missing; a value is a path, or one of the inputs."""
    yield missing
    match missing:
        case (*holder, "paths", name):
            yield (*holder, "inputs", name)


def _notes(missing: Loc, removals: Removals) -> Iterator[Note]:
    """Who removed it, or what it was in; the deepest first."""
    for depth in range(len(missing), 0, -1):
        place, rest = missing[:depth], missing[depth:]
        removal = removals.get(place)
        if removal and _had(removal.value, rest):
            yield Note(f"'{place[-1]}' is removed here", removal.span)


def _had(tree: Tree, rest: Loc) -> bool:
    """Whether what is at `rest`, as a key or as its name in a list, was in the tree."""
    match tree, rest:
        case _, ():
            return True
        case Mapping(entries=entries), (step, *below) if step in entries:
            return _had(entries[str(step)].value, tuple(below))
        case Items(items=items), (name,):
            return any(name in _names(item) for item in items)
    return False


def _names(item: Tree) -> Iterable[object]:
    return item.entries if isinstance(item, Mapping) else (values(item),)
