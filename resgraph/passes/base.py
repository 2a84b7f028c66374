"""What a pass is: from a program to a program and findings, with what it needs and keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

P = TypeVar("P")
Q = TypeVar("Q")
F = TypeVar("F")


class Fact(Enum):
    """What is known of a program, or stays as it was."""

    CHECKED = "what is wrong with its names and paths has been told"
    SHAPES = "its values have shapes"
    SIZED = "what is too large has been told"
    WEIGHTS = "it has numbers"
    LAYERS = "the names of its state_dict"
    TRAINING = "what it computes in training"
    INFERENCE = "what it computes at inference"


EVERYTHING = frozenset(Fact)
FOLDED = EVERYTHING - {Fact.LAYERS, Fact.TRAINING}
"""What a pass for inference keeps."""


@dataclass(frozen=True)
class Pass(Generic[P, Q, F]):
    """One step from a spec's program to what is emitted.

    It runs on any program with the facts that it `needs`, and finds anything from a remark
    to an error; after an error it goes on with what it understands. Afterwards the facts that
    it `keeps` are still there, and those that it `gives` are new.
    """

    name: str
    run: Callable[[P], tuple[Q, Sequence[F]]]
    needs: frozenset[Fact] = frozenset()
    gives: frozenset[Fact] = frozenset()
    keeps: frozenset[Fact] = EVERYTHING


def check(
    name: str,
    told: Callable[[P], Iterable[F]],
    needs: frozenset[Fact] = frozenset(),
    gives: frozenset[Fact] = frozenset(),
) -> Pass[P, P, F]:
    """A pass that tells what is wrong with a program, and leaves it as it is."""
    return Pass(name, lambda program: (program, [*told(program)]), needs, gives)


Watch = Callable[[Pass[Any, Any, Any], Any, Any], None]
"""Is told of each pass, the program before it and the one after it."""


def run(
    passes: Iterable[Pass[Any, Any, F]],
    program: Any,
    known: frozenset[Fact] = frozenset(),
    watch: Watch | None = None,
) -> tuple[Any, list[F]]:
    """The program after the passes, one after the other, and all that they found.

    `known` are the facts that there are before the first. Raises `ValueError` where a pass
    stands before one that it needs.
    """
    findings: list[F] = []
    for each in passes:
        if missing := each.needs - known:
            names = ", ".join(sorted(fact.name for fact in missing))
            raise ValueError(f"the pass '{each.name}' needs {names}")
        made, found = each.run(program)
        if watch is not None:
            watch(each, program, made)
        program, known = made, (known & each.keeps) | each.gives
        findings += found
    return program, findings
