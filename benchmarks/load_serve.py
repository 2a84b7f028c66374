"""Requests per second and latencies of `resgraph serve`, with real pictures over localhost.

    python -m benchmarks.load_serve runs/demo/resnet20.onnx --data digits

At last with 300 idle and 200 slow clients beside the good ones, which must all be answered.
Each client is a thread with a connection of its own that sends one picture as PNG, waits for
the answer and checks it against `Classifier`. The clients run on the same machine as the
server and take their share of it, so the figures are lower bounds.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.crowd import hostile
from benchmarks.measure import ROOT, save
from benchmarks.report import write_tables


@dataclass(frozen=True)
class Server:
    """Where it listens, and its process."""

    host: str
    port: int
    process: subprocess.Popen[str]

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer, over a connection for it alone."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            lowered = {key.lower(): value for key, value in answer.getheaders()}
            return answer.status, answer.read(), lowered
        finally:
            connection.close()

    def stop(self) -> int:
        """Stop it as a process manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def served(
    model: Path, *options: str, log: IO[bytes] | None = None
) -> Iterator[Server]:
    """`resgraph serve MODEL`, on a free port, as a process of its own; stderr goes to `log`."""
    command = [sys.executable, "-m", "resgraph", "serve", str(model), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"serving http://(.*):(\d+)", line):
                yield Server(found[1], int(found[2]), process)
                break
        else:
            raise RuntimeError(f"the server did not start: exit {process.wait()}")
    finally:
        process.terminate()
        process.wait(60)


@dataclass(frozen=True)
class Reply:
    """What came back for one request."""

    status: int
    best: int
    """The likeliest class; -1 if there was no answer."""
    seconds: float


def load(
    server: Server, pictures: Sequence[bytes], clients: int
) -> tuple[list[Reply], float]:
    """Send every picture once, from so many clients; the replies, and all the seconds."""

    def client(number: int) -> list[tuple[int, Reply]]:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        mine = range(number, len(pictures), clients)
        replies = [(i, reply(connection, pictures[i])) for i in mine]
        connection.close()
        return replies

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = dict(pair for part in pool.map(client, range(clients)) for pair in part)
    return [found[i] for i in range(len(pictures))], time.perf_counter() - start


def reply(connection: http.client.HTTPConnection, picture: bytes) -> Reply:
    start = time.perf_counter()
    headers = {"Content-Type": "image/png"}
    try:
        connection.request("POST", "/classify?top=1", picture, headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        connection.close()
        return Reply(0, -1, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    if answer.status != 200:
        return Reply(answer.status, -1, seconds)
    return Reply(200, content["results"][0]["classes"][0]["index"], seconds)


def as_png(image: NDArray[np.uint8]) -> bytes:
    """An image [C, H, W] as a PNG."""
    stream = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def summary(
    replies: Sequence[Reply], wanted: NDArray[np.int64], seconds: float
) -> dict[str, Any]:
    """Throughput, latencies, and what was lost or answered otherwise than `Classifier`."""
    times = np.array([reply.seconds for reply in replies])
    found = np.array([reply.best for reply in replies])
    return {
        "requests": len(replies),
        "lost": sum(reply.status != 200 for reply in replies),
        "other_class": int((found != wanted).sum()),
        "requests_per_s": round(len(replies) / seconds, 1),
        "p50_ms": round(1000 * float(np.percentile(times, 50)), 2),
        "p99_ms": round(1000 * float(np.percentile(times, 99)), 2),
    }


def mean_batch(server: Server) -> float:
    """Images per batch so far, by the server's own metrics."""
    text = server.request("GET", "/metrics")[1].decode()
    numbers = re.findall(r"^resgraph_batch_images_(?:sum|count) (.*)$", text, re.M)
    count, total = map(float, numbers)
    return round(total / max(count, 1), 2)


CROWDS = {
    "300 idle, 200 slow, each from one of 250 addresses": 250,
    "300 idle, 200 slow, all from one address": 1,
}
"""Addresses by what the table says of the crowd."""


def measured(
    options: argparse.Namespace,
    clients: int,
    pictures: Sequence[bytes],
    wanted: NDArray[np.int64],
    addresses: int = 0,
) -> dict[str, Any]:
    """What so many clients saw, beside a crowd from so many addresses if there are any."""
    serving = ("--device", "cpu", "--threads", options.threads)
    with served(options.model, *serving) as server, ExitStack() as stack:
        load(server, pictures[:50], clients)
        crowd: dict[str, int] = {"idle": 300, "slow": 200, "addresses": addresses}
        if addresses:
            stack.enter_context(hostile(server, **crowd))
        replies, seconds = load(server, pictures, clients)
        figures = summary(replies, wanted, seconds)
        return {"clients": clients, **figures, "mean_batch": mean_batch(server)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--crowded", type=int, default=5000, help="requests then")
    parser.add_argument("--threads", default=str(os.cpu_count()))
    options = parser.parse_args()
    from resgraph import Classifier
    from resgraph.data import load_data

    classifier = Classifier(options.model, "cpu")
    images = load_data(options.data, classifier.input_shape).test_images
    chosen = images[np.arange(max(options.requests, options.crowded)) % len(images)]
    wanted = classifier.predict(chosen).argmax(axis=1)
    pictures = [as_png(image) for image in chosen]
    load_average = round(os.getloadavg()[0], 1)
    runs = []

    def run(clients: int, requests: int, addresses: int, crowd: str) -> None:
        sent, right = pictures[:requests], wanted[:requests]
        found = measured(options, clients, sent, right, addresses)
        runs.append({**found, "crowd": crowd})
        print(json.dumps(runs[-1]))

    for clients in options.clients:
        run(clients, options.requests, 0, "")
    for crowd, addresses in CROWDS.items():
        run(8, options.crowded, addresses, crowd)
    about = {
        "command": f"python -m benchmarks.load_serve {options.model.as_posix()}",
        "load_average": load_average,
        "model": options.model.name,
        "data": options.data,
        "runs": runs,
    }
    save("serve", about)
    write_tables()
    if any(run["lost"] for run in runs):
        sys.exit("requests were lost")


if __name__ == "__main__":
    main()
