"""`verify` and `import-weights`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, Network, Set, console, say, say_json, warn
from resgraph.cli.subjects import Target, exporter, targets
from resgraph.diagnostics import UsageError, plural, told
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from rich.table import Table

    from resgraph.verify import Carried, Check, Module, Options

TargetFile = Annotated[
    Path,
    typer.Argument(
        help="A spec, a generated file, or a model of resgraph's.",
        metavar="SPEC|NAME.py|NAME.onnx",
        show_default=False,
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="PATH:CALLABLE",
        help="Compare with this torch module instead of the paper's by hand; or none.",
    ),
]
SpecOf = Annotated[
    Path | None,
    typer.Option("--spec", help="The spec, where the file's own is elsewhere."),
]


NOT_PROVEN = 3
"""Exit code where numbers are equal and the structure is one that no rule knows, or where
the network's own numbers are not finite."""


@dataclass(frozen=True)
class Outcome:
    """A network, its checks, and the seconds that each of them took."""

    network: str
    checks: list[Check]
    each: list[float]

    @property
    def seconds(self) -> float:
        return sum(self.each)

    def has(self, verdict: str) -> bool:
        """Whether a check ended so."""
        return any(check.verdict == verdict for check in self.checks)

    @property
    def code(self) -> int:
        """What the command ends with: 0 if verified, 1 if a check failed, 3 if not proven."""
        return 1 if self.has("failed") else NOT_PROVEN if self.has("not proven") else 0


def verify_command(
    target: TargetFile,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    against: Against = None,
    structure: Annotated[
        bool,
        typer.Option("--structure", help="Parameters and structure only, no numbers."),
    ] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=2, help="Images of the comparison.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all numbers.")] = 0,
    device: Annotated[
        str, typer.Option("--device", help="cpu, or cuda for the models on it too.")
    ] = "cpu",
    spec: SpecOf = None,
    json: Json = False,
) -> None:
    """Verify that a network is the one its spec means: structure, numbers, training, ONNX.

    Example: resgraph verify specs/preact_bottleneck.yaml --network resnet164
    """
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device '{device}'", "cpu or cuda")
    from resgraph.verify import Options

    options = Options(batch, seed=seed, structure_only=structure, device=device)
    outcomes = []
    with tempfile.TemporaryDirectory() as work:
        given = parse_settings(settings)
        for found in targets(target, network, given, spec):
            outcome = verified(found, against, options, Path(work), quiet=json)
            outcomes.append(outcome)
            if not json:
                show(outcome)
    if json:
        say_json([as_json(outcome) for outcome in outcomes])
    codes = {outcome.code for outcome in outcomes} - {0}
    if codes:
        raise typer.Exit(min(codes))


def verified(
    target: Target, against: str | None, options: Options, work: Path, quiet: bool
) -> Outcome:
    """Run the checks, with a word on the terminal about each while it runs."""
    from resgraph.verify import Subject, verify

    checks: list[Check] = []
    times = [time.perf_counter()]
    waiting = console().status(f"verifying {target.graph.name}")
    with (
        target.witness() as witness,
        other(target, against) as (name, reference),
        waiting as status,
    ):
        export = exporter(target.graph, work)
        subject = Subject(target.graph, witness, export, target.model, reference, name)
        for check in verify(subject, options):
            checks.append(check)
            times.append(time.perf_counter())
            if not quiet:
                status.update(f"verifying {target.graph.name}: after {check.name}")
    return Outcome(target.graph.name, checks, [b - a for a, b in pairwise(times)])


@contextmanager
def other(target: Target, against: str | None) -> Iterator[tuple[str, Module | None]]:
    """The other author's network, and what the checks call it: by hand, or as was asked."""
    from resgraph.verify import Here
    from resgraph.verify.apart import Called

    if against is None:
        by_hand = target.reference
        yield "by hand", None if by_hand is None else Here(by_hand)
    elif against == "none":
        yield against, None
    else:
        with closing(Called(against)) as called:
            yield against, called


