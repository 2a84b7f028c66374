"""What was found, as tables: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machines.settings import SETTINGS as ALL_SETTINGS
from tests.machines.settings import TABLE, is_usual, lacking

Row = dict[str, Any]


@dataclass
class Findings:
    """Every row of every part, and the processor that they are from."""

    processor: str
    command: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    """Of jobs that did not end."""

    def wrong(self) -> list[str]:
        """False alarms, faults that nothing catches, jobs that did not end; a line each."""
        lines = [
            f"{part}: {_where(row)}: {_why(row)}"
            for part, rows in self.rows.items()
            for row in rows
            if not row["ok"]
        ]
        return lines + self.errors

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "machines.md").write_text(self.markdown(), encoding="utf-8")
        told = {"processor": self.processor, "command": self.command, **self.rows}
        (folder / "machines.json").write_text(json.dumps(told, indent=1))

    def markdown(self) -> str:
        parts = [f"`{self.command}` on {self.processor}.", ""]
        tables = (
            (SETTINGS, settings_table),
            (SETTINGS, float32_table),
            (INJECTED, injected_table),
            (FAULTS, faults_table),
            (FAULTS, own_table),
        )
        for part, table in tables:
            if rows := self.rows.get(part):
                parts += [*table(rows), ""]
        wrong = self.wrong()
        parts += [f"Wrong: {len(wrong)}.", *(f"- {line}" for line in wrong)]
        return "\n".join(parts) + "\n"


SETTINGS, INJECTED, FAULTS = "settings", "injected noise", "faults"


def _where(row: Row) -> str:
    names = ("network", "setting", "units", "part", "kind", "where", "check", "tensor")
    return ", ".join(str(row[name]) for name in names if name in row)


def _why(row: Row) -> str:
    if "ratio" in row:
        return f"{row['ratio']:.2g} times what rounding does"
    return row["broken"] or "nothing catches it"


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    """A table of Markdown."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [_line(head), _line(marks), *(_line(line) for line in lines)]


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


def _counted(rows: Sequence[Row]) -> tuple[object, ...]:
    """Networks, comparisons, false alarms, and the largest error."""
    networks = len({row["network"] for row in rows})
    alarms = sum(not row["ok"] for row in rows)
    largest = max(rows, key=lambda row: row["ratio"])
    return networks, f"{len(rows):,}", alarms, f"{largest['ratio']:.2f}"


_HEAD = (
    "networks",
    "comparisons",
    "false alarms",
    "largest error / expected (6 allowed)",
)


def settings_table(rows: Sequence[Row]) -> Iterator[str]:
    """False alarms in each setting, and the settings that this machine cannot have."""
    found = _grouped(rows, "setting")
    lines = [
        (name, *_counted(found[name,])) for name in ALL_SETTINGS if (name,) in found
    ]
    yield from table(("setting", *_HEAD), [*lines, ("all", *_counted(rows))])
    yield ""
    left = {n: lacking(s) for n, s in ALL_SETTINGS.items() if lacking(s)}
    told = [f"{name} (no {', '.join(flags)})" for name, flags in left.items()]
    yield f"Left out, as the processor lacks it: {'; '.join(told) or 'nothing'}."
    usual = [name for name, setting in ALL_SETTINGS.items() if is_usual(setting)]
    yield f"The same as 'as it is': {', '.join(usual) or 'none'}."


def float32_table(rows: Sequence[Row]) -> Iterator[str]:
    """Error and allowance in float32 of networks of 20 to 1,001 layers, over the settings."""
    ways = ("torch", "onnxruntime", "torch, other formulas")
    lines = []
    for name in TABLE:
        for way in ways:
            mine = [row for row in rows if _is(row, name, way)]
            if mine:
                lines.append((name, way, len(mine), *_float32(mine)))
    yield "16 images, float32; errors are relative, and ranges are over the settings:"
    yield ""
    yield from table(
        ("network", "by", "runs", "error", "expected", "allowed", "allowed / error"),
        lines,
    )


def _is(row: Row, network: str, way: str) -> bool:
    """Whether it is a row of the network, computed in one of the ways of float32."""
    exact = row["check"] == way
    level = way == "onnxruntime" and row["check"].startswith(way)
    return row["network"] == network and (exact or level)


def _float32(rows: Sequence[Row]) -> tuple[str, ...]:
    errors = [row["error"] for row in rows]
    ratios = [row["allowed"] / row["error"] for row in rows]
    expected, allowed = rows[0]["expected"], rows[0]["allowed"]
    least, most = min(ratios), max(ratios)
    return (
        f"{min(errors):.1e} to {max(errors):.1e}",
        f"{expected:.1e}",
        f"{allowed:.1e}",
        f"{least:.0f} to {most:.0f}",
    )


def injected_table(rows: Sequence[Row]) -> Iterator[str]:
    found = _grouped(rows, "check", "units")
    lines = [
        (check, f"{units} u", *_counted(group))
        for (check, units), group in sorted(found.items())
    ]
    yield from table(
        ("quantity", "noise", *_HEAD), [*lines, ("all", "", *_counted(rows))]
    )


def faults_table(rows: Sequence[Row]) -> Iterator[str]:
    """By which check `verify` catches faults, first."""
    alive = [row for row in rows if not row["equal"]]
    counts = Counter((row["part"], row["first"] or "nothing") for row in alive)
    names = sorted({name for _, name in counts}, key=lambda n: -_both(counts, n))
    lines = [(n, *(counts[part, n] for part in ("module", "ONNX"))) for n in names]
    sums = [sum(row["part"] == part for row in alive) for part in ("module", "ONNX")]
    head = ("caught first by", "modules", "ONNX")
    yield from table(head, [*lines, ("all", *sums)])
    equal = len(rows) - len(alive)
    kinds = len({(row["part"], row["kind"]) for row in rows})
    networks = len({row["network"] for row in rows})
    yield ""
    yield (
        f"{len(rows)} faults of {kinds} kinds in {networks} networks; {equal} of them "
        "change no bit and are left out."
    )


def _both(counts: Counter[tuple[str, str]], name: str) -> int:
    return counts["module", name] + counts["ONNX", name]


def own_table(rows: Sequence[Row]) -> Iterator[str]:
    """How many faults each check catches on its own, of those where it can be made."""
    alive = [row for row in rows if not row["equal"]]
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in alive:
        for check, said in row["each"].items():
            told[row["part"], check][said.partition(":")[0]] += 1
    lines = [
        (f"{check} ({part})", says["caught"], says["missed"], says["cannot run"])
        for (part, check), says in told.items()
    ]
    yield from table(("check on its own", "caught", "missed", "cannot run"), lines)
