"""What a server does with a request, whatever carries it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from resgraph import limits
from resgraph.diagnostics import ResgraphError
from resgraph.infer import Classifier
from resgraph.serve.batching import Batcher, QueueFullError, StoppedError
from resgraph.serve.gate import Gate, Patience
from resgraph.serve.metrics import Metrics
from resgraph.serve.uploads import Limits, RefusedError, Upload, decoded, received

_TOP = 5
_GONE = 499  # nginx' number for a client that went away; nobody reads the answer


@dataclass(frozen=True)
class Settings:
    """How a server batches, and what it refuses."""

    max_batch: int = 32
    max_wait_ms: float = 2.0
    """How long the first image of a batch waits for others."""
    max_queue: int = limits.SERVE_QUEUE
    """Images that are decoded, wait or are computed."""
    max_bytes: int = limits.SERVE_REQUEST_BYTES
    """Of a request's body."""
    max_held_bytes: int = limits.SERVE_HELD_BYTES
    """Of all bodies that are not complete, and again of those that are."""
    max_pixels: int = limits.SERVE_PICTURE_PIXELS
    """Of a picture."""
    max_images: int = limits.SERVE_REQUEST_PICTURES
    """In a request."""
    max_connections: int = limits.SERVE_CONNECTIONS
    """That keep the server waiting."""
    max_per_address: int = limits.SERVE_CONNECTIONS_PER_ADDRESS
    head_timeout: float = limits.SERVE_HEAD_SECONDS
    """Seconds for the head of a request."""
    body_timeout: float = limits.SERVE_BODY_SECONDS
    """Seconds for its body, and for the answer to be read."""
    min_rate: float = limits.SERVE_BODY_RATE
    """Bytes per second of a body."""

    def __post_init__(self) -> None:
        """Raise `ResgraphError` for what cannot be."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value >= (0 if field.name == "max_wait_ms" else 1):
                raise ResgraphError(f"{field.name} must be larger than {value}")
        if self.max_held_bytes < self.max_bytes:
            raise ResgraphError(
                f"max_held_bytes, {self.max_held_bytes:,}, has no room for one request of "
                f"max_bytes, {self.max_bytes:,}",
                "a larger --max-held-bytes, or a smaller --max-bytes",
            )

    @property
    def patience(self) -> Patience:
        """How long to wait for clients, and for how many."""
        return Patience(
            self.head_timeout,
            self.body_timeout,
            self.min_rate,
            self.max_connections,
            self.max_per_address,
            self.max_held_bytes,
        )


@dataclass(frozen=True)
class Answer:
    """A status and what goes out as JSON."""

    status: int
    content: dict[str, Any]


class Service:
    """A classifier with its batcher, its metrics and its limits."""

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        """Start the threads; `close` ends them."""
        self.classifier, self.settings = classifier, settings
        self.metrics = Metrics()
        self._limits = Limits(
            settings.max_bytes,
            settings.max_pixels,
            min(settings.max_images, settings.max_queue),
        )
        self.gate = Gate(settings.patience, self._count_refusal)
        self._images, self._bytes = 0, 0
        workers = min(4, os.cpu_count() or 1)
        self._decoders = ThreadPoolExecutor(workers, thread_name_prefix="decoder")
        self._batcher = Batcher(
            classifier.predict,
            max_batch=settings.max_batch,
            max_wait=settings.max_wait_ms / 1000,
            max_queue=settings.max_queue,
            observe=self.metrics.batches.observe,
        )
        self.metrics.watch(lambda: self._batcher.waiting, lambda: self.gate.waiting)

    def close(self) -> None:
        """Finish what waits and end the threads."""
        self._batcher.close()
        self._decoders.shutdown()

    def health(self) -> Answer:
        """Whether images are computed, and by what."""
        alive = self._batcher.alive
        known = self.classifier.metadata
        return Answer(
            200 if alive else 503,
            {
                "status": "ok" if alive else "stopping",
                "model": self.classifier.path.name,
                "network": known.network,
                "digest": known.digest,
                "provider": self.classifier.provider,
                "input": list(self.classifier.input_shape),
                "classes": list(self.classifier.classes),
                "notes": list(self.classifier.notes),
            },
        )

    async def classify(self, request: Request) -> Answer:
        """The likeliest classes of a request's pictures, or why there are none.

        Never raises for what a client or the model does.
        """
        start = time.perf_counter()
        try:
            answer = Answer(200, await self._results(request))
        except RefusedError as error:
            answer = self._refusal(error)
        except ResgraphError as error:  # of the model: NaN, or CUDA gave up
            answer = self._refusal(
                RefusedError(
                    500, "model", error.message, error.hint or "see its training"
                )
            )
        self.metrics.latency.observe(time.perf_counter() - start)
        self.metrics.requests.labels(str(answer.status)).inc()
        return answer

    async def _results(self, request: Request) -> dict[str, Any]:
        top = _top(request)
        uploads = await _received(request, self._limits)
        with self._place(uploads):
            rows = await self._rows(uploads)
        self.metrics.images.inc(len(rows))
        results = [
            {
                "name": upload.name,
                "classes": [
                    dataclasses.asdict(p) for p in self.classifier.likeliest(row, top)
                ],
            }
            for upload, row in zip(uploads, rows, strict=True)
        ]
        return {
            "model": self.classifier.path.name,
            "provider": self.classifier.provider,
            "results": results,
        }

    @contextmanager
    def _place(self, uploads: list[Upload]) -> Iterator[None]:
        """A place among the requests that are here in full; `RefusedError` if there is none."""
        count, size = len(uploads), sum(len(upload.data) for upload in uploads)
        wanted = self.settings
        if (
            self._images + count > wanted.max_queue
            or self._bytes + size > wanted.max_held_bytes
        ):
            raise _busy()
        self._images += count
        self._bytes += size
        try:
            yield
        finally:
            self._images -= count
            self._bytes -= size

    async def _rows(self, uploads: list[Upload]) -> list[Any]:
        """Each picture's probabilities; decoded in threads, then computed in a batch."""
        loop, shape = asyncio.get_running_loop(), self.classifier.input_shape
        images = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._decoders, decoded, upload, shape, self._limits
                )
                for upload in uploads
            )
        )
        try:
            waiting = self._batcher.submit(images)
        except QueueFullError:
            raise _busy() from None
        except StoppedError:
            raise RefusedError(
                503, "stopping", "the server is stopping", "ask another one"
            ) from None
        return await asyncio.gather(*map(asyncio.wrap_future, waiting))

    def _refusal(self, error: RefusedError) -> Answer:
        self._count_refusal(error.kind)
        told = {"error": error.message, "code": error.kind, "hint": error.hint}
        return Answer(error.status, told)

    def _count_refusal(self, kind: str) -> None:
        self.metrics.errors.labels(kind).inc()


async def _received(request: Request, most: Limits) -> list[Upload]:
    try:
        return await received(request, most)
    except ClientDisconnect:
        raise RefusedError(_GONE, "gone", "the client went away", "") from None
    except HTTPException as error:
        raise RefusedError(
            400,
            "bad_form",
            f"the form cannot be read: {error.detail}",
            f"send at most {most.images} pictures as multipart/form-data",
        ) from None


def _top(request: Request) -> int:
    text = request.query_params.get("top", str(_TOP))
    if not (text.isascii() and text.isdigit() and int(text[:6]) >= 1):
        raise RefusedError(
            400, "bad_query", "top must be a whole number from 1", "/classify?top=5"
        )
    return int(text[:6])


def _busy() -> RefusedError:
    return RefusedError(
        503,
        "busy",
        "the server has as much to do as it takes",
        "try again in a second; --max-queue and --max-held-bytes of the server take more",
    )
