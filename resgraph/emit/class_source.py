"""A block as a class: layers in `__init__`, named values in `forward`.

A unit is one, with its parameters as arguments and formulas over them; so is the network,
in which all is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from resgraph.emit.body import Body, Chain
from resgraph.emit.formulas import Formula, Formulas
from resgraph.emit.layout import (
    INDENT,
    WIDTH,
    commented,
    exploded,
    laid_out,
    signature,
    statement,
)
from resgraph.emit.rows import Parameter, Rows, plain
from resgraph.emit.variants import Variant, unique
from resgraph.expr import Expr
from resgraph.graph import Instance, Node, Part, Row, Style
from resgraph.graph.uses import POSITION
from resgraph.ops import Op, Shape, Start
from resgraph.ops.source import real, whole
from resgraph.parser import Truth
from resgraph.syntax import (
    Call,
    Generator,
    Item,
    Listing,
    Literal,
    Name,
    Spread,
    Syntax,
    Ternary,
    call,
    free_names,
    names,
    replaced,
    walk,
)

BODY = 8
"""Columns before a statement of a method."""
STATEMENT = 56
"""Columns that nested calls may take in one statement."""


class Statement(NamedTuple):
    """Lines of a method, and the ops and rows whose they are."""

    lines: list[str]
    nodes: tuple[str, ...] = ()

    def inside(self) -> Statement:
        """The same within an `if`."""
        return Statement([INDENT + line for line in self.lines], self.nodes)


class ClassSource:
    """The statements of one class's `__init__` and `forward`."""

    def __init__(
        self,
        bodies: Sequence[Body],
        variant: Variant | None,
        name: str,
        output_class: str,
        rows: Callable[[Formulas], Rows],
        in_loop: Mapping[str, Start],
        classes: Collection[str] = (),
    ) -> None:
        """Raises `NoFormula` where one class cannot serve all instances.

        `in_loop` has the torch classes whose weight the network starts in its loop over
        modules, and how.
        """
        self.bodies, self.variant, self.name = bodies, variant, name
        self.output_class = output_class
        self.in_loop = in_loop
        self.params = {p.name for p in variant.block.params} if variant else set()
        self.formulas = Formulas(bodies, variant, classes)
        self.rows = rows(self.formulas)
        self.written: list[Syntax] = []
        self.stored: dict[str, str] = {}
        self.chains = [*_kept(bodies)]
        self.nodes = [node for chain in self.chains for node in chain.nodes]
        self.ops = {
            n.name: self.formulas.op(n) for n in self.nodes if isinstance(n, Node)
        }
        self.heavy = {node.name for node in self.nodes if self._heavy(node)}
        self._note_channels()
        self._attributes = {node.name for node in self.nodes if self._has_layer(node)}
        self.flags = self._flags()
        self.variables = self._variables()
        self.variables_of_inputs = {n: self.variables[n] for n in self.formulas.inputs}
        self.forward = [*self._forward()]
        self.layers = [*self._layers()]
        self.takes = [p for p in self.parameters() if p.name in self._read()]

    # --- values -----------------------------------------------------------------------

    def _note_channels(self) -> None:
        present = {node.name for node in self.nodes}
        for node in self.bodies[0].nodes:
            if node.name not in present:
                self.formulas.channels[node.name] = self.formulas.channels[
                    node.inputs[0]
                ]
            elif isinstance(node, Row):
                self.rows.note(node)
            else:
                self._note(node)

    def _note(self, node: Node) -> None:
        given = [self.formulas.channels[i] for i in node.inputs]
        claims = [self.ops[node.name].channels_out(given)]
        if node.when is not None:
            claims.append(given[0])
        self.formulas.note(node.name, *claims)

    def _heavy(self, node: Part) -> bool:
        """Whether it multiplies, in an instance in which it is there."""
        for body in self.bodies:
            if isinstance(node, Row):
                runs = _runs(body, node)
                if runs:
                    return sum(run.total("multiply_adds") for run in runs) > 0
            elif (
                shapes := [body.shape(i) for i in node.inputs]
            ) and None not in shapes:
                for resolved in _nodes(body):
                    if resolved.name == node.name and isinstance(resolved, Node):
                        given = [self.formulas.actual(body, i) for i in node.inputs]
                        return resolved.op.multiply_adds(*given) > 0
        return False

    def _has_layer(self, node: Part) -> bool:
        return isinstance(node, Row) or self._made(node) is not None

    def _made(self, node: Node) -> Call | None:
        """The constructor call of the op's layer."""
        given = (self.formulas.channels[i] for i in node.inputs)
        return self.ops[node.name].torch_layer(*given)

    @property
    def outputs(self) -> dict[str, Formula]:
        """By the name of each output, its channels."""
        block = self.bodies[0].instance.source or self.bodies[0].instance.block
        return {n: self.formulas.channels[v] for n, v in block.results.items()}

    # --- what the constructor takes ---------------------------------------------------

    def input_of(self, key: str) -> tuple[int, str]:
        """The input, by its place, of which it is a side, and its axis."""
        what, _, axis = key.partition(".")
        return (0 if what == "in" else self.formulas.inputs.index(what)), axis or "c"

    def key_of(self, name: str) -> str:
        """What expressions call the parameter."""
        return next(k for k, v in self.formulas.local.items() if v == name)

    def parameters(self) -> list[Parameter]:
        """All that its constructor may take: sides, parameters, positions, and last those
        with a default."""
        local = self.formulas.local
        around = [
            Parameter(k, n, "int") for k, n in local.items() if k not in self.params
        ]
        own = [
            Parameter(p.name, local[p.name], self._kind(p.name), p.default)
            for p in (self.variant.block.params if self.variant else ())
            if p.name in local
        ]

        def rank(parameter: Parameter) -> int:
            if parameter.default is not None:
                return 3
            if parameter.key in self.params:
                return 1
            return 2 if parameter.key.removeprefix("@") in POSITION else 0

        return sorted([*around, *own], key=rank)

    def _kind(self, param: str) -> str:
        values = [body.instance.args[param] for body in self.bodies]
        several = [v for v in values if isinstance(v, tuple)]
        numbers = [n for each in several for n in each] or values
        name = self.formulas.local[param]
        is_whole = name in self._whole or (
            name not in self._real and all(n.denominator == 1 for n in numbers)  # type: ignore[union-attr]
        )
        kind = "int" if is_whole else "float"
        return f"list[{kind}]" if several else kind

    @property
    def _whole(self) -> set[str]:
        """The names that must be whole numbers somewhere."""
        return {n for tree, is_whole in self._uses() if is_whole for n in names(tree)}

    @property
    def _real(self) -> set[str]:
        return {
            n for tree, is_whole in self._uses() if not is_whole for n in names(tree)
        }

    def _uses(self) -> Iterator[tuple[Syntax, bool]]:
        """The expressions that are written, and whether they must come out whole."""
        for op in self.ops.values():
            for attribute, kind in op.numbers().items():
                value = getattr(op, attribute)
                if isinstance(value, Expr):
                    yield value.tree, kind.whole
        for node in self.nodes:
            if isinstance(node, Row):
                yield self.rows.repeat(node), True
                for segment in self.rows.segments(node):
                    for parameter in segment.callee.takes:
                        value = segment.values[parameter.name]
                        if isinstance(value, Expr):
                            yield value.tree, parameter.whole
        for tree in self.written:
            for item in walk(tree):
                if isinstance(item, Item):
                    yield item.index, True

    def _read(self) -> set[str]:
        """The names that something in the class reads."""
        return {name for tree in self.written for name in free_names(tree)}

    def signature(self) -> list[str]:
        """`def __init__(self, in_channels: int, width: int) -> None:`"""
        items = ["self", *map(str, self.takes)]
        return signature("def __init__(", items, ") -> None:", 4)

    def construction(self, values: Mapping[str, Any]) -> Call:
        """Its constructor as a row calls it; defaults are left out."""
        positional, named = list[Syntax](), dict[str, Syntax]()
        for parameter in self.takes:
            value = values[parameter.name]
            if parameter.key == "in" and not named:
                positional.append(_shown(value, parameter.whole))
            elif value != parameter.default:
                named[parameter.name] = _shown(value, parameter.whole)
        return call(self.name, *positional, **named)

    # --- __init__ ---------------------------------------------------------------------

    def _layers(self) -> Iterator[Statement]:
        """The statements of `__init__`: what `forward` reads, and layers."""
        kept = sorted(self.stored, key=[p.name for p in self.parameters()].index)
        for name in kept:
            self.written.append(Name(name))
            yield Statement([f"self.{self.stored[name]} = {name}"])
        told = set[str]()
        for flag, nodes in groupby(self.nodes, self._flag):
            if flag is not None and flag not in told:
                told.add(flag)
                yield self._flag_statement(flag)
            made = [
                s for node in nodes for s in self._layer(node, BODY + 4 * bool(flag))
            ]
            if flag is not None and made:
                yield Statement([f"if self.{flag}:"])
                made = [each.inside() for each in made]
            yield from made

    def _layer(self, node: Part, indent: int) -> Iterator[Statement]:
        if isinstance(node, Row):
            yield Statement(self._row_layer(node, indent), (node.name,))
            return
        made = self._made(node)
        if made is not None:
            self.written.append(made)
            lines = statement(f"self.{node.name} =", made, indent)
            lines += self._starts(node, made, indent)
            yield Statement(lines, (node.name,))

    def _starts(self, node: Node, made: Call, indent: int) -> list[str]:
        """The statements for weights that neither torch nor the network's loop starts so."""
        lines = []
        op = self.ops[node.name]
        for name, start in op.starts().items():
            looped = name == "weight" and self.in_loop.get(made.function) == start
            if start != op.torch_starts.get(name) and not looped:
                started = start.torch(Name(f"self.{node.name}.{name}"))
                self.written.append(started)
                lines += laid_out("", started, "", indent)
        return lines

    def _row_layer(self, row: Row, indent: int) -> list[str]:
        items = self.rows.items(row)
        self.written += items
        start = f"self.{row.name} ="
        if row.style is not Style.NUMBERED:
            return statement(start, items[0], indent)
        one = items[0] if len(items) == 1 else None
        if not self.sequential(row):
            flat = Generator(one) if isinstance(one, Spread) else Listing(tuple(items))
            made = call("nn.ModuleList", flat)
            if one and indent + len(f"{start} {made}") <= WIDTH:
                return [f"{start} {made}"]
            listed = exploded("", items, indent + len(INDENT), "[]")
            return [f"{start} nn.ModuleList(", *(INDENT + line for line in listed), ")"]
        made = call("nn.Sequential", *items)
        if (
            self.variant is not None
            and one
            and indent + len(f"{start} {made}") <= WIDTH
        ):
            return [f"{start} {made}"]
        return exploded(f"{start} nn.Sequential", items, indent)

    # --- conditions -------------------------------------------------------------------

    def _flags(self) -> dict[str, str]:
        """By each condition that not all instances decide alike, what the class calls it."""
        found: dict[str, str] = {}
        there = [{node.name for node in _nodes(body)} for body in self.bodies]
        for chain in self.chains:
            for node in chain.nodes:
                if node.when is None or all(node.name in each for each in there):
                    continue
                text = str(self.formulas.condition(node.when))
                if text not in found:
                    every = all(str(n.when) == str(node.when) for n in chain.nodes)
                    wanted = f"has_{chain.variable if every else node.name.lower()}"
                    taken = {
                        *self._attributes,
                        *found.values(),
                        *self.formulas.local.values(),
                    }
                    found[text] = unique(wanted, taken)
        return found

    def _flag(self, node: Part) -> str | None:
        if node.when is None:
            return None
        return self.flags.get(str(self.formulas.condition(node.when)))

    def _flag_statement(self, flag: str) -> Statement:
        tree = next(
            self.formulas.condition(node.when)
            for node in self.nodes
            if node.when is not None and self._flag(node) == flag
        )
        tree = _python(tree)
        self.written.append(tree)
        return Statement(statement(f"self.{flag} =", tree, BODY))

    # --- forward ----------------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        """By input and chain, the variable that holds its value."""
        found = {name: name.lower() for name in self.formulas.inputs}
        if self.variant is None:
            found = dict.fromkeys(self.formulas.inputs, "x")
        own = [c for c in self.chains if c.variable in ("x", c.section)]
        rest = [c for c in self.chains if c not in own]
        for chain in [
            *own,
            *rest,
        ]:  # stages have their names before what is in the stem
            same = self.variant is None and chain.variable == "x"
            taken = {*found.values(), *self.formulas.classes} - (
                {"x"} if same else set()
            )
            found[chain.name] = unique(chain.variable, taken)
        return found

    def value(self, source: str) -> Name:
        """A value as `forward` reads it."""
        name, dot, output = source.partition(".")
        return Name(f"{self.variables[name]}{dot}{output}")

    def _forward(self) -> Iterator[Statement]:
        """The statements of `forward`, the last one returning the block's values."""
        results = self.bodies[0].results
        single = next(iter(results.values())) if len(results) == 1 else None
        done = False
        for i, chain in enumerate(self.chains):
            last = i == len(self.chains) - 1 and chain.name == single
            if not chain.nodes and not last:
                self.variables[chain.name] = self.value(chain.sources[0]).text
                continue
            yield from self._chain(chain, last)
            done = last
        if not done:
            yield self._return(results)

    def _return(self, results: Mapping[str, str]) -> Statement:
        values = {name: self.value(value) for name, value in results.items()}
        if len(values) == 1:
            return Statement([f"return {next(iter(values.values()))}"])
        alike = all(str(value) == name for name, value in values.items())
        made = (
            call(self.output_class, *values.values())
            if alike
            else call(self.output_class, **values)
        )
        return Statement(statement("return", made, BODY))

    def _chain(self, chain: Chain, last: bool) -> Iterator[Statement]:
        """The chain's statements; the last one returns its value, if it is the last chain."""
        name = self.variables[chain.name]
        value = [self.value(source) for source in chain.sources]
        parts = [
            (flag, list(nodes)) for flag, nodes in groupby(chain.nodes, self._flag)
        ]
        if not parts:
            yield Statement([f"return {value[0]}"])
        for i, (flag, nodes) in enumerate(parts):
            final = last and i == len(parts) - 1
            if flag is None:
                made, value = self._plainly(nodes, name, value, BODY, final)
            else:
                made, value = self._optionally(flag, nodes, name, value, final)
            yield from made

    def _optionally(
        self,
        flag: str,
        nodes: list[Part],
        name: str,
        value: Sequence[Name],
        final: bool,
    ) -> tuple[list[Statement], Sequence[Name]]:
        """Statements that hold where the flag is set."""
        groups = self._statements(nodes, name)
        own = [Name(name)]
        if len(groups) == 1 and not self._loops(groups[0][-1]) and list(value) != own:
            tree = Ternary(
                self._expression(groups[0], value), Name(f"self.{flag}"), value[0]
            )
            start = "return" if final else f"{name} ="
            lines = statement(start, tree, BODY)
            if len(lines) == 1:
                self.written.append(tree)
                last = groups[0][-1].name
                made = commented(lines, self._comment(last), BODY)
                return [Statement(made, tuple(n.name for n in nodes))], own
        made_ = []
        if list(value) != own:
            made_.append(Statement([f"{name} = {value[0]}"]))
        made_.append(Statement([f"if self.{flag}:"]))
        inner, after = self._plainly(nodes, name, value, BODY + 4, False)
        made_ += [each.inside() for each in inner]
        if final:
            made_.append(Statement([f"return {name}"]))
        return made_, after

    def _plainly(
        self,
        nodes: list[Part],
        name: str,
        value: Sequence[Name],
        indent: int,
        final: bool,
    ) -> tuple[list[Statement], Sequence[Name]]:
        made: list[Statement] = []
        groups = self._statements(nodes, name)
        for group in groups:
            last = final and group is groups[-1]
            node = group[-1]
            if self._loops(node):
                assert isinstance(node, Row)
                made += self._loop(node, name, value)
                made += [Statement([f"return {name}"])] * last
            else:
                made += self._group(group, name, value, indent, last)
            value = self._values_of(node, name)
        return made, value

    def _group(
        self,
        group: list[Part],
        name: str,
        value: Sequence[Name],
        indent: int,
        last: bool,
    ) -> Iterator[Statement]:
        tree = self._expression(group, value)
        if last or tree != Name(name):
            self.written.append(tree)
            lines = statement("return" if last else f"{name} =", tree, indent)
            lines = commented(lines, self._comment(group[-1].name), indent)
            yield Statement(lines, tuple(node.name for node in group))

    def _values_of(self, node: Part, name: str) -> list[Name]:
        """The values of a node that the variable holds."""
        if isinstance(node, Row):
            outputs = self.rows.callees(node)[-1].outputs
            if len(outputs) > 1:
                return [Name(f"{name}.{output}") for output in outputs]
        return [Name(name)]

    def _statements(self, nodes: Sequence[Part], name: str) -> list[list[Part]]:
        """The ops in groups of one statement each, with at most one weight layer.

        A chain that starts with a weight layer reads as weight-BN-ReLU, any other one as
        BN-ReLU-weight: a statement ends before the next weight, or after its own. None
        grows longer than a reader takes in at once.
        """
        post = nodes[0].name in self.heavy
        groups: list[list[Part]] = []
        full = True
        for node in nodes:
            heavy = node.name in self.heavy
            alone = self._loops(node)
            if (
                not full
                and not alone
                and not (post and heavy)
                and self._fits([*groups[-1], node], name)
            ):
                groups[-1].append(node)
            else:
                groups.append([node])
            full = (heavy and not post) or alone or len(self._values_of(node, name)) > 1
        return groups

    def _fits(self, group: list[Part], name: str) -> bool:
        given = [Name(name)] * max(2, len(group[0].inputs))
        text = str(self._expression(group, given))
        return len(text) <= min(STATEMENT, WIDTH - BODY - len(f"{name} = "))

    def _expression(self, nodes: Sequence[Part], value: Sequence[Syntax]) -> Syntax:
        for node in nodes:
            layer = Name(f"self.{node.name}")
            if isinstance(node, Row):
                listed = row_is_list(self, node)
                value = [call(f"{layer}[0]" if listed else str(layer), *value)]
            else:
                op = self.ops[node.name]
                value = [op.torch_call(layer, *value, number=partial(self._number, op))]
        return value[0]

    def _number(self, op: Op, name: str) -> Syntax:
        """A number that `forward` reads: a parameter is kept on the module for it."""
        value, field = getattr(op, name), op.numbers()[name]
        if not isinstance(value, Expr):
            return number_of(op, name)
        for each in value.names:
            taken = {*self._attributes, *self.flags.values()}
            self.stored.setdefault(each, unique(each, taken))
        kept = {n: Name(f"self.{self.stored[n]}") for n in value.names}
        return replaced(value.syntax(whole=field.whole), kept)

    # --- rows of several values -------------------------------------------------------

    def sequential(self, row: Row) -> bool:
        """Whether its units take and make one value each, but for the last one's output."""
        callees = self.rows.callees(row)
        takes = all(len(c.formulas.inputs) == 1 for c in callees)
        return takes and all(len(c.outputs) == 1 for c in callees[:-1])

    def _loops(self, node: Part) -> bool:
        """Whether it takes statements of its own."""
        if not isinstance(node, Row) or node.style is not Style.NUMBERED:
            return False
        return not self.sequential(node) and self._count(node) != 1

    def _count(self, row: Row) -> int | None:
        """How many units it has; None where instances differ in it."""
        counts = {
            sum(r.count for r in runs) for b in self.bodies if (runs := _runs(b, row))
        }
        return counts.pop() if len(counts) == 1 else None

    def _loop(self, row: Row, name: str, value: Sequence[Name]) -> Iterator[Statement]:
        layer = f"self.{row.name}"
        unit = unique("unit", set(self.variables.values()))
        nodes = (row.name,)
        first = call(f"{layer}[0]", *value)
        self.written.append(first)
        comment = self._comment(row.name)
        yield Statement(statement(f"{name} =", first, BODY), nodes)
        for start, stop, several in self._slices(row):
            given = f"*{name}" if several else name
            if stop == start + 1:
                yield Statement([f"{name} = {layer}[{start}]({given})"], nodes)
                continue
            end = "" if stop is None else stop
            yield Statement([f"for {unit} in {layer}[{start}:{end}]:"], nodes)
            lines = commented([f"{name} = {unit}({given})"], comment, BODY + 4)
            yield Statement([INDENT + line for line in lines], nodes)

    def _slices(self, row: Row) -> Iterator[tuple[int, int | None, bool]]:
        """The units after the first one, those together that take alike."""
        if self.variant is not None:
            yield 1, None, len(self.rows.callees(row)[-1].formulas.inputs) > 1
            return
        body, places = self.bodies[0], list[bool]()
        for stretch in self.rows._of(body, row):
            source = self.rows.source(stretch.instances[0])
            places += [len(source.formulas.inputs) > 1] * stretch.count
        start = 1
        for several, group in groupby(places[1:]):
            stop = start + len(list(group))
            yield (
                start,
                (None if stop == len(places) and stop > start + 1 else stop),
                several,
            )
            start = stop

    # --- comments ---------------------------------------------------------------------

    def _comment(self, name: str) -> str:
        outputs = [
            v for v in self.formulas.channels if v == name or v.startswith(f"{name}.")
        ]
        if len(outputs) > 1:
            return ", ".join(f"{v.partition('.')[2]} {self._shape(v)}" for v in outputs)
        return self._shape(name)

    def _shape(self, name: str) -> str:
        if self.variant is None:
            return show_shape(self.formulas.actual(self.bodies[0], name))
        rank = len(self.formulas.actual(self.bodies[0], name))
        sides = [self._side(name, axis) for axis in range(1, rank)]
        return f"[{', '.join(['N', str(self.formulas.channels[name]), *sides])}]"

    def _side(self, name: str, axis: int) -> str:
        """A map's side as a formula of the input's that holds in every instance."""
        letter = "HW"[axis - 1]
        sides = [
            (
                body.instance.input[axis],
                self.formulas.actual(body, name)[axis],
                body.instance.args,
            )
            for body in self.bodies
        ]
        if all(before == after for before, after, _ in sides):
            return letter
        if all(after == 1 for _, after, _ in sides):
            return "1"
        for param in self.formulas.params_in_order():
            if all(
                not isinstance(args[param], tuple)
                and args[param] > 0
                and -(-before // args[param]) == after  # type: ignore[operator]
                for before, after, args in sides
            ):
                return f"{letter}/{self.formulas.local[param]}"
        ratios = {before / after for before, after, _ in sides}
        ratio = ratios.pop()
        if ratios:
            return f"{letter}'"
        if (1 / ratio).is_integer():
            return f"{1 / ratio:g} * {letter}"
        return f"{letter}/{ratio:g}" if ratio.is_integer() else f"{letter}'"


def row_is_list(source: ClassSource, row: Row) -> bool:
    """Whether its only unit is called by its number."""
    return row.style is Style.NUMBERED and not source.sequential(row)


def _kept(bodies: Sequence[Body]) -> Iterator[Chain]:
    """The chains with the nodes that are there in some instance."""
    there = {node.name for body in bodies for node in _nodes(body)}
    for chain in bodies[0].chains:
        nodes = tuple(node for node in chain.nodes if node.name in there)
        yield Chain(chain.name, chain.sources, nodes, chain.variable, chain.section)


def _nodes(body: Body) -> Iterable[Part]:
    """The nodes that are there in an instance, resolved."""
    return (n for i in (body.instance, *body.inner.values()) for n in i.block.nodes)


def _runs(body: Body, row: Row) -> Any:
    for instance in (body.instance, *body.inner.values()):
        if row.name in instance.runs:
            return instance.runs[row.name]
    return ()


def _shown(value: Any, is_whole: bool) -> Syntax:
    """An argument as Python has it."""
    if isinstance(value, Expr):
        return value.syntax(whole=is_whole)
    return value if isinstance(value, Syntax) else plain(value)


def _python(tree: Syntax) -> Syntax:
    return Literal(tree.value) if isinstance(tree, Truth) else tree


def number_of(op: Op, name: str) -> Syntax:
    """An attribute as `forward` reads it; each parameter is an attribute of the module."""
    value, field = getattr(op, name), op.numbers()[name]
    if isinstance(value, Expr):
        return value.syntax(prefix="self.", whole=field.whole)
    return whole(value) if field.whole else real(value)


def show_shape(shape: Shape) -> str:
    """`[N, 64, 32, 32]`"""
    return f"[{', '.join(['N', *map(str, shape)])}]"


__all__ = ["ClassSource", "Instance", "Statement", "number_of", "show_shape"]
