"""`make pins`: the hashes of every file of each version in `constraints.txt`.

uv asks the package index for all files of a version, for any system and Python, so that
`pip --require-hashes` takes the file that suits where it runs and no other. Two files come of
it: `requirements.txt`, and `requirements-cuda.txt` with what torch's builds for CUDA need
beside it, which others do without.
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
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
ALL = ROOT / "requirements.txt"
CUDA = ROOT / "requirements-cuda.txt"
PYTHON = "3.11.5"
"""The oldest that all pinned versions run on."""
_CUDA_ONLY = ("nvidia-", "cuda-", "triton")
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


def here(pin: Pin) -> str:
    """The hash of the file that pip takes on this machine, where other sources may be set."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
        command += ["--no-deps", "--ignore-installed", "--report", str(report)]
        subprocess.run([*command, f"{pin.name}=={pin.version}"], check=True)
        found = json.loads(report.read_text())["install"][0]["download_info"]
    known = found["archive_info"].get("hashes", {}).get("sha256")
    path = Path(unquote(urlparse(found["url"]).path))
    return known or hashlib.file_digest(path.open("rb"), "sha256").hexdigest()


def kept(pin: Pin, old: Iterable[Pin]) -> Pin:
    """With the hashes that the same version had: builds that are not on the index."""
    same = [p.hashes for p in old if (p.name, p.version) == (pin.name, pin.version)]
    return replace(pin, hashes=pin.hashes.union(*same))


def is_cuda(pin: Pin) -> bool:
    """Whether only torch's builds for CUDA need it."""
    return pin.name.startswith(_CUDA_ONLY)


def write(path: Path, what: str, found: Iterable[Pin]) -> None:
    """The file, and what it is."""
    head = _HEAD.format(what=what, name=path.name)
    path.write_text(head + "".join(f"{pin}\n" for pin in found))


def main() -> None:
    """Write both."""
    old = [*pins(ALL.read_text())] if ALL.exists() else []
    found = [kept(pin, old) for pin in resolved()]
    found = [
        replace(pin, hashes=pin.hashes | {here(pin)}) if pin.name == "torch" else pin
        for pin in found
    ]
    write(ALL, "All", [pin for pin in found if not is_cuda(pin)])
    cuda = [pin for pin in found if is_cuda(pin)]
    write(CUDA, "What a torch built for CUDA needs as well", cuda)


if __name__ == "__main__":
    main()
