"""A plugin of pytest: only tests that need CUDA, and a JSON of their outcomes as they end."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from resgraph.files import read_json, write_json

VARIABLE = "RESGRAPH_GPU_TESTS"
"""The environment variable that says where the JSON is."""
_NEEDS = re.compile(r"\b(no|needs( a)?) CUDA\b", re.IGNORECASE)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is not about a CUDA device."""
    chosen = [item for item in items if needs_cuda(item)]
    others = [item for item in items if item not in chosen]
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def needs_cuda(item: pytest.Item) -> bool:
    """Whether it is skipped where there is none, as the reason tells."""
    reasons = [str(m.kwargs.get("reason", "")) for m in item.iter_markers("skipif")]
    return any(_NEEDS.search(reason) for reason in reasons)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write an outcome down: of the test itself, and of what failed before or after it."""
    if report.when != "call" and report.outcome == "passed":
        return
    path = Path(os.environ[VARIABLE])
    found = read_json(path)
    about = {
        "outcome": report.outcome,
        "seconds": round(report.duration, 2),
        "told": report.longreprtext[-2000:] if report.failed else "",
        "at": round(time.time()),
    }
    found["tests"][report.nodeid] = about
    write_json(path, found)
