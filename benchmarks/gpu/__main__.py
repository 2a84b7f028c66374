"""Everything there is to measure on a machine with a GPU: `python -m benchmarks.gpu STEP`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time

from benchmarks.gpu import surroundings

STEPS = {
    "check": "what is there, what works, and whether it computes the right thing",
    "tests": "the suite's tests that need CUDA",
    "bench": "speed and memory of training, each switch alone, all, and all but one",
    "infer": "inference: torch beside onnxruntime, each form and option",
    "train": "a training run within a time, gone on with later",
    "profile": "where the time of a step goes: kernels by kind, and the gaps",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog="Exit codes: 0 all is right, 1 something is wrong, 2 a wrong command line, "
        "3 not everything was done in time.",
    )
    words = "; ".join(f"{name}: {text}" for name, text in STEPS.items())
    parser.add_argument("step", choices=STEPS, metavar="STEP", help=words)
    step = parser.parse_args(sys.argv[1:2]).step
    surroundings.prepare()
    # A request to stop is to end what was started, too: so it is an exception.
    signal.signal(signal.SIGTERM, stop)
    sys.exit(called(step, sys.argv[2:]))


def stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # it may be sent to the group as well
    sys.exit(128 + number)


def called(step: str, arguments: list[str]) -> int:
    """Do a step; the exit code."""
    from benchmarks.gpu.session import Session, common, require_device
    from resgraph.diagnostics import ResgraphError

    start = time.monotonic()
    module = importlib.import_module(f"benchmarks.gpu.{step}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.gpu {step}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common()],
    )
    module.arguments(parser)
    own, more = divided(arguments)
    options = parser.parse_args(own)
    try:
        if not options.list:
            require_device(options.device)
        end = start + 60 * options.minutes
        return int(module.run(Session(step, own, more, options, end)))
    except ResgraphError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return 2


def divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """A step's own arguments, and what comes after `--`, which is for another program."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


if __name__ == "__main__":
    main()
