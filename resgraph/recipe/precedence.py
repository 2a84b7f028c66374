"""Whose word counts: a data set's defaults, over them what the spec writes, over it options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from resgraph.diagnostics import OptionError
from resgraph.recipe.model import Recipe
from resgraph.recipe.words import PLACES, RIVALS, merged, suited

Words = Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The recipe of a run, in steps, and what a data set replaced of the spec's."""

    recipe: Recipe
    replaced: Mapping[str, tuple[Any, Any]]
    """By word, the spec's value and the run's."""

    def remark(self, data: str) -> str | None:
        """What was replaced, for a terminal; None where nothing was."""
        if not self.replaced:
            return None
        pairs = (
            f"{word} {shown(after)} instead of {shown(before)}"
            for word, (before, after) in self.replaced.items()
        )
        return fill(f"for {data}: {', '.join(pairs)}", 79, subsequent_indent="  ")


def shown(value: object) -> str:
    """A word's value, for the user."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return f"[{', '.join(str(v) for v in value)}]"
    return str(value)


def chosen(
    spec: Recipe, data: Words, options: Words, train_size: int, scale: float = 1.0
) -> Chosen:
    """The recipe for a training set of so many images.

    Another length, by options, in iterations or in epochs, or by a `scale`, shortens or
    stretches the whole schedule in proportion. Another `lr` scales `warmup_lr` with it.
    Raises `ResgraphError` for a value out of range, and for both lengths at once.
    """
    for one, other in RIVALS:
        if one in options and other in options:
            raise OptionError((one, other), "both say how long", "give one")
    direct = {w: v for w, v in options.items() if w not in (*PLACES, *_RELATIVE)}
    fitting = dict(_fitting(data, merged(spec.explicit, direct)))
    base = Recipe.of(merged(merged(fitting, spec.explicit), direct))
    run = base.settled(train_size).scaled(scale)
    if "lr" in options:
        run = _at_rate(run, options)
    if length := {w: options[w] for w in _LENGTHS if w in options}:
        run = run.lasting(_steps(length, run, train_size))
    if placed := {w: options[w] for w in PLACES if w in options}:
        in_epochs = "epochs" in options or (base.epochs and "iterations" not in options)
        run = _placed(run, placed, bool(in_epochs), train_size)
    return Chosen(run, _replaced(spec, run, fitting, options))


_LENGTHS = ("iterations", "epochs")
_RELATIVE = (*_LENGTHS, "lr")
"""Words that change others with them, as options."""


def _fitting(data: Words, upper: Words) -> Iterator[tuple[str, Any]]:
    """What of a data set's words goes with those above it.

    They are meant for the optimiser and the schedule of the paper. Where another length is
    written, what they count in steps is stretched to it; a length that something written lies
    beyond is left out.
    """
    taken = {*upper, *suited(upper)}
    for one, other in RIVALS:
        taken |= {one} if other in upper else set()
    length, written = data.get("iterations"), upper.get("iterations")
    if length and _furthest(upper) >= length:
        taken.add("iterations")
    factor = written / length if length and written else 1
    for word, value in data.items():
        if word in taken or (word == "milestones" and "epochs" in upper):
            continue
        if word == "milestones":
            value = tuple(round(m * factor) for m in value)
        elif word == "warmup_iterations":
            value = round(value * factor)
        yield word, value


def _furthest(words: Words) -> float:
    """The last step that is written."""
    steps = [words.get(word, 0) for word in ("ema_start", "warmup_iterations")]
    return float(max([*steps, *words.get("milestones", ())]))


def _at_rate(run: Recipe, options: Words) -> Recipe:
    """With another learning rate, and one of the warm-up in proportion unless it is given."""
    changed = run.changed(lr=options["lr"])
    if "warmup_lr" in options:
        return changed
    return changed.changed(warmup_lr=run.warmup_lr * changed.lr / run.lr)


def _steps(length: Words, run: Recipe, train_size: int) -> int:
    return Recipe.of({"batch": run.batch, **length}).settled(train_size).iterations


def _placed(run: Recipe, words: Words, in_epochs: bool, train_size: int) -> Recipe:
    """With milestones and the like where options put them, counted as the length is."""
    if not in_epochs:
        return run.changed(**words).settled(train_size)
    epochs = run.iterations * run.batch / train_size
    placed = run.changed(epochs=epochs, **words).settled(train_size)
    return placed.changed(iterations=run.iterations)


def _replaced(
    spec: Recipe, run: Recipe, fitting: Words, options: Words
) -> dict[str, tuple[Any, Any]]:
    """What the data set put in place of the spec's, and no option decided."""
    before, after = spec.as_dict(), run.as_dict()
    decided = {*options} | ({"iterations"} if "epochs" in options else set())
    return {
        word: (before[word], after[word])
        for word in fitting
        if word not in decided and word in before and word in after
        if before[word] != after[word]
    }
