"""Generates the rows of several requests as one batch.

One thread generates. Meanwhile, requests wait in a queue. When the thread is free, it takes as many requests of one
signature as fit into a batch. A single request therefore never waits for others, and there is no delay to tune. Batches
are not padded: the graph takes any number of rows without a retrace.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout  # its own class before Python 3.11
from dataclasses import dataclass, field

import numpy as np

from synthmed_tf.serving.limits import Limits
from synthmed_tf.serving.status import Refused

Arrays = dict[str, np.ndarray]


@dataclass
class _Job:
    signature: str
    inputs: Arrays
    rows: int
    deadline: float
    answer: "Future[Arrays]" = field(default_factory=Future)


class Batcher:
    """The queue in front of a model, and the thread that empties it."""

    def __init__(
        self,
        run: Callable[[str, Arrays], Arrays],
        limits: Limits,
        observe: Callable[[int], None] = lambda rows: None,
    ):
        """Starts the thread.

        Args:
            run: generates a batch: takes the name of a signature and its inputs, each `(n, ...)`, and returns its
                outputs, each `(n, ...)`.
            limits: `rows`, `queue` and `batching` are used.
            observe: called with the number of rows of each batch.
        """
        self._run, self._limits, self._observe = run, limits, observe
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of rows in the queue."""
        return self._waiting

    def generate(self, signature: str, inputs: Arrays, deadline: float) -> Arrays:
        """Generates the outputs of one request, and blocks until they are there.

        Args:
            signature: the name of the signature.
            inputs: each `(n, ...)` with the same n of at least 1.
            deadline: in the time of `time.monotonic()`, in seconds.

        Raises:
            Refused: the queue is full, the deadline has passed, the server is stopping, or the graph rejects the
                inputs.
        """
        job = _Job(signature, inputs, len(next(iter(inputs.values()))), deadline)
        self._enter(job)
        try:
            return job.answer.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            job.answer.cancel()
            raise _late() from None

    def stop(self) -> None:
        """Refuses new requests, finishes those in the queue, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _enter(self, job: _Job) -> None:
        with self._changed:
            if self._stopping:
                raise Refused("UNAVAILABLE", "The server is shutting down.")
            if self._waiting + job.rows > self._limits.queue:
                raise Refused(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is full; "
                    f"{self._waiting} rows wait and at most {self._limits.queue} may.",
                )
            self._jobs.append(job)
            self._waiting += job.rows
            self._changed.notify()

    def _work(self) -> None:
        while jobs := self._next():
            ready = [job for job in jobs if self._is_wanted(job)]
            if ready:
                self._answer(ready)

    def _next(self) -> list[_Job]:
        """The first job in the queue and the later ones that fit into its batch; empty after `stop`."""
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            taken: list[_Job] = []
            kept: deque[_Job] = deque()
            rows = 0
            for job in self._jobs:
                fits = not taken or (
                    self._limits.batching
                    and job.signature == taken[0].signature
                    and rows + job.rows <= self._limits.rows
                )
                (taken if fits else kept).append(job)
                rows += job.rows if fits else 0
            self._jobs = kept
            self._waiting -= rows
            return taken

    @staticmethod
    def _is_wanted(job: _Job) -> bool:
        if not job.answer.set_running_or_notify_cancel():
            return False
        if job.deadline <= time.monotonic():
            job.answer.set_exception(_late())
            return False
        return True

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            outputs = self._run(jobs[0].signature, _merge(jobs))
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
            else:  # a bad row must fail its own request only
                for job in jobs:
                    self._answer([job])
            return
        self._observe(sum(job.rows for job in jobs))
        start = 0
        for job in jobs:
            part = slice(start, start + job.rows)
            job.answer.set_result({name: array[part] for name, array in outputs.items()})
            start += job.rows


def _merge(jobs: list[_Job]) -> Arrays:
    return {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}


def _late() -> Refused:
    return Refused("DEADLINE_EXCEEDED", "Timed out waiting for notification")
