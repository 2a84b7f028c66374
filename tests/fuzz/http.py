"""HTTP that nobody should send, at a real server with a small model.

The server is one for all attacks, so what an attack leaves behind meets the next ones; each
ends with a good request, which must be answered as ever.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import tempfile
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Self

from benchmarks.load_serve import Server, as_png, served
from tests.fuzz import wire
from tests.fuzz.target import Fault, Outcome, Target
from tests.infer.common import model, noise

LIMITS = {
    "--max-bytes": 300_000,
    "--max-pixels": 1_000_000,
    "--max-held-bytes": 20_000_000,
    "--head-timeout": 2,
    "--body-timeout": 4,
    "--threads": 1,
}
GROWTH = 300 * 2**20
"""Bytes that the server may take beyond what it has at the start, at any moment."""
PATIENCE = 10
"""Seconds until a connection must have been answered or closed."""
ENDS = ("half", "half", "half", "half", "read", "reset", "close")
"""What a client does once it has sent all; and, now and then, it waits."""
_PNG = {"Content-Type": "image/png"}


class Http(Target):
    """The server, its log and its memory."""

    kept: ExitStack
    server: Server
    log: Path

    def __enter__(self) -> Self:
        self.kept = ExitStack()
        folder = Path(self.kept.enter_context(tempfile.TemporaryDirectory()))
        self.log = folder / "log"
        options = [str(part) for pair in LIMITS.items() for part in pair]
        log = self.kept.enter_context(self.log.open("ab"))
        command = served(model(folder), "--device", "cpu", *options, log=log)
        self.server = self.kept.enter_context(command)
        self.picture = as_png(noise(1)[0])
        self.wanted = self._good_answer()
        self._forget_peak()
        self.memory = self._memory("VmHWM")
        return self

    def __exit__(self, *raised: object) -> None:
        ended = self.server.stop()
        self.kept.close()
        if ended:
            raise Fault(f"on SIGTERM the server ended with {ended}")

    def attack(self, random: Random, folder: Path) -> Outcome:
        """Send one message in one manner, then a good request."""
        make = random.choice(wire.KINDS)
        sent = make(random)
        (folder / "request").write_bytes(sent)
        end = "wait" if random.random() < 0.005 else random.choice(ENDS)
        (folder / "end").write_text(end)
        came, was_reset = self._exchanged(sent, random, end)
        (folder / "answer").write_bytes(came)
        answers = judged(came, cut=was_reset or end == "close", heads=b"HEAD" in sent)
        if (got := self._good_answer()) != self.wanted:
            raise Fault(f"a good request afterwards is answered by {got!r}")
        self._check_server()
        accepted = bool(answers) and all(status < 400 for status in answers)
        return Outcome(make.__name__, "accepted" if accepted else "refused")

    def _exchanged(self, sent: bytes, random: Random, end: str) -> tuple[bytes, bool]:
        """What comes back, and whether the connection was reset meanwhile."""
        came = bytearray()
        place = (self.server.host, self.server.port)
        with socket.create_connection(place, timeout=PATIENCE) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in _pieces(sent, random):
                    client.sendall(piece)
                _finish(client, end)
                while end != "reset" and (part := client.recv(2**16)):
                    came += part
                    if end == "read" and _is_whole(came):
                        break
            except TimeoutError:
                raise Fault(f"no end within {PATIENCE} s ({end}): {came!r}") from None
            except OSError:  # reset, or closed while this end still sent
                with suppress(OSError):
                    came += client.recv(2**20)
                return bytes(came), True
        return bytes(came), False

    def _good_answer(self) -> object:
        status, body, _ = self.server.request("POST", "/classify", self.picture, _PNG)
        return status, json.loads(body).get("results")

    def _check_server(self) -> None:
        if said := self.log.read_bytes():
            os.truncate(self.log, 0)
            raise Fault(f"the server's log says {said.decode(errors='replace')}")
        if (grown := self._memory("VmHWM") - self.memory) > GROWTH:
            self._forget_peak()
            raise Fault(f"the server took {grown >> 20} MiB")

    def _memory(self, field: str) -> int:
        text = self._process("status").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def _forget_peak(self) -> None:
        self._process("clear_refs").write_text("5")

    def _process(self, name: str) -> Path:
        return Path("/proc", str(self.server.process.pid), name)


def target() -> Http:
    """The target, for `python -m tests.fuzz http`."""
    return Http()


def _pieces(sent: bytes, random: Random) -> list[bytes]:
    """The same in one piece, or in up to eight."""
    cuts = random.choices(range(len(sent) + 1), k=random.choice((0, 0, 1, 7)))
    places = [0, *sorted(cuts), len(sent)]
    return [sent[a:b] for a, b in pairwise(places) if a < b]


def _finish(client: socket.socket, end: str) -> None:
    if end == "half":
        client.shutdown(socket.SHUT_WR)
    elif end == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif end == "close":
        client.shutdown(socket.SHUT_RDWR)


def _is_whole(came: bytes) -> bool:
    """Whether an answer is complete, as far as one can tell without the question."""
    with suppress(Fault):
        return bool(judged(bytes(came), cut=False, heads=False))
    return False


def judged(came: bytes, *, cut: bool, heads: bool) -> list[int]:
    """The statuses of the answers in what came; raises `Fault` for what is no good answer.

    `cut`: the last one may be incomplete; `heads`: any may be without its body.
    """
    statuses = []
    while came:
        head, mark, came = came.partition(b"\r\n\r\n")
        if not mark:
            if cut:
                break
            raise Fault(f"half a head: {head!r}")
        status, fields = _head(head)
        size = int(fields.get("content-length", 0))
        if status == 100:
            continue
        statuses.append(status)
        if heads and (not came or came.startswith(b"HTTP/1.1 ")):
            continue
        body, came = came[:size], came[size:]
        if len(body) == size:
            _check_body(status, fields, body)
        elif not cut:
            raise Fault(f"{len(body)} of {size} bytes of a body")
    return statuses


def _head(text: bytes) -> tuple[int, dict[str, str]]:
    line, *lines = text.split(b"\r\n")
    if not re.fullmatch(rb"HTTP/1\.1 [1-5]\d\d [ -~]+", line):
        raise Fault(f"no status line: {line!r}")
    if not all(re.fullmatch(rb"[!-9;-~]+: [ -~]*", line) for line in lines):
        raise Fault(f"no header lines: {lines!r}")
    pairs = (line.decode().split(": ", 1) for line in lines)
    fields = {name.lower(): value for name, value in pairs}
    status = int(line.split()[1])
    if status >= 500 and not (status == 503 and "retry-after" in fields):
        raise Fault(f"status {status}")
    return status, fields


def _check_body(status: int, fields: dict[str, str], body: bytes) -> None:
    text = body.decode()
    if fields["content-type"] != "application/json":
        if status >= 400:
            raise Fault(f"status {status} is not told in JSON: {text}")
        return
    if not text.isprintable():
        raise Fault(f"letters that steer a terminal: {text!r}")
    told = json.loads(text)
    if status >= 400 and not all(told.get(key) for key in ("error", "code", "hint")):
        raise Fault(f"no error, code and hint: {told}")
