"""Misspelt names among many: the same hints as a letter-by-letter count, for little work."""

from __future__ import annotations

from random import Random

import pytest

from resgraph.diagnostics import edits, nearest
from tests.size.work import growth


def distance(a: str, b: str) -> int:
    """By definition: letters added, lost, changed, or swapped with the next."""
    table = [
        [i + j if not i * j else 0 for j in range(len(b) + 1)]
        for i in range(len(a) + 1)
    ]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, cost)
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@pytest.mark.parametrize("seed", range(20))
def test_edits_are_those_of_the_definition(seed: int) -> None:
    random = Random(seed)
    for _ in range(300):
        a, b = ("".join(random.choices("abc", k=random.randrange(8))) for _ in "ab")
        for most in range(4):
            there = distance(a, b)
            assert edits(a, b, most) == (there if there <= most else None), (a, b, most)


def test_a_wrong_name_among_many_costs_little_for_each() -> None:
    def look(count: int) -> str | None:
        return nearest("wrong_name", [f"another_name{i:05}" for i in range(count)])

    assert growth(look, 100) < 2.2
