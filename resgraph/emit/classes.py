"""The classes of a graph's module: its units', and the network's."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property

from resgraph.emit.body import Body, network_body, unit_body
from resgraph.emit.class_source import ClassSource
from resgraph.emit.class_text import unit_text
from resgraph.emit.formulas import Formulas, NoFormulaError
from resgraph.emit.rows import Rows
from resgraph.emit.variants import Variant, Variants, unique
from resgraph.graph import HEAD, STEM, Graph, Instance, Node
from resgraph.names import class_name
from resgraph.ops import Start
from resgraph.syntax import Name

ONE = "Tensor"
"""What a class returns that makes one value."""


class Classes:
    """Writes each class, after those that it is made of."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.variants = Variants(graph)
        self.name = class_name(graph.name)
        self.taken = {self.name, *map(class_name, graph.units), *self._helper_names()}
        """The names of the module's classes."""
        self.taken |= {variant.name for variant in self.variants.bottom_up}
        self._of: dict[int, ClassSource] = {}
        """By the id of an instance, its class."""
        self._written: dict[tuple[str, ...], ClassSource] = {}
        """By what is written in them, the classes of units."""
        self._returns: dict[str, str] = {}
        order = [block.name for block in graph.program.used]
        made = [c for v in self.variants.bottom_up for c in self._made(v)]
        self.units = sorted(
            dict.fromkeys(made), key=lambda c: order.index(_unit(c).block.name)
        )
        """In the order of the spec."""
        body = network_body(graph.network)
        self.network = self._class(self.name, self.name, [body], None)
        self._of.clear()  # a circle would wait for the garbage collector, which is slow

    def _made(self, variant: Variant) -> list[ClassSource]:
        """The variant's class, or several where one cannot serve all of its instances."""
        try:
            return [self._unit_class(variant)]
        except NoFormulaError:
            return [made for each in self._apart(variant) for made in self._made(each)]

    def _apart(self, variant: Variant) -> Iterator[Variant]:
        for number, each in enumerate(variant.apart()):
            each.name = unique(variant.name, self.taken) if number else variant.name
            self.taken.add(each.name)
            yield each

    def _unit_class(self, variant: Variant) -> ClassSource:
        bodies = [unit_body(variant.block, instance) for instance in variant.instances]
        base = class_name(variant.block.name)
        made = self._class(variant.name, base, bodies, variant)
        known = self._written.setdefault(_said(made), made)
        known.name = min(known.name, made.name, key=len)
        self._of |= {id(instance): known for instance in variant.instances}
        return known

    def _class(
        self, name: str, base: str, bodies: Sequence[Body], variant: Variant | None
    ) -> ClassSource:
        formulas = Formulas(bodies, variant, self.taken)
        rows = Rows(formulas, self._of, self.variants.split)
        returns = self._returned(base, bodies[0].instance)
        return ClassSource(name, returns, formulas, rows, self.in_loop)

    def _returned(self, name: str, instance: Instance) -> str:
        """What a block's `forward` returns: of several values, a class of their own."""
        if len(instance.outputs) == 1:
            return ONE
        if name not in self._returns:
            self._returns[name] = unique(f"{name}Output", self.taken)
            self.taken.add(self._returns[name])
        return self._returns[name]

    # --- what the ops bring -----------------------------------------------------------

    @cached_property
    def ops(self) -> list[Node]:
        """The ops of all classes, with numbers, in the order of the spec."""
        ends = [self.graph.end(name) for name in (STEM, HEAD)]
        units = [i for variant in self.variants.all for i in variant.instances]
        return [n for i in (*units, *filter(None, ends)) for n in i.block.ops]

    @cached_property
    def helpers(self) -> list[str]:
        """The classes that ops bring along, each once."""
        texts = dict.fromkeys(node.op.helper for node in self.ops)
        return [text.rstrip() for text in texts if text]

    def _helper_names(self) -> Iterator[str]:
        trees = (made for text in self.helpers for made in ast.parse(text).body)
        return (tree.name for tree in trees if isinstance(tree, ast.ClassDef))

    @cached_property
    def in_loop(self) -> dict[str, Start]:
        """The torch classes whose weight always starts in one way, and not torch's own.

        The network starts these in one loop over its modules.
        """
        found: dict[str, set[Start | None]] = {}
        for node in self.ops:
            made = node.op.torch_layer(*(Name("channels") for _ in node.inputs))
            start = node.op.starts().get("weight")
            own = start == node.op.torch_starts.get("weight")
            if made is not None and start is not None:
                found.setdefault(made.function, set()).add(None if own else start)
        kept = {
            name: starts.pop() for name, starts in found.items() if len(starts) == 1
        }
        return {name: start for name, start in kept.items() if start and start.note}


def _said(source: ClassSource) -> tuple[str, ...]:
    """All of a unit's class but its name, and what its rows must know of it."""
    outputs = (f"{name}: {made}" for name, made in source.outputs.items())
    return (_unit(source).block.name, *unit_text(source).lines[1:], *outputs)


def _unit(source: ClassSource) -> Variant:
    assert source.variant is not None
    return source.variant
