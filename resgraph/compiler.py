"""From a spec's path to graphs: the one way in for the command line and the Python API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from resgraph import codes
from resgraph.allow import judged
from resgraph.diagnostics import (
    Diagnostic,
    Span,
    SpecError,
    UsageError,
    broken,
    did_you_mean,
    nearest,
    ordered,
)
from resgraph.expr import Expr, general_kind, literal
from resgraph.graph import Graph
from resgraph.graph.build import Builder
from resgraph.graph.params import BARE, Setting, constant
from resgraph.graph.uses import word, word_meant
from resgraph.names import network_refusal
from resgraph.ops import OPS, Op, elsewhere
from resgraph.passes import analyse
from resgraph.settings import name_with, options, typed
from resgraph.spec import Loaded, Sources, load
from resgraph.spec.dump import dump
from resgraph.spec.merge import noted
from resgraph.spec.tree import Entry, Items, Scalar, Tree, at, key_span
from resgraph.spec.tree import Mapping as Mapping_
from resgraph.values import Value, show


@dataclass
class Compiler:
    """Loads specs and builds their graphs; `sources` holds the text of all files read.

    `warnings` has the warnings and notes of each spec that compiled, by its file, and
    `allowed` what specs allow. `tell` is called with the former, each once.
    """

    sources: Sources = field(default_factory=Sources)
    warnings: dict[str, list[Diagnostic]] = field(default_factory=dict)
    allowed: list[Diagnostic] = field(default_factory=list)
    tell: Callable[[list[Diagnostic], dict[str, str]], None] | None = None

    def graphs(
        self,
        path: Path,
        network: str | None = None,
        settings: Mapping[str, Value] | None = None,
    ) -> list[Graph]:
        """The spec's networks, checked and with shapes; or one of them; or one with settings.

        Raises `SpecError` with every finding of the spec and all its networks, and
        `UsageError` for a file that cannot be read or a network that is not there.
        """
        with self._sources_in_errors():
            return self._graphs(load(path, self.sources), network, settings or {})

    def drafts(
        self,
        path: Path,
        network: str | None = None,
        settings: Mapping[str, Value] | None = None,
    ) -> tuple[list[Graph], SpecError | None]:
        """The same graphs as far as they can be understood, and the findings, if any.

        With findings a graph may lack shapes, and its units may hold expressions, read
        unknown values or be cyclic. Raises as `graphs` does where nothing can be built.
        """
        with self._sources_in_errors():
            loaded = load(path, self.sources)
            graphs, findings = _drafts(loaded, network, settings or {})
            if not graphs:
                raise SpecError(findings)
            whole = network is None and not settings
            return graphs, self._judged(loaded, findings, whole)

    def names(self, path: Path) -> list[str]:
        """The networks that the spec names. Raises as `graphs` does."""
        with self._sources_in_errors():
            loaded = load(path, self.sources)
            return [*loaded.spec.networks]

    def resolved(
        self,
        path: Path,
        network: str | None = None,
        settings: Mapping[str, Value] | None = None,
        alone: bool = False,
    ) -> str:
        """The spec as one YAML text, each line with the file and line it came from.

        With a network, settings or `alone`, the text builds that one network, whatever
        the file is called. Raises as `graphs` does.
        """
        with self._sources_in_errors():
            loaded = load(path, self.sources)
            graphs = self._graphs(loaded, network, settings or {})
            loaded = _read_alone(loaded)
            if not (network or settings or alone):
                return dump(loaded.tree)
            values = _declared(loaded, network, [])
            given = {k: v for k, (v, _) in values.items() if v is not None}
            given |= settings or {}
            known = loaded.spec.network.params
            given = {name: given[name] for name in given if name in known}
            return dump(_with_network(loaded.tree, graphs[0].name, given))

    def _graphs(
        self, loaded: Loaded, network: str | None, settings: Mapping[str, Value]
    ) -> list[Graph]:
        graphs, findings = _drafts(loaded, network, settings)
        whole = network is None and not settings
        if failure := self._judged(loaded, findings, whole):
            raise failure
        return graphs

    def _judged(
        self, loaded: Loaded, findings: list[Diagnostic], whole: bool
    ) -> SpecError | None:
        """Note the findings; as an error, if one of them is. `whole`: of all networks,
        and so all that the spec's `allow` could be about."""
        result = judged(findings, loaded.allow)
        self.allowed = ordered([*self.allowed, *result.allowed])
        if broken(result.told):
            return self.failure(result.told)
        earlier = self.warnings.get(loaded.file, [])
        told = ordered([*result.told, *(result.unused if whole else [])])
        self.warnings[loaded.file] = ordered([*earlier, *told])
        if self.tell:
            new = [finding for finding in told if finding not in earlier]
            self.tell(new, self.sources.texts)
        return None

    def failure(self, findings: Iterable[Diagnostic]) -> SpecError:
        """The findings of specs that it has read, as an error that shows their lines."""
        error = SpecError(findings)
        error.sources = self.sources.texts
        return error

    @contextmanager
    def _sources_in_errors(self) -> Iterator[None]:
        try:
            yield
        except SpecError as error:
            error.sources = self.sources.texts
            raise


def _drafts(
    loaded: Loaded, network: str | None, settings: Mapping[str, Value]
) -> tuple[list[Graph], list[Diagnostic]]:
    graphs: list[Graph] = []
    findings = list(loaded.findings)
    for name, values in _wanted(loaded, network, settings, findings):
        builder = Builder(loaded, name, values)
        made = options(network, settings)
        program = replace(builder.build(), options=made, allow=loaded.allow)
        graph, found = analyse(program, builder.findings)
        graphs.append(graph)
        findings += found
    return graphs, [noted(finding, loaded.removed) for finding in findings]


