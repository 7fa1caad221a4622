"""Stage-II as a pyramid: style to a thumbnail of color and light, thumbnail and mask to an image of at most 128
pixels, and that and the mask to one at full size. Each step adds the detail of its own scale.

A condition is `(batch, size, size, 2)`, float32 in {-1, 1}: mask and field of view. A style is `(batch, style_dim)`,
standard normal: all but the last two numbers choose the thumbnail, the last two the noise that detail is made of.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models import latents, layers
from synthmed_tf.models.flow import FlowNetwork, follow

THUMBNAIL = 16
"""Pixels a side of the thumbnail."""

NOISE_KEYS = 2
"""Numbers of a style that choose the noise."""

_DENSITY = 8
_RIDGE = 20.0
_CELLS = {"coarse": 2, "fine": 4}
_GAIN = {"coarse": 8.0, "fine": 20.0}
"""What detail is multiplied with so that its deviation is near 1."""


@dataclass(frozen=True)
class ThumbnailPrior:
    """Thumbnails as a normal distribution over principal components, given how dense vessels are where.

    Attributes:
        mean: `(768,)`, float32: the mean thumbnail, 16 x 16 x 3, flattened.
        components: `(dim, 768)`, float32: principal components, each as long as its standard deviation.
        density: `(64,)`, float32: the mean coverage of 8 x 8 cells.
        regression: `(64, 768)`, float32: how the thumbnail changes with the coverage of the cells.
    """

    mean: np.ndarray
    components: np.ndarray
    density: np.ndarray
    regression: np.ndarray


def fit_thumbnails(images: np.ndarray, coverage: np.ndarray, dim: int) -> ThumbnailPrior:
    """Fits the prior: ridge regression on the coverage, then principal components of what that leaves.

    Args:
        images: `(n, size, size, 3)`, float32 in [-1, 1], black outside the field of view.
        coverage: `(n, size, size, 1)`, float32 in [0, 1].
        dim: how many components are kept; those that the data does not have are 0.
    """
    thumbnails = _cells(images, THUMBNAIL).reshape(len(images), -1).astype(np.float64)
    densities = _cells(coverage, _DENSITY).reshape(len(coverage), -1).astype(np.float64)
    mean, density = thumbnails.mean(axis=0), densities.mean(axis=0)
    centered, excess = thumbnails - mean, densities - density
    gram = excess.T @ excess + _RIDGE * np.eye(excess.shape[1])
    regression = np.linalg.solve(gram, excess.T @ centered)
    _, lengths, directions = np.linalg.svd(centered - excess @ regression, full_matrices=False)
    components = np.zeros((dim, thumbnails.shape[1]))
    kept = min(dim, len(lengths))
    components[:kept] = directions[:kept] * lengths[:kept, None] / np.sqrt(len(thumbnails))
    # The sign of a component is arbitrary, and differs between libraries.
    components *= np.where(components.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    return ThumbnailPrior(*(part.astype(np.float32) for part in (mean, components, density, regression)))


def _cells(images: np.ndarray, side: int) -> np.ndarray:
    """Averages `(n, size, size, c)` over `side` x `side` cells."""
    n, size, _, channels = images.shape
    return images.reshape(n, side, size // side, side, size // side, channels).mean(axis=(2, 4))


class CoarseRenderer(keras.Model):
    """Images of at most 128 pixels from a style and a condition.

    Attributes:
        size: pixels a side of the images.
        network: of their detail.
    """

    def __init__(self, size: int, filters: int, style_dim: int, steps: int):
        """Makes the network, with a prior of zeros.

        Args:
            size: 32, 64 or 128.
            filters: of the network's first level.
            style_dim: length of the style, at least 3.
            steps: from noise to detail.
        """
        super().__init__(autocast=False, dtype="float32")
        self.size, self.steps = size, steps
        self.network = FlowNetwork(_CELLS["coarse"], filters)
        pixels, dim = THUMBNAIL * THUMBNAIL * 3, style_dim - NOISE_KEYS
        shapes = {"mean": (pixels,), "components": (dim, pixels)}
        shapes |= {"density": (_DENSITY**2,), "regression": (_DENSITY**2, pixels)}
        self.prior = {
            name: self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, dtype="float32")
            for name, shape in shapes.items()
        }

    def set_prior(self, prior: ThumbnailPrior) -> None:
        """Takes over a fitted prior."""
        for name, weight in self.prior.items():
            weight.assign(getattr(prior, name))

    def call(self, condition: tf.Tensor, style: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates images.

        Args:
            condition: `(batch, full, full, 2)`; full is the size or a multiple of it.
            style: `(batch, style_dim)`.

        Returns:
            `(batch, size, size, 3)`, float32 in [-1, 1], -1 outside the field of view.
        """
        coverage, fov = reduced(condition, self.size)
        return self.render(coverage, fov, self.thumbnail(coverage, style[:, :-NOISE_KEYS]), style)

    def thumbnail(self, coverage: tf.Tensor, normal: tf.Tensor) -> tf.Tensor:
        """Thumbnails `(batch, 16, 16, 3)` in [-1, 1] from coverage and standard normal numbers `(batch, dim)`."""
        mean, components, density, regression = (tf.convert_to_tensor(weight) for weight in self.prior.values())
        factor = self.size // _DENSITY
        cells = tf.reshape(tf.nn.avg_pool2d(coverage, factor, factor, "VALID"), (-1, _DENSITY**2))
        flat = mean + (cells - density) @ regression + normal @ components
        return tf.reshape(tf.clip_by_value(flat, -1.0, 1.0), (-1, THUMBNAIL, THUMBNAIL, 3))

    def render(self, coverage: tf.Tensor, fov: tf.Tensor, thumbnail: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
        """The image with a given thumbnail; coverage and field of view as `reduced` gives them."""
        base = layers.enlarge(thumbnail, self.size // THUMBNAIL)
        noise = _noise(style, self.size, latents.COARSE_NOISE)
        condition = coarse_condition(coverage, fov, base)
        return _image(base + follow(self.network, noise, condition, self.steps) / _GAIN["coarse"], fov)


class FineRenderer(keras.Model):
    """From an image of 128 pixels and a condition at full size to the image at full size.

    Attributes:
        size: pixels a side at full size.
        network: of the detail.
    """

    def __init__(self, size: int, filters: int, steps: int):
        """Makes the network; the arguments are those of `CoarseRenderer`."""
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
        base = layers.enlarge(image, self.size // image.shape[1])
        noise = _noise(style, self.size, latents.FINE_NOISE)
        detail = follow(self.network, noise, fine_condition(condition, base), self.steps) / _GAIN["fine"]
        values = _averaging_to(image, base + detail, layers.enlarge)
        values = _averaging_to(image, values, lambda images, times: tf.repeat(tf.repeat(images, times, 1), times, 2))
        return _image(values, (condition[..., 1:] + 1.0) / 2.0)


class Pyramid(keras.Model):
    """Both steps as one image generator."""

    def __init__(self, coarse: CoarseRenderer, fine: FineRenderer):
        super().__init__(autocast=False, dtype="float32")
        self.coarse, self.fine = coarse, fine

    def call(self, condition: tf.Tensor, style: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images `(batch, size, size, 3)`, float32 in [-1, 1], of conditions and styles."""
        return self.fine(self.coarse(condition, style), condition, style)


def reduced(condition: tf.Tensor, size: int) -> tf.Tensor:
    """Coverage in [0, 1] and field of view in {0, 1} of a condition, `(batch, size, size, 1)` each."""
    factor = condition.shape[1] // size
    unit = (tf.nn.avg_pool2d(condition, factor, factor, "VALID") + 1.0) / 2.0
    fov = tf.where(unit[..., 1:] >= 0.5, 1.0, 0.0)
    return unit[..., :1] * fov, fov


def coarse_condition(coverage: tf.Tensor, fov: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
    """What the coarse network is given in addition to noise: `(batch, size, size, 7)`.

    Coverage, field of view, the distance from the center, a bump in the middle, and the enlarged thumbnail.
    """
    size = base.shape[1]
    line = (2.0 * np.arange(size) + 1.0) / size - 1.0
    away = np.hypot(line[:, None], line[None])
    place = np.stack([2.0 * away - 1.0, 2.0 * np.exp(-(away**2) / 0.03) - 1.0], axis=-1).astype(np.float32)
    places = tf.zeros_like(base[..., :2]) + tf.constant(place)
    return tf.concat([2.0 * coverage - 1.0, 2.0 * fov - 1.0, places, base], axis=-1)


def fine_condition(condition: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
    """What the fine network is given in addition to noise: the condition and the enlarged image."""
    return tf.concat([condition, base], axis=-1)


def coarse_detail(image: tf.Tensor, fov: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The enlarged thumbnail of an image `(batch, size, size, 3)`, and the detail that it leaves out."""
    factor = image.shape[1] // THUMBNAIL
    base = layers.enlarge(tf.nn.avg_pool2d(image, factor, factor, "VALID"), factor)
    return base, (image - base) * fov * _GAIN["coarse"]


def fine_detail(image: tf.Tensor, fov: tf.Tensor, factor: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for an image at full size and its average over `factor` x `factor` pixels."""
    base = layers.enlarge(tf.nn.avg_pool2d(image, factor, factor, "VALID"), factor)
    return base, (image - base) * fov * _GAIN["fine"]


def _noise(style: tf.Tensor, size: int, stream: int) -> tf.Tensor:
    """Standard normal numbers `(batch, size, size, 3)`, a function of the last two numbers of each style."""
    keys = tf.cast(tf.round(style[:, -NOISE_KEYS:] * 65536.0), tf.int64)
    numbers = latents.sample(keys[:, 0], keys[:, 1], size * size * 3, stream)
    return tf.reshape(numbers, (-1, size, size, 3))


def _averaging_to(image: tf.Tensor, values: tf.Tensor, enlarge: Callable) -> tf.Tensor:
    """Values at full size, less what their average has too much: smoothly enlarged at first, then exactly."""
    factor = values.shape[1] // image.shape[1]
    return values - enlarge(tf.nn.avg_pool2d(values, factor, factor, "VALID") - image, factor)


def _image(values: tf.Tensor, fov: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(values, -1.0, 1.0) * fov - (1.0 - fov)