def show(outcome: Outcome) -> None:
    """The checks as a table, below it the spec's lines at fault, and the verdict."""
    console().print(table(outcome))
    for line in faults(outcome):
        say(line)
    failures = sum(check.verdict == "failed" for check in outcome.checks)
    open_ = [check.name for check in outcome.checks if check.verdict == "not proven"]
    equal = ", and equal in numbers" * all(n.startswith("structure") for n in open_)
    verdict = {0: "verified", NOT_PROVEN: f"NOT PROVEN{equal}"}.get(
        outcome.code, f"{failures} of {len(outcome.checks)} checks FAILED"
    )
    say(f"{outcome.network}: {verdict} in {outcome.seconds:.1f} s")


def faults(outcome: Outcome) -> Iterator[str]:
    """The failed checks at the lines of the spec that they name, one for each line."""
    shown = set()
    for check in outcome.checks:
        span = check.span
        if check.verdict == "failed" and span is not None and span not in shown:
            shown.add(span)
            texts = {span.file: Path(span.file).read_text(encoding="utf-8")}
            yield told("error", f"{check.name}: {check.detail}", span, texts)


def table(outcome: Outcome) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(title=Text(outcome.network), box=box.SIMPLE_HEAD)
    for column in ("check", "verdict", "found"):
        result.add_column(column, overflow="fold")
    styles = {
        "passed": "green",
        "failed": "bold red",
        "not proven": "bold yellow",
        "skipped": "yellow",
    }
    for check in outcome.checks:
        verdict = Text(check.verdict.value, style=styles[check.verdict.value])
        result.add_row(Text(check.name), verdict, Text(check.detail))
    return result


def as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "network": outcome.network,
        "verified": outcome.code == 0,
        "seconds": round(outcome.seconds, 3),
        "checks": [
            check.as_dict() | {"seconds": round(seconds, 3)}
            for check, seconds in zip(outcome.checks, outcome.each, strict=True)
        ],
    }


def import_weights_command(
    network: Annotated[
        Path,
        typer.Argument(help="A generated file.", metavar="generated/NAME.py"),
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PATH:CALLABLE|FILE",
            help="A function that returns the trained module, or its weights: "
            ".safetensors, .pth.",
        ),
    ],
    against: Against = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="By default NAME.safetensors."),
    ] = None,
    spec: SpecOf = None,
    json: Json = False,
) -> None:
    """Carry pretrained weights into a generated network, along a proven isomorphism.

    Example: resgraph import-weights generated/resnet20.py --from my_nets.py:trained
    """
    if network.suffix != ".py":
        raise UsageError(f"{network} is not a generated file (.py)")
    from safetensors.torch import save_file

    from resgraph.files import staged

    (target,) = targets(network, None, {}, spec)
    if target.source is not None and target.source.foreign is not None:
        warn(
            f"{target.source.foreign}\n  the weights are for what its spec compiles to"
        )
    carried = carried_from(source, target, against)
    path = out or network.with_suffix(".safetensors")
    with staged(path.parent) as stage:
        save_file(
            {k: v.contiguous() for k, v in carried.tensors.items()}, stage / path.name
        )
    if json:
        say_json(
            {
                "file": path.as_posix(),
                "how": carried.how,
                "tensors": len(carried.tensors),
            }
        )
        return
    count = len(carried.tensors)
    say(f"{path.as_posix()}: {count} {plural(count, 'tensor')}, {carried.how}")
    say(
        f"next: resgraph compile {target.graph.file} --network {target.graph.name} "
        f"--weights {path.as_posix()}"
    )


def carried_from(source: str, target: Target, against: str | None) -> Carried:
    """The weights of a callable's network; or of a file, by whosever names it has."""
    from resgraph.verify import carry, is_callable_path, read_weights
    from resgraph.verify.apart import Called

    if is_callable_path(source) and not Path(source).exists():
        with closing(Called(source)) as called:
            return carry(target.graph, called, {}, source)
    tensors = read_weights(Path(source))
    with other(target, against) as (name, module):
        name = f"the reference {name}" if against is None else name
        others = {} if module is None else {name: module}
        return carry(target.graph, tensors, others, source)


COMMANDS = {"verify": verify_command, "import-weights": import_weights_command}