def _read_alone(loaded: Loaded) -> Loaded:
    """The spec without inherited parameters that nothing reads: in a text of its own they
    are findings."""
    builder = Builder(loaded, "network", {})
    builder.build()
    for name in builder.unread:
        loaded = loaded.without_parameter(name)
    return _read_alone(loaded) if builder.unread else loaded


def _with_network(tree: Mapping_, name: str, values: Mapping[str, Value]) -> Mapping_:
    """The tree with this one network under `networks`."""
    network = _tree(values, tree.span)
    networks = Entry(tree.span, Mapping_({name: Entry(tree.span, network)}, tree.span))
    return replace(tree, entries=tree.entries | {"networks": networks})


def _tree(value: Any, span: Span) -> Tree:
    """A value as a spec has it."""
    match value:
        case Fraction():
            return Scalar(literal(value), span)
        case tuple():
            items = tuple(_tree(item, span) for item in value)
            return Items(items, span, 1 + len(items))
        case Op():
            given = value.attributes()
            return _tree({value.kind: given} if given else value.kind, span)
        case Mapping():
            entries = {k: Entry(span, _tree(v, span)) for k, v in value.items()}
            return Mapping_(entries, span, 1 + len(entries))
    return Scalar(value, span)


def _wanted(
    loaded: Loaded,
    network: str | None,
    settings: Mapping[str, Value],
    findings: list[Diagnostic],
) -> Iterator[tuple[str, dict[str, Setting]]]:
    """The networks to build, each with what sets its parameters.

    Settings from the command line make one network more, named after them, so that no
    file of another network is overwritten.
    """
    spec, gaps = loaded.spec, loaded.gaps
    for key in settings:
        if key not in spec.network.params and not gaps.within("network"):
            hint = did_you_mean(key, spec.network.params)
            raise UsageError(f"{loaded.file}: no parameter '{key}' to set", hint)
    if network not in (None, *spec.networks) and not gaps.at("networks"):
        hint = did_you_mean(str(network), spec.networks)
        raise UsageError(f"{loaded.file}: no network '{network}'", hint)
    _refuse_other_kinds(settings, spec.network.params)
    given: dict[str, Setting] = {k: (v, None) for k, v in settings.items()}
    if settings or not spec.networks:
        stem = network or _default_name(loaded, findings)
        name = name_with(stem, settings, spec.networks, spec.network.params)
        yield name, _declared(loaded, network, findings) | given
        return
    for name in [network] if network else spec.networks:
        yield name, _declared(loaded, name, findings)


def _refuse_other_kinds(
    settings: Mapping[str, Value], params: Mapping[str, Any]
) -> None:
    """Raise `UsageError` for a setting of another kind than what the spec has there."""
    for key, value in settings.items():
        written = params.get(key)
        name = None if written is None else word(written)
        if written is None or (name and (name in params or name not in BARE)):
            continue
        wanted = Fraction(0) if isinstance(written, Expr) else constant(written)
        wanted = BARE[name] if name else wanted
        set_ = f"--set {key}={typed(value)}"
        if isinstance(value, str) and value not in BARE and not isinstance(written, Op):
            message, hint = _no_value(value, wanted)
            raise UsageError(f"{set_}: {message}", hint)
        given = BARE.get(value, value) if isinstance(value, str) else value
        if wanted is not None and general_kind(given) != general_kind(wanted):
            why = f"in the spec '{key}' is {general_kind(wanted)}, not {general_kind(given)}"
            raise UsageError(f"{set_}: {why}")


def _no_value(value: str, wanted: Value | None) -> tuple[str, str | None]:
    """Why a word is no value of that kind, and a hint."""
    if not isinstance(wanted, Op):
        return f"unknown parameter '{value}'", word_meant(value)
    if value not in OPS:
        return f"unknown op '{value}'", elsewhere.hint(value)
    return f"the op is written with its attributes, {value}(NAME=VALUE, ...)", None


def _declared(
    loaded: Loaded, network: str | None, findings: list[Diagnostic]
) -> dict[str, Setting]:
    """The parameters that an entry of `networks` sets, the unknown ones with findings."""
    settings: dict[str, Setting] = {}
    params = loaded.spec.network.params
    written = loaded.spec.networks.get(network or "", {})
    for key, value in written.items():
        loc = ("networks", str(network), key)
        span, known = at(loaded.tree, loc).span, not loaded.gaps.at(*loc)
        if key not in params and not loaded.gaps.within("network", "params"):
            message = f"the network has no parameter '{key}'"
            hint, place = did_you_mean(key, params), key_span(loaded.tree, loc)
            at_fault = ("network", "params", key)
            findings.append(
                Diagnostic(
                    codes.UNKNOWN_PARAMETER, message, place, hint, missing=at_fault
                )
            )
        plain = constant(value)
        if plain is None:
            message = f"'{show(value)}' has parameters, and networks set plain numbers"
            findings.append(Diagnostic(codes.NOT_CONSTANT, message, span))
            known = False
        free = [param for param in params if param not in written]
        name = key if key in params else nearest(key, free)
        if name is not None:
            settings[name] = (plain if known else None, span)
    return settings


def _default_name(loaded: Loaded, findings: list[Diagnostic]) -> str:
    """After the file; whatever it is called, where something else is wrong."""
    try:
        return default_name(Path(loaded.file))
    except UsageError:
        if not findings:
            raise
        return "network"


def default_name(path: Path) -> str:
    """The network's name after the spec's file, for a spec without `networks`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", path.stem).strip("_")
    if why := network_refusal(name):
        raise UsageError(
            f"{path}: the file's name cannot name its network: {why}",
            "rename the file, or list names under 'networks:'",
        )
    return name
