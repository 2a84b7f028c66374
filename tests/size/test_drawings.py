"""Drawings of any unit: in time, or refused with what there is too much of."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from resgraph import limits
from resgraph.cli import app
from resgraph.draw.layout import Link, SizeError, layout
from resgraph.draw.wires import PORT, _downwards, _Hop
from resgraph.report import of_spec
from tests.size.specs import all_to_all, branches, chain, one_unit
from tests.size.work import growth


def drawn(text: str, folder: Path) -> tuple[int, str]:
    """The exit code of `draw`, and what it says."""
    spec, out = folder / "spec.yaml", folder / "out.svg"
    spec.write_text(text)
    result = CliRunner().invoke(app, ["draw", str(spec), "--out", str(out)])
    return result.exit_code, f"{result.output} {result.exception or ''}"


def test_wires_grow_with_the_paths() -> None:
    """The work of a gap between two rows, all of whose lines arrive at one node."""

    def gap(count: int) -> list[str]:
        hops = [_Hop(f"p{i}", 0, 30.0 * i, 3.0 * i) for i in range(count)]
        return [*_downwards(hops)]

    assert growth(lambda n: gap(n), 200) < 3.5


def slowly(hops: list[_Hop]) -> list[str]:
    """The same order as its definition has it: pair by pair, one source at a time."""
    left = list(dict.fromkeys(hop.source for hop in hops))
    order = []

    def above(a: str, b: str) -> bool:
        mine = [hop.start for hop in hops if hop.source == a]
        theirs = [hop.end for hop in hops if hop.source == b]
        return any(abs(x - y) < PORT for x, y in product(mine, theirs))

    while left:
        free = [b for b in left if not any(above(a, b) for a in left if a != b)]
        order.append((free or left)[0])
        left.remove(order[-1])
    return order


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_lines_is_as_defined(seed: int) -> None:
    """Circles among them, and ends that only just touch."""
    random = Random(seed)
    columns = [random.choice((0, 9, 4.5, 18, 27)) * 1.0 for _ in range(60)]
    hops = [
        _Hop(f"p{random.randrange(12)}", 0, *random.sample(columns, 2))
        for _ in range(random.randrange(1, 25))
    ]
    assert [*_downwards(hops)] == slowly(hops)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (branches(300), ""),
        (chain(300, "relu"), ""),
        (all_to_all(15), ""),
        (all_to_all(60), "crossings of rows by its lines"),
    ],
    ids=["branches", "chain", "woven", "too woven"],
)
def test_units_are_drawn_or_refused(text: str, wrong: str, tmp_path: Path) -> None:
    code, said = drawn(text, tmp_path)
    assert code == bool(wrong), said
    assert wrong in said
    assert (tmp_path / "out.svg").exists() != bool(wrong)
    if wrong:
        assert "the unit 'body' cannot be drawn" in said
        assert f"up to {limits.DRAWN_LANES:,}" in said


def test_a_report_tells_what_it_cannot_draw(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(all_to_all(60))
    units = of_spec(spec).facts["units"]
    shown = [unit["drawing"]["svg"] for unit in units if unit["name"] == "body"]
    assert "cannot be drawn" in " ".join(shown)
    assert len(units) == 3


@pytest.mark.parametrize("count", [limits.DRAWN_NODES, limits.DRAWN_NODES + 1])
def test_the_limit_of_nodes(count: int) -> None:
    widths = {str(i): 10.0 for i in range(count)}
    links = [Link("0", str(i)) for i in range(1, count)]
    if count > limits.DRAWN_NODES:
        with pytest.raises(SizeError, match=f"{count:,} nodes"):
            layout(widths, links)
    else:
        assert len(layout(widths, links).columns) == count


def test_every_op_of_many_is_found_in_the_source(tmp_path: Path) -> None:
    """A sum of 700 is a statement of one line or 700, and no tree that Python gives up on."""
    spec = tmp_path / "spec.yaml"
    for text in (branches(700), chain(300, "bn"), one_unit(_same())):
        spec.write_text(text)
        found = of_spec(spec).facts["networks"][0]["lines"]["units"]["body"]
        assert all(found.values())


def _same() -> list[str]:
    """Paths of every length whose ops are printed alike."""
    paths = [
        f"p{i}: {{from: x, ops: [{', '.join(['relu'] * i)}]}}" for i in range(1, 9)
    ]
    return [
        *paths,
        f"out: {{from: [{', '.join(f'p{i}' for i in range(1, 9))}], ops: [add]}}",
    ]
