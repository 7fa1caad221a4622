"""Damages vessel maps as a coarse generator does: uneven gain, fog, gaps, noise; each of its own strength."""

import tensorflow as tf

from synthmed_tf.data import augmentation
from synthmed_tf.models.mask_refiner import quantize

_STRENGTHS = 6
_GAIN, _FOG, _GAPS, _NOISE = 0.35, 0.7, 0.012, 0.12


def uniform_numbers(size: int) -> int:
    """How many numbers in (0, 1) an example is damaged with."""
    return _STRENGTHS + size**2


def normal_numbers(size: int) -> int:
    """How many standard normal numbers an example is damaged with."""
    return augmentation.CONTROLS**2 + 2 * size**2


def damage(maps: tf.Tensor, unit: tf.Tensor, normal: tf.Tensor, strength: float) -> tf.Tensor:
    """Damages maps and rounds them to 8 bits.

    Args:
        maps: `(batch, size, size, 2)`, float32 in [0, 1].
        unit: `(batch, uniform_numbers(size))`, uniform in (0, 1).
        normal: `(batch, normal_numbers(size))`, standard normal.
        strength: scales every kind of damage; 0 leaves the maps as they are.

    Returns:
        The maps' shape, float32 in [0, 1].
    """
    size, controls = maps.shape[1], augmentation.CONTROLS**2
    gain, fog, dense, kind, deep, noise = (unit[:, k, None, None, None] for k in range(_STRENGTHS))
    line = augmentation.centers(size)[None]
    uneven = 2.0 * augmentation.smooth_field(line, line, normal[:, :controls])[..., None]
    damaged = maps * (1.0 + strength * _GAIN * gain * tf.clip_by_value(uneven, -2.0, 1.0))
    mixed = tf.minimum(strength * _FOG * fog, 1.0)
    damaged = damaged * (1.0 - mixed) + _blur(damaged) * mixed
    places = tf.reshape(unit[:, _STRENGTHS:], (-1, size, size, 1))
    dots = tf.cast(places < _GAPS * strength * dense, tf.float32)
    damaged *= 1.0 - _blur(_widened(dots, kind)) * deep
    grain = _blur(tf.reshape(normal[:, controls:], (-1, size, size, 2)))
    return quantize(damaged + strength * _NOISE * noise * grain)


def _widened(dots: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Dots of 1, 3 or 5 pixels, one size an example."""
    three, five = (tf.nn.max_pool2d(dots, side, 1, "SAME") for side in (3, 5))
    return tf.where(kind < 1 / 3, dots, tf.where(kind < 2 / 3, three, five))


def _blur(maps: tf.Tensor) -> tf.Tensor:
    """The mean of 3 x 3 pixels; the border is repeated."""
    return tf.nn.avg_pool2d(tf.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="SYMMETRIC"), 3, 1, "VALID")
