"""The tf.data input of Stage-I's coarse-to-fine networks: warped vessel maps, whole or in crops.

As in `pipeline`, the stream is a function of (seed, position) alone.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synthmed_tf.data import augmentation
from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE, fetch, numbered_rows
from synthmed_tf.models import latents


class Relighting(NamedTuple):
    """How the light of images is changed.

    Attributes:
        tones: of the images; each example is given a new tone. None leaves the tones.
        illumination: standard deviation of the logarithm of a smooth change of light over the image.
    """

    tones: augmentation.Tones | None = None
    illumination: float = 0.0


def map_batches(
    maps: np.ndarray,
    size: int,
    crop: int,
    batch_size: int,
    seed: int,
    ranges: augmentation.Ranges,
    elastic: float = 0.0,
    step: int = 1,
    margin: int = 0,
    light: Relighting | None = None,
    start: int = 0,
    replicas: int = 1,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """The stream of augmented maps from the example number `start` on, in batches for one replica each.

    Args:
        maps: `(n, side, side, channels)`, uint8, as `vessel_maps.stack_maps` makes them.
        size: pixels a side that a whole map is sampled with; the side, or half of it.
        crop: pixels a side of the square that is cut out at random; `size` for whole maps.
        batch_size: over all replicas of all workers.
        seed: of order and augmentation.
        ranges: flips, rotation, zoom and shift.
        elastic: strength of a smooth random warp, as for `augmentation.displacements`.
        step: crops begin at multiples of it.
        margin: how many pixels a crop may reach beyond the border; a multiple of the step.
        light: changes the images' light; the channels are then image, coverage and field of view. None leaves them.
        start: how many examples have been seen; a multiple of the batch size.
        replicas, worker, workers: as for `pipeline.batches`.

    Returns:
        A dataset of batches: `maps` `(batch_size / replicas, crop, crop, channels)` float32 in [0, 1], and `index`
        `(batch_size / replicas,)` int64, the running numbers of the examples.
    """
    shape = (batch_size // replicas, *maps.shape[1:])

    @tf.autograph.experimental.do_not_convert
    def finish(rows: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        seeds = tf.fill(tf.shape(index), tf.constant(seed, tf.int64))
        x, y = _window(latents.sample_uniform(seeds, index, 2, latents.CROP), size, crop, step, margin)
        unit = latents.sample_uniform(seeds, index, augmentation.NUMBERS, latents.AUGMENT_DATA)
        points = augmentation.transformed(x, y, augmentation.transforms(unit, ranges))
        if elastic:
            normal = latents.sample(seeds, index, augmentation.ELASTIC_NUMBERS, latents.ELASTIC)
            moved = augmentation.displacements(x, y, normal, elastic)
            points = tuple(point + by for point, by in zip(points, moved, strict=True))
        if ranges.mirrored:
            points = augmentation.mirror(*points, maps.shape[1])
        fetched = tf.ensure_shape(fetch(maps, rows), shape)
        sampled = augmentation.sample(fetched, *points) / 255.0
        if light is not None:
            sampled = _relit(sampled, x, y, rows, functools.partial(latents.sample, seeds, index), light)
        return {"maps": sampled, "index": index}

    stream = numbered_rows(len(maps), batch_size, seed, start, replicas, worker, workers)
    return stream.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _relit(
    maps: tf.Tensor,
    x: tf.Tensor,
    y: tf.Tensor,
    rows: tf.Tensor,
    draw: Callable[..., tf.Tensor],
    light: Relighting,
) -> tf.Tensor:
    """The maps, their images in other tones and another illumination; x and y are those of columns and rows."""
    image, fov = maps[..., IMAGE], maps[..., FOV]
    if light.tones is not None:
        unit = (draw(augmentation.TONE_NUMBERS, latents.AUGMENT_TONES, "uniform") + 1.0) / 2.0
        new = augmentation.new_tones(light.tones, rows, unit)
        image = augmentation.with_tones(image, fov, tf.gather(light.tones.own, rows), new)
    if light.illumination:
        field = augmentation.smooth_field(x, y, draw(augmentation.CONTROLS**2, latents.AUGMENT_ILLUMINATION))
        image = tf.clip_by_value(image * tf.exp(2.0 * light.illumination * field[..., None]), 0.0, fov)
    return tf.concat([image, maps[..., COVERAGE], fov], axis=-1)


def _window(unit: tf.Tensor, size: int, crop: int, step: int, margin: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Coordinates of the columns and rows of squares at random places: `(batch, crop)` each, in [-1, 1]."""
    places = (size + 2 * margin - crop) // step + 1
    first = step * tf.floor(unit * places) - margin
    pixels = first[:, :, None] + tf.range(crop, dtype=tf.float32) + 0.5
    return tuple(tf.unstack(pixels * (2.0 / size) - 1.0, axis=1))
