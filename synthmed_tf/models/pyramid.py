"""Stage-II as a pyramid: style and mask to a thumbnail of color and light, thumbnail and mask to an image of at most
128 pixels, and that and the mask to one at full size. Each step adds the detail of its own scale by flow matching.

A pixel of a thumbnail or of the coarse image is the average of that part of it that lies in the field of view: an
average with the black outside would have little color, and its errors would be specks of color on the border.

A condition is `(batch, size, size, 2)`, float32 in {-1, 1}: mask and field of view. A style is `(batch, style_dim)`,
standard normal; its last two numbers choose the noise that each step begins with.
"""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models import latents, layers
from synthmed_tf.models.flow import FlowNetwork, Guidance, follow, noise_of

THUMBNAIL_FACTOR = 4
"""Pixels a side of the coarse image for each pixel of the thumbnail."""

_CELLS = {"coarse": 2, "fine": 4}
_GAIN = {"thumbnail": 2.0, "coarse": 8.0, "fine": 20.0}
"""What values are multiplied with so that their deviation is near 1."""

_LEAST = 1e-6
"""Divides in place of a share of 0."""


class CoarseRenderer(keras.Model):
    """Images of at most 128 pixels from a style and a condition.

    Attributes:
        size: pixels a side of the images.
        thumbnails: the network of the thumbnails.
        network: that of the detail.
    """

    def __init__(self, size: int, filters: int, steps: tuple[int, int], placed: bool = True, guidance: float = 0.0):
        """Makes the networks.

        Args:
            size: 32, 64 or 128.
            filters: of the first level of the detail's network; that of the thumbnails has half as many.
            steps: from noise to thumbnail, and from noise to detail. A thumbnail costs little and shows errors most.
            placed: whether the networks are told where in the image they are.
            guidance: its strength, away from detail without vessels; 0 turns it off.
        """
        super().__init__(autocast=False, dtype="float32")
        self.size, self.placed, self.guidance = size, placed, guidance
        self.thumbnail_steps, self.steps = steps
        self.thumbnails = FlowNetwork(1, max(1, filters // 2))
        self.network = FlowNetwork(_CELLS["coarse"], filters)

    def call(self, condition: tf.Tensor, style: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates images.

        Args:
            condition: `(batch, full, full, 2)`; full is the size or a multiple of it.
            style: `(batch, style_dim)`.

        Returns:
            `(batch, size, size, 3)`, float32 in [-1, 1], -1 outside the field of view.
        """
        coverage, fov = reduced(condition, self.size)
        return self.render(coverage, fov, self.thumbnail(coverage, fov, style), style)

    def thumbnail(self, coverage: tf.Tensor, fov: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
        """Thumbnails `(batch, size / 4, size / 4, 3)` in [-1, 1]; the arguments are as `reduced` gives them."""
        small = self.size // THUMBNAIL_FACTOR
        noise = noise_of(style, (small, small, 3), latents.THUMBNAIL_NOISE)
        condition = thumbnail_condition(coverage, fov, self.placed)
        values = follow(self.thumbnails, noise, condition, self.thumbnail_steps) / _GAIN["thumbnail"]
        return _image(values, pooled(fov))

    def render(self, coverage: tf.Tensor, fov: tf.Tensor, thumbnail: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
        """The image with a given thumbnail; coverage and field of view as `reduced` gives them."""
        base = enlarged(thumbnail, pooled(fov), THUMBNAIL_FACTOR)
        noise = noise_of(style, (self.size, self.size, 3), latents.COARSE_NOISE)
        condition, empty = (coarse_condition(c, fov, base, self.placed) for c in (coverage, tf.zeros_like(coverage)))
        guidance = Guidance(empty, self.guidance, throughout=False) if self.guidance else None
        detail = follow(self.network, noise, condition, self.steps, guidance) / _GAIN["coarse"]
        return _image(_averaging_to(thumbnail, base + detail, fov), fov)


class FineRenderer(keras.Model):
    """From an image of 128 pixels and a condition at full size to the image at full size.

    Attributes:
        size: pixels a side at full size.
        network: of the detail.
    """

    def __init__(self, size: int, filters: int, steps: int):
        """Makes the network; the arguments are those of `CoarseRenderer`, `steps` from noise to detail."""
        super().__init__(autocast=False, dtype="float32")
        self.size, self.steps = size, steps
        self.network = FlowNetwork(_CELLS["fine"], filters)

    def call(self, image: tf.Tensor, condition: tf.Tensor, style: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Adds detail.

        Args:
            image: `(batch, coarse, coarse, 3)` in [-1, 1].
            condition: `(batch, size, size, 2)`.
            style: `(batch, style_dim)`.

        Returns:
            `(batch, size, size, 3)`, float32 in [-1, 1], -1 outside the field of view.
        """
        coarse = image.shape[1]
        fov = (condition[..., 1:] + 1.0) / 2.0
        base = enlarged(image, reduced(condition, coarse)[1], self.size // coarse)
        noise = noise_of(style, (self.size, self.size, 3), latents.FINE_NOISE)
        detail = follow(self.network, noise, fine_condition(condition, base), self.steps) / _GAIN["fine"]
        return _image(_averaging_to(image, base + detail, fov), fov)


class Pyramid(keras.Model):
    """Both steps as one image generator."""

    def __init__(self, coarse: CoarseRenderer, fine: FineRenderer):
        super().__init__(autocast=False, dtype="float32")
        self.coarse, self.fine = coarse, fine

    def call(self, condition: tf.Tensor, style: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images `(batch, size, size, 3)`, float32 in [-1, 1], of conditions and styles."""
        return self.fine(self.coarse(condition, style), condition, style)


def reduced(condition: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Coverage and field of view of a condition as shares of each pixel, `(batch, size, size, 1)` in [0, 1]."""
    factor = condition.shape[1] // size
    shares = (pooled(condition, factor) + 1.0) / 2.0
    return shares[..., :1], shares[..., 1:]


def thumbnail_condition(coverage: tf.Tensor, fov: tf.Tensor, placed: bool = True) -> tf.Tensor:
    """What the thumbnails' network is given besides noise: `(batch, size / 4, size / 4, 19)`.

    The coverage of 4 x 4 pixels as channels, the field of view, and the place as in `coarse_condition`.
    """
    cells, small = tf.nn.space_to_depth(coverage, THUMBNAIL_FACTOR), pooled(fov)
    return tf.concat([2.0 * cells - 1.0, 2.0 * small - 1.0, _places(small, placed)], axis=-1)


def coarse_condition(coverage: tf.Tensor, fov: tf.Tensor, base: tf.Tensor, placed: bool = True) -> tf.Tensor:
    """What the coarse network is given in addition to noise: `(batch, size, size, 7)`.

    Coverage, field of view, the distance from the center, a bump in the middle, and the enlarged thumbnail; distance
    and bump are 0 unless `placed`.
    """
    return tf.concat([2.0 * coverage - 1.0, 2.0 * fov - 1.0, _places(coverage, placed), base], axis=-1)


def fine_condition(condition: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
    """What the fine network is given in addition to noise: the condition and the enlarged image."""
    return tf.concat([condition, base], axis=-1)


def thumbnail_values(image: tf.Tensor, fov: tf.Tensor) -> tf.Tensor:
    """The thumbnail of an image `(batch, size, size, 3)`, scaled as the network generates it."""
    return averaged(image, fov, THUMBNAIL_FACTOR) * _GAIN["thumbnail"]


def coarse_detail(image: tf.Tensor, fov: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The enlarged thumbnail of an image `(batch, size, size, 3)`, and the detail that it leaves out."""
    return _detail(image, fov, THUMBNAIL_FACTOR, _GAIN["coarse"])


def fine_detail(image: tf.Tensor, fov: tf.Tensor, factor: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for an image at full size and its average over `factor` x `factor` pixels."""
    return _detail(image, fov, factor, _GAIN["fine"])


def _detail(image: tf.Tensor, fov: tf.Tensor, factor: int, gain: float) -> tuple[tf.Tensor, tf.Tensor]:
    base = enlarged(averaged(image, fov, factor), pooled(fov, factor), factor)
    return base, (image - base) * tf.cast(fov > 0.0, tf.float32) * gain


def pooled(values: tf.Tensor, factor: int = THUMBNAIL_FACTOR) -> tf.Tensor:
    """Averages over `factor` x `factor` pixels: of a field of view, the share of each pixel of the thumbnail in it."""
    return tf.nn.avg_pool2d(values, factor, factor, "VALID")


def averaged(images: tf.Tensor, fov: tf.Tensor, factor: int) -> tf.Tensor:
    """Averages over the part of `factor` x `factor` pixels in the field of view; -1 where there is none.

    Args:
        images: `(batch, size, size, 3)`, float32 in [-1, 1].
        fov: share of each pixel, `(batch, size, size, 1)`, float32 in [0, 1].
        factor: divides the size.

    Example:
        >>> row, fov = tf.reshape([0.5, 1.0, -1.0, -1.0], (1, 1, 4, 1)), tf.reshape([1.0, 0.0, 0.0, 0.0], (1, 1, 4, 1))
        >>> averaged(tf.repeat(row, 2, 1), tf.repeat(fov, 2, 1), 2).numpy().ravel()
        array([ 0.5, -1. ], dtype=float32)
    """
    return pooled((images + 1.0) * fov, factor) / tf.maximum(pooled(fov, factor), _LEAST) - 1.0


def enlarged(images: tf.Tensor, fov: tf.Tensor, factor: int) -> tf.Tensor:
    """Enlarges averages bilinearly, weighted by the share of each pixel in the field of view.

    Args:
        images, fov, factor: as for `averaged`.

    Returns:
        `(batch, factor * size, factor * size, 3)`, -1 where no pixel around is in the field of view.
    """
    return _spread(images + 1.0, fov, factor) - 1.0


def _places(like: tf.Tensor, placed: bool) -> tf.Tensor:
    """Distance from the center and a bump in the middle, `(batch, size, size, 2)` for `(batch, size, size, 1)`."""
    if not placed:
        return tf.concat([tf.zeros_like(like)] * 2, axis=-1)
    size = like.shape[1]
    line = (2.0 * np.arange(size) + 1.0) / size - 1.0
    away = np.hypot(line[:, None], line[None])
    place = np.stack([2.0 * away - 1.0, 2.0 * np.exp(-(away**2) / 0.03) - 1.0], axis=-1).astype(np.float32)
    return tf.zeros_like(like) + tf.constant(place)


def _averaging_to(image: tf.Tensor, values: tf.Tensor, fov: tf.Tensor) -> tf.Tensor:
    """Values less what their average has more than the image below; smoothly enlarged at first, then exactly."""
    factor = values.shape[1] // image.shape[1]
    values -= _spread(averaged(values, fov, factor) - image, pooled(fov, factor), factor)
    more = averaged(values, fov, factor) - image
    return values - tf.repeat(tf.repeat(more, factor, 1), factor, 2)


def _spread(values: tf.Tensor, shares: tf.Tensor, factor: int) -> tf.Tensor:
    """Enlarges bilinearly, weighted by shares; 0 where all weights are."""
    return layers.enlarge(values * shares, factor) / tf.maximum(layers.enlarge(shares, factor), _LEAST)


def _image(values: tf.Tensor, fov: tf.Tensor) -> tf.Tensor:
    """Values in [-1, 1], -1 where no part of a pixel is in the field of view."""
    return tf.where(fov > 0.0, tf.clip_by_value(values, -1.0, 1.0), -1.0)
