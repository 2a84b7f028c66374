"""Verifying ResNet-164 and ResNet-1001: whole processes, and the structural checks in them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.measure import Cost, median, process, save
from benchmarks.report import VERIFY, write_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {key: [] for key in VERIFY}
    for _ in range(options.rounds):
        for key, runs in costs.items():
            name, *flags = key.split()
            command = ("-m", "resgraph", "verify", f"generated/{name}.py", *flags)
            runs.append(process((*command, "--json")))
    results = {key: summary(runs) for key, runs in costs.items()}
    save("verify", {"rounds": options.rounds, "runs": results})
    write_tables()


def summary(runs: list[Cost]) -> dict[str, Any]:
    return {
        "process_seconds": median([run.seconds for run in runs]),
        "structure_seconds": median([structure(run) for run in runs]),
        "peak_mib": median([run.mebibytes for run in runs]),
    }


def structure(run: Cost) -> float:
    """Seconds of the structural checks; the first imports torch's shape functions."""
    (outcome,) = json.loads(run.printed)
    return sum(
        check["seconds"]
        for check in outcome["checks"]
        if check["check"].startswith("structure")
    )


if __name__ == "__main__":
    main()
