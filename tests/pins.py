"""`make pins`: the hashes of every file of each version in `constraints.txt`.

uv asks the package index for all files of a version, for any system and Python, so that
`pip --require-hashes` takes the file that suits where it runs and no other. torch and what it
alone needs stand apart, since it has a second build, for the CPU, which is not on the index:
`requirements-torch-cpu.txt` has the one that pip takes on the machine where this is run.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
ALL = ROOT / "requirements.txt"
TORCH = ROOT / "requirements-torch.txt"
TORCH_CPU = ROOT / "requirements-torch-cpu.txt"
PYTHON = "3.11.5"
"""The oldest that all pinned versions run on."""
_TORCH = ("torch", "nvidia-", "cuda-", "triton")
_HEAD = """\
# Written by `make pins` from pyproject.toml and constraints.txt: do not edit.
# {what}: pip install --require-hashes --no-deps -r {name}
"""


@dataclass(frozen=True)
class Pin:
    """A version of a package, where it is needed, and what its files may be."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    def __str__(self) -> str:
        condition = f" ; {self.marker}" if self.marker else ""
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(self.hashes)]
        return " \\\n".join([f"{self.name}=={self.version}{condition}", *hashes])


def pins(text: str) -> Iterator[Pin]:
    """Those of a file of requirements, with or without hashes."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n?", "", text))
    for line in filter(None, map(str.strip, joined.splitlines())):
        what, _, hashes = line.partition("--hash")
        pinned, _, marker = what.partition(";")
        name, _, version = pinned.partition("==")
        found = frozenset(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        yield Pin(name.strip(), version.strip(), marker.strip(), found)


def resolved() -> list[Pin]:
    """What the two commands of the README install, on any system."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as extra:
        extra.write("\n".join(build["requires"]))
        extra.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", "--universal"]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
        command += [
            "--python-version",
            PYTHON,
            "-c",
            str(CONSTRAINTS),
            "--extra",
            "dev",
        ]
        command += ["--native-tls", "pyproject.toml", extra.name]
        text = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
    return [*pins(text)]


def cpu_build(torch: Pin) -> Pin | None:
    """The build for the CPU that pip takes here, if it does."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
        command += ["--no-deps", "--ignore-installed", "--report", str(report)]
        subprocess.run([*command, f"{torch.name}=={torch.version}"], check=True)
        found = json.loads(report.read_text())["install"][0]
    version, taken = found["metadata"]["version"], found["download_info"]
    if not version.endswith("+cpu"):
        return None
    known = taken["archive_info"].get("hashes", {}).get("sha256")
    path = Path(unquote(urlparse(taken["url"]).path))
    digest = known or hashlib.file_digest(path.open("rb"), "sha256").hexdigest()
    return Pin(torch.name, version, "", frozenset({digest}))


def for_torch(pin: Pin) -> bool:
    """Whether it is torch, or only needed by it."""
    return pin.name.startswith(_TORCH)


def write(path: Path, what: str, found: Iterable[Pin]) -> None:
    """The file, and what it is."""
    head = _HEAD.format(what=what, name=path.name)
    path.write_text(head + "".join(f"{pin}\n" for pin in found))


def main() -> None:
    """Write all three; the build for the CPU stays as it was where there is none."""
    found = resolved()
    write(ALL, "All but torch", [pin for pin in found if not for_torch(pin)])
    torch = [pin for pin in found if for_torch(pin)]
    write(TORCH, "torch, for CUDA where it is built for that", torch)
    if cpu := cpu_build(next(pin for pin in torch if pin.name == "torch")):
        write(TORCH_CPU, "torch, built for the CPU", [cpu])


if __name__ == "__main__":
    main()
