"""The report of ResNet-1001: how long it takes to write, how large it is, how soon it answers.

`python -m benchmarks.bench_report` runs it; it needs Playwright and a Chromium. A load is
timed from the navigation until a click on the first repeated unit has unfolded it, drawn
and laid out. Every figure is a median of the rounds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.measure import median, process, save
from benchmarks.report import write_tables

SPEC = "specs/preact_bottleneck.yaml"
DEPTHS = (164, 1001, 10001)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        runs = {
            str(depth): measured(depth, Path(name) / f"{depth}.html", browser, rounds)
            for depth in DEPTHS
        }
        version = browser.version
        browser.close()
    save("report", {"rounds": rounds, "chromium": version, "runs": runs})
    write_tables()


def measured(depth: int, page: Path, browser: Browser, rounds: int) -> dict[str, Any]:
    """Of one depth: the command's seconds, the page's bytes, seconds to the first answer."""
    command = ("-m", "resgraph", "report", SPEC, "--set", f"depth={depth}", "-o", page)
    costs = [process(command) for _ in range(rounds)]
    loads = [load(page, browser) for _ in range(rounds)]
    return {
        "process_seconds": median([cost.seconds for cost in costs]),
        "peak_mib": median([cost.mebibytes for cost in costs]),
        "bytes": page.stat().st_size,
        "ready_seconds": median([ready for ready, _ in loads]),
        "answer_seconds": median([answer for _, answer in loads]),
    }


def load(page: Path, browser: Browser) -> tuple[float, float]:
    """Seconds until the page is built, and until it has answered a click, in a new context."""
    context = browser.new_context()
    opened = context.new_page()
    start = time.perf_counter()
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready]", state="attached")
    ready = time.perf_counter() - start
    opened.locator("#graph button.site", has_text="×").first.click()
    opened.locator("#graph button.op").first.wait_for()
    answer = time.perf_counter() - start
    context.close()
    return ready, answer


if __name__ == "__main__":
    main()
