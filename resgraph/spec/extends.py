"""Which files a spec is made of: itself and what it extends, each read once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from resgraph import codes
from resgraph.diagnostics import Diagnostic, ResgraphError, Span, SpecError, plain
from resgraph.limits import SPEC_EXTENDS
from resgraph.spec.errors import explain
from resgraph.spec.files import Sources, root_of
from resgraph.spec.model import Extends, Model
from resgraph.spec.tree import Items, Mapping, Scalar
from resgraph.spec.tree import plain as values
from resgraph.spec.yaml import Parsed, parse


class _Extending(Model):
    """The one key of a file that is read before all others."""

    extends: Extends


@dataclass
class Stack:
    """A spec's files from the lowest to itself, each above all that it extends.

    `whole` says whether all that is extended could be read; what could not has a finding.
    """

    layers: list[Parsed] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    whole: bool = True

    @property
    def doubts(self) -> dict[Span, frozenset[str]]:
        """The values that the YAML of the files puts in doubt, as `Parsed` has them."""
        return {s: names for layer in self.layers for s, names in layer.doubts.items()}

    @property
    def unread(self) -> frozenset[Span]:
        """The places of values that cannot be read."""
        return frozenset[Span]().union(*(layer.unread for layer in self.layers))


def stacked(path: Path, sources: Sources) -> Stack:
    """The files of the spec at `path`. Raises what `load` does, for the spec itself."""
    reader = _Reader(sources)
    reader.add(path, str(path), ())
    return reader.stack


@dataclass
class _Reader:
    """Goes through a spec and what it extends, depth first, in the order of the lists.

    A file that several extend stands below all of them. `met` has all that was tried, with
    the error of what could not be opened; `root` is that of the spec itself.
    """

    sources: Sources
    stack: Stack = field(default_factory=Stack)
    met: dict[str, ResgraphError | None] = field(default_factory=dict)
    root: Path | None = None

    def add(self, path: Path, name: str, above: tuple[str, ...]) -> None:
        """Put a file on the stack, after what it extends; `above` are those that led here."""
        own = parse(self.sources.read(path, name, self.root), name)
        self.stack.findings += own.findings
        self.root = self.root or root_of(path.parent)
        chain = (*above, _real(path))
        for item in self._extended(own.tree):
            try:
                self._below(path, item, chain)
            except SpecError as error:
                self._lack(error.diagnostics)
        self.stack.layers.append(own)

    def _lack(self, findings: list[Diagnostic]) -> None:
        self.stack.findings += findings
        self.stack.whole = False

    def _extended(self, tree: Mapping) -> Iterable[Scalar]:
        """The texts that a file has under `extends`, each once; findings on all else."""
        if "extends" not in tree.entries:
            return ()
        written = tree.entries["extends"].value
        try:
            _Extending.model_validate({"extends": values(written)})
        except ValidationError as error:
            self._lack(explain(error.errors(include_url=False), tree))
        texts: dict[str, Scalar] = {}
        for item in written.items if isinstance(written, Items) else (written,):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                texts.setdefault(item.value, item)
        return texts.values()

    def _below(self, path: Path, item: Scalar, chain: tuple[str, ...]) -> None:
        """What one text names. Raises `SpecError` where it cannot be read."""
        if len(self.met) > SPEC_EXTENDS:
            raise SpecError(())  # told at the first that was one too many
        target = path.parent / item.value
        place = _real(target)
        if place in chain:
            message = f"'{plain(item.value)}' extends itself in a circle"
            raise SpecError([Diagnostic(codes.CIRCULAR_EXTENDS, message, item.span)])
        if place not in self.met:
            self._read(target, place, item, chain)
        if error := self.met[place]:
            unreadable = (codes.UNREADABLE_EXTENDS, error.message, item.span)
            raise SpecError([Diagnostic(*unreadable, error.hint)])

    def _read(
        self, target: Path, place: str, item: Scalar, chain: tuple[str, ...]
    ) -> None:
        self.met[place] = None
        if len(self.met) > SPEC_EXTENDS:
            message = (
                f"more than the {SPEC_EXTENDS} specs that one may extend, all in all"
            )
            raise SpecError([Diagnostic(codes.TOO_LARGE, message, item.span)])
        try:
            self.add(target, str(target), chain)
        except SpecError:
            raise
        except ResgraphError as error:
            self.met[place] = error


def _real(path: Path) -> str:
    """The path with its links resolved, if it can be one."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return str(path)
