"""The generated module beside another: inference, training, and the weights after some steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from resgraph.graph import Graph
from resgraph.train import Recipe
from resgraph.verify import state
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.isomorphism import Match, match
from resgraph.verify.numbers import (
    INFERENCE,
    Batch,
    Distance,
    Numbers,
    distance,
    measured,
    same_bits,
)
from resgraph.verify.places import Divergence, first_divergence, spans
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.trace import record, trace


@dataclass
class Comparison:
    """Two networks with the same structure, on the same numbers.

    `names` maps the names of our tensors to theirs, `start` holds our weights to begin with.
    """

    graph: Graph
    ours: nn.Module
    theirs: nn.Module
    meant: Interpreter
    names: Mapping[str, str]
    start: Mapping[str, Tensor]
    exactly: bool
    """Whether they do the same in the same order, so that every bit must be equal."""
    what: str
    exact: Numbers | None = field(default=None, init=False)

    def checks(self, batch: Batch, recipe: Recipe) -> Iterator[Check]:
        """A check per quantity; afterwards the networks are trained by a few steps."""
        own = {name: name for name in self.names}
        ours, lr = measured(self.ours, own, batch, recipe)
        theirs, _ = measured(self.theirs, self.names, batch, recipe, lr)
        for quantity in ours:
            name = f"{quantity}: {self.what}"
            if same_bits(ours[quantity], theirs[quantity]):
                count = len(ours[quantity])
                many = f"{count:,} tensors" if count > 1 else "logits"
                yield passed(name, f"{many} equal to the last bit")
            else:
                exact = self._exact(batch, recipe, lr)
                far = distance(ours[quantity], theirs[quantity], exact[quantity])
                yield self._judged(name, quantity, far, batch)

    def _judged(self, name: str, quantity: str, far: Distance, batch: Batch) -> Check:
        if far.within and not self.exactly:
            return passed(name, str(far))
        text = str(far)
        if self.exactly and far.within:
            text = f"the same ops in the same order, and other bits: {text}"
        found = self._first_divergence(quantity != INFERENCE, batch)
        if found is not None:
            return failed(name, f"{text}; {found}", found.place.span)
        return failed(name, text, spans(self.graph).get(far.name.rpartition(".")[0]))

    def _exact(self, batch: Batch, recipe: Recipe, lr: float) -> Numbers:
        """What their network computes in float64."""
        if self.exact is None:
            self.exact, _ = measured(
                self._double(), self.names, batch.double(), recipe, lr
            )
        return self.exact

    def _double(self) -> nn.Module:
        state.load(self.theirs, self.start, self.names)
        return deepcopy(self.theirs).double()

    def _first_divergence(self, training: bool, batch: Batch) -> Divergence | None:
        """The first node whose value diverges; None where it is in the backward pass alone."""
        exact = self._double()
        state.load(self.ours, self.start, {n: n for n in self.names})
        images = batch.images[:1] if not training else batch.images
        values: list[dict[str, Tensor]] = []
        flows = []
        for network in (self.ours, self.theirs, exact):
            torch.manual_seed(0)
            wide = next(network.parameters()).dtype
            flows.append(record(network.train(training), images.to(wide)))
        meant = trace(self.meant, self.graph.input, training)
        nodes, pairs = match(flows[0], meant), match(flows[0], flows[1])
        if not (isinstance(nodes, Match) and isinstance(pairs, Match)):
            return None
        in_both = {i: j for i, j in nodes.steps.items() if i in pairs.steps}
        names = {i: meant.steps[j].scope for i, j in in_both.items()}
        places = [{i: i for i in names}, pairs.steps, pairs.steps]
        for flow, place in zip(flows, places, strict=True):
            values.append({name: flow.values[place[i]] for i, name in names.items()})
        return first_divergence(self.graph, list(names.values()), *values)
