"""Pairs as they come from an artifact, encoded while the next ones are drawn."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from synthmed_tf.artifact import Artifact
from synthmed_tf.formats.base import Pair

Encoded = TypeVar("Encoded")
WORKERS = max(1, os.cpu_count() or 1)
_BATCHES_AHEAD = 4


def encoded(
    opened: Artifact,
    seed: int,
    indices: Iterable[int],
    encode: Callable[[Pair], Encoded],
    batch_size: int = 16,
    workers: int = WORKERS,
) -> Iterator[Encoded]:
    """Draws pairs, and encodes them in threads meanwhile.

    The pictures in memory are a few batches, however many pairs there are and however slow the disk is.

    Args:
        opened: the artifact.
        seed: of the endless set.
        indices: in it.
        encode: called in `workers` threads.
        batch_size: pairs drawn at once.
        workers: threads.

    Yields:
        What `encode` gave, in the order of the indices.
    """
    indices, waiting = iter(indices), deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while batch := list(itertools.islice(indices, batch_size)):
            drawn = opened.pixels(np.full(len(batch), seed, np.int64), np.array(batch, np.int64))
            waiting.extend(pool.submit(encode, Pair(*row)) for row in zip(batch, *drawn, strict=True))
            while len(waiting) > _BATCHES_AHEAD * batch_size:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown()  # what is drawn is finished: a resumed set goes on after it
