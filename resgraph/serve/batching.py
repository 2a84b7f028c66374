"""Dynamic batching: images that arrive at the same time are computed together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
"""Probabilities [classes] of one image."""


class QueueFullError(Exception):
    """So many images wait already that one more would only wait longer."""


class StoppedError(Exception):
    """The batcher takes no more images."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    image: NDArray[np.uint8]
    result: Future[Row]


class Batcher:
    """A thread that computes what waits, in batches.

    The first image waits at most `max_wait` seconds for others; a batch of `max_batch`
    leaves at once. While one batch is computed the next one gathers, so under load batches
    grow by themselves and nobody waits for the clock.
    """

    def __init__(
        self,
        predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        *,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        observe: Callable[[int], object],
    ) -> None:
        """Start the thread. `predict` takes [N, C, H, W] and gives [N, classes]; `observe`
        is told each batch's size.
        """
        self._predict, self._observe = predict, observe
        self._max_batch, self._max_wait = max_batch, max_wait
        self._max_queue = max_queue
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many images wait, without those that are being computed."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether images are taken and computed."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, images: Sequence[NDArray[np.uint8]]) -> list[Future[Row]]:
        """Queue images [C, H, W]: all of them, or none.

        Raises `QueueFullError` if they do not fit into the queue, `StoppedError` after `close`.
        A result raises what `predict` raised for its batch.
        """
        added = [_Waiting(image, Future()) for image in images]
        with self._changed:
            if self._stopping:
                raise StoppedError
            if len(self._queue) + len(added) > self._max_queue:
                raise QueueFullError
            self._queue.extend(added)
            self._changed.notify()
        return [waiting.result for waiting in added]

    def close(self) -> None:
        """Take no more images, compute those that wait, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._gather():
            # A request that was given up has cancelled its images.
            batch = [w for w in batch if w.result.set_running_or_notify_cancel()]
            if batch:
                self._compute(batch)

    def _gather(self) -> list[_Waiting]:
        """The next batch; empty when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            end = time.monotonic() + self._max_wait
            while len(self._queue) < self._max_batch and not self._stopping:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            count = min(len(self._queue), self._max_batch)
            return [self._queue.popleft() for _ in range(count)]

    def _compute(self, batch: list[_Waiting]) -> None:
        self._observe(len(batch))
        try:
            rows = self._predict(np.stack([waiting.image for waiting in batch]))
        except Exception as error:  # told to those who wait; the thread goes on
            for waiting in batch:
                waiting.result.set_exception(error)
            return
        for waiting, row in zip(batch, rows, strict=True):
            waiting.result.set_result(row)
