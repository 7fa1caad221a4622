"""A stream of pairs from an artifact, which are encoded while the next ones are generated."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation.formats.base import Pair

Item = TypeVar("Item")
Result = TypeVar("Result")
WORKERS = max(1, os.cpu_count() or 1)
_BATCHES_AHEAD = 4


def encoded(
    opened: Artifact,
    seed: int,
    indices: Iterable[int],
    encode: Callable[[Pair], Result],
    batch_size: int = 16,
    workers: int = WORKERS,
) -> Generator[Result, None, None]:
    """Generates pairs, and encodes them in threads at the same time.

    Only a few batches are in memory, even if the disk is slow.

    Args:
        opened: the artifact.
        seed: of the endless sequence.
        indices: of the pairs in it.
        encode: called in `workers` threads.
        batch_size: pairs generated at once.
        workers: number of threads.

    Yields:
        The results of `encode`, in the order of the indices.
    """
    return parallel(encode, _generated(opened, seed, indices, batch_size), workers, _BATCHES_AHEAD * batch_size)


def parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS, ahead: int = 64
) -> Generator[Result, None, None]:
    """Calls a function in threads, and yields the results in the order of the items; at most `ahead` results wait.

    If the consumer stops early, the calls that were started are completed.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _generated(opened: Artifact, seed: int, indices: Iterable[int], batch_size: int) -> Iterator[Pair]:
    indices = iter(indices)
    while batch := list(itertools.islice(indices, batch_size)):
        generated = opened.pixels(np.full(len(batch), seed, np.int64), np.array(batch, np.int64))
        yield from map(Pair, batch, *generated)
