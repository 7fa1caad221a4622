"""The tf.data input: an endless stream of augmented pairs in an order that the seed alone decides.

The stream is a function of (seed, position): a run that was stopped goes on at its position, and a worker or replica
takes its part of each global batch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from synthmed_tf.data import augmentation
from synthmed_tf.data.sample import Sample
from synthmed_tf.models import latents

IMAGE, COVERAGE, FOV = slice(0, 3), slice(3, 4), slice(4, 5)


def stack_samples(samples: Sequence[Sample], cache_file: Path | None = None) -> np.ndarray:
    """Puts decoded pairs into one array, in memory or, where a file is given, on disk.

    Args:
        samples: of one size. A pair without a mask gets an empty one.
        cache_file: where the array is mapped from.

    Returns:
        `(pairs, size, size, 5)`, uint8: image, `coverage_u8`, field of view.
    """
    size = samples[0].image.shape[0]
    shape = (len(samples), size, size, 5)
    if cache_file is None:
        array = np.empty(shape, np.uint8)
    else:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(cache_file, mode="w+", dtype=np.uint8, shape=shape)
    for row, sample in zip(array, samples, strict=True):
        row[..., IMAGE] = sample.image
        row[..., COVERAGE] = 0 if sample.mask is None else sample.mask
        row[..., FOV] = sample.fov
    return array


def batches(
    pairs: np.ndarray,
    batch_size: int,
    seed: int,
    ranges: augmentation.Ranges,
    start: int = 0,
    replicas: int = 1,
    worker: int = 0,
    workers: int = 1,
    colour: float = 0.0,
) -> tf.data.Dataset:
    """The stream from the image number `start` on, in batches for one replica each.

    Args:
        pairs: as `stack_samples` makes it.
        batch_size: over all replicas of all workers.
        seed: of order and augmentation.
        ranges: geometric augmentation, jointly of image, coverage and field of view.
        start: how many images have been seen; a multiple of the batch size.
        replicas: over all workers.
        worker, workers: which of the workers this is; each worker's dataset gives its own replicas' batches in turn.
        colour: strength of colour augmentation, of the image alone; 0 turns it off.

    Returns:
        A dataset of batches as `training.stages` describes them, `batch_size / replicas` rows each.
    """
    count, size = len(pairs), pairs.shape[1]
    seed64 = tf.constant(seed, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def finish(rows: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        fetched = tf.ensure_shape(fetch(pairs, rows), (batch_size // replicas, size, size, 5))
        batch = _augmented(tf.cast(fetched, tf.float32), index, seed, ranges)
        if colour:
            unit = latents.sample_uniform(
                tf.fill(tf.shape(index), seed64), index, augmentation.COLOUR_NUMBERS, latents.AUGMENT_COLOUR
            )
            batch["image"] = augmentation.colour(batch["image"], unit, colour)
        return batch

    stream = numbered_rows(count, batch_size, seed, start, replicas, worker, workers)
    return stream.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def fetch(array: np.ndarray, rows: tf.Tensor) -> tf.Tensor:
    """Rows of an array that may be mapped from disk; in a `map` of a dataset. uint8, of unknown shape."""
    return tf.numpy_function(lambda chosen: np.asarray(array[chosen]), [rows], tf.uint8, stateful=False)


def numbered_rows(
    count: int, batch_size: int, seed: int, start: int = 0, replicas: int = 1, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """Which rows a batch takes, with the running numbers of its images; the arguments are those of `batches`.

    Returns:
        A dataset of (rows, numbers), `(batch_size / replicas,)` int64 each.
    """
    per_replica, per_worker = batch_size // replicas, batch_size // workers
    stream = tf.data.Dataset.zip((_order(count, seed, start), tf.data.Dataset.counter(start, dtype=tf.int64)))
    stream = stream.batch(batch_size, drop_remainder=True)
    mine = slice(worker * per_worker, (worker + 1) * per_worker)
    stream = stream.map(lambda rows, index: (rows[mine], index[mine])).unbatch()
    return stream.batch(per_replica, drop_remainder=True)


def _order(count: int, seed: int, start: int) -> tf.data.Dataset:
    """Row numbers: one permutation after the other, each a function of (seed, epoch)."""

    def permutation(epoch: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        rows = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        return tf.data.Dataset.from_tensor_slices(rows)

    return tf.data.Dataset.counter(start // count, dtype=tf.int64).flat_map(permutation).skip(start % count)


def _augmented(pairs: tf.Tensor, index: tf.Tensor, seed: int, ranges: augmentation.Ranges) -> dict[str, tf.Tensor]:
    """Augments `(batch, size, size, 5)` float32 in [0, 255] and splits it into a batch."""
    if ranges._replace(mirrored=False) != augmentation.Ranges():
        seeds = tf.fill(tf.shape(index), tf.constant(seed, tf.int64))
        unit = latents.sample_uniform(seeds, index, augmentation.NUMBERS, latents.AUGMENT_DATA)
        pairs = augmentation.apply(pairs, augmentation.transforms(unit, ranges), mirrored=ranges.mirrored)
    fov = tf.round(pairs[..., FOV] / 255.0)
    return {
        "image": pairs[..., IMAGE] * fov / 127.5 - 1.0,
        "coverage": pairs[..., COVERAGE] * fov / 255.0,
        "fov": fov,
        "index": index,
    }
