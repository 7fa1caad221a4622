"""Geometric augmentation that gradients pass through: flips, rotation, zoom and shift, one generate for each example.

The input pipeline augments image, mask and field of view with it, jointly; Stage-I's discriminator sees real and
generated masks through it (differentiable augmentation, Zhao et al. 2020).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import spatial

from synthmed_tf.config.schema import AugmentConfig, DataConfig


class Ranges(NamedTuple):
    """How far an augmentation goes; each example is sampled uniformly from these ranges.

    Attributes:
        flip_horizontal, flip_vertical: whether half of the examples are flipped.
        rotation: largest angle, degrees.
        zoom_in, zoom_out: largest magnification and reduction; 0.1 is up to 1.1 times, and down to 1/1.1.
        shift: largest shift along each axis, as a share of the side.
        mirrored: whether what lies beyond the border mirrors the image, rather than being black.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: float = 0.0
    zoom_in: float = 0.0
    zoom_out: float = 0.0
    shift: float = 0.0
    mirrored: bool = False


def ranges_of(data: DataConfig, augment: AugmentConfig | None = None) -> Ranges:
    """The ranges of a set's augmentation, or of another; images that fill the frame are mirrored at its edges."""
    options = data.augment if augment is None else augment
    return Ranges(**options.model_dump(), mirrored=data.field_of_view == "frame")


NUMBERS = 6
"""How many numbers in (0, 1) one example's transform is made from."""


def transforms(unit: tf.Tensor, ranges: Ranges) -> tf.Tensor:
    """Makes affine transforms, output to input coordinates, both in [-1, 1] across the image.

    Args:
        unit: `(batch, 6)`, uniform in (0, 1).
        ranges: how far to go.

    Returns:
        `(batch, 2, 3)` float32; row 0 gives x (to the right), row 1 gives y (down).
    """
    unit = tf.convert_to_tensor(unit, tf.float32)
    signed = 2.0 * unit - 1.0
    flip_x = tf.where((unit[:, 0] < 0.5) & ranges.flip_horizontal, -1.0, 1.0)
    flip_y = tf.where((unit[:, 1] < 0.5) & ranges.flip_vertical, -1.0, 1.0)
    angle = signed[:, 2] * (ranges.rotation * np.pi / 180.0)
    log_zoom = tf.where(
        signed[:, 3] > 0, signed[:, 3] * np.log1p(ranges.zoom_in), signed[:, 3] * np.log1p(ranges.zoom_out)
    )
    scale = tf.exp(-log_zoom)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    x_row = tf.stack([flip_x * cos, -flip_x * sin, 2.0 * ranges.shift * signed[:, 4]], axis=1)
    y_row = tf.stack([flip_y * sin, flip_y * cos, 2.0 * ranges.shift * signed[:, 5]], axis=1)
    return tf.stack([x_row, y_row], axis=1)


def apply(images: tf.Tensor, matrices: tf.Tensor, outside: float = 0.0, mirrored: bool = False) -> tf.Tensor:
    """Samples images bilinearly under affine transforms; differentiable in the images.

    Args:
        images: `(batch, size, size, channels)`, float32.
        matrices: `(batch, 2, 3)`, as `transforms` makes them.
        outside: the value beyond the border.
        mirrored: whether the image is mirrored there instead.

    Returns:
        The images' shape, float32.
    """
    centres = centers(images.shape[1])[None]
    points = transformed(centres, centres, matrices)
    if mirrored:
        points = mirror(*points, images.shape[1])
    return sample(images - outside, *points) + outside


def mirror(x: tf.Tensor, y: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Folds coordinates beyond the border of an image of `size` pixels back into it, as between mirrors."""
    farthest = 1.0 - 1.0 / size
    folded = (tf.abs(tf.math.floormod(points + 1.0, 4.0) - 2.0) - 1.0 for points in (x, y))
    return tuple(tf.clip_by_value(-points, -farthest, farthest) for points in folded)


def transformed(x: tf.Tensor, y: tf.Tensor, matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where affine transforms move the points of a grid.

    Args:
        x, y: `(batch or 1, width)` and `(batch or 1, height)`, coordinates of columns and rows in [-1, 1].
        matrices: `(batch, 2, 3)`, as `transforms` makes them.

    Returns:
        x and y of each point, `(batch, height, width)` each.
    """
    x, y = x[:, None, :], y[:, :, None]
    # Written out rather than as a matrix product, whose last bits depend on the batch.
    rows = (row[:, :, None, None] for row in tf.unstack(matrices, axis=1))
    return tuple(row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in rows)


CONTROLS = 5
"""Control points along each side of an elastic warp."""

ELASTIC_NUMBERS = 2 * CONTROLS**2
"""How many standard normal numbers one example's elastic warp is made from."""


def displacements(x: tf.Tensor, y: tf.Tensor, normal: tf.Tensor, strength: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Smooth random displacements of the points of a grid: cubic B-splines through 5 x 5 random control points.

    Args:
        x, y: as for `transformed`.
        normal: `(batch, 50)`, standard normal: the control points of x, then those of y, in rows.
        strength: standard deviation of a control point, as a share of the side.

    Returns:
        The displacements in x and y, `(batch, height, width)` each.
    """
    half = CONTROLS**2
    return tuple(2.0 * strength * smooth_field(x, y, part) for part in (normal[:, :half], normal[:, half:]))


def smooth_field(x: tf.Tensor, y: tf.Tensor, controls: tf.Tensor) -> tf.Tensor:
    """A cubic B-spline through 5 x 5 control points, evenly spaced over [-1, 1].

    Args:
        x, y: as for `transformed`.
        controls: `(batch, 25)`, in rows.

    Returns:
        `(batch, height, width)`, float32; with independent controls of deviation 1 its deviation is about 0.5.
    """
    columns, rows = _spline_weights(x), _spline_weights(y)
    grid = tf.reshape(controls, (-1, CONTROLS, CONTROLS, 1))
    lines = [tf.add_n([columns[k] * grid[:, row, k] for k in range(CONTROLS)]) for row in range(CONTROLS)]
    return tf.add_n([weight[:, :, None] * line[:, None, :] for weight, line in zip(rows, lines, strict=True)])


def _spline_weights(coordinates: tf.Tensor) -> list[tf.Tensor]:
    """How much each of the control points, evenly spaced over [-1, 1], counts at each coordinate; the sum is 1."""
    place = (coordinates + 1.0) * ((CONTROLS - 1) / 2)
    away = [tf.abs(place - control) for control in range(CONTROLS)]
    weights = [tf.where(d < 1.0, (4.0 - 6.0 * d**2 + 3.0 * d**3) / 6.0, tf.nn.relu(2.0 - d) ** 3 / 6.0) for d in away]
    total = tf.add_n(weights)
    return [weight / total for weight in weights]


def sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Looks up images bilinearly; differentiable in the images where they are float32.

    Args:
        images: `(batch, size, size, channels)`, of any numeric dtype; 0 beyond the border.
        x, y: `(batch, height, width)`, coordinates in [-1, 1] across the image.

    Returns:
        `(batch, height, width, channels)`, float32.
    """
    size, channels = images.shape[1], images.shape[3]
    batch, (height, width) = tf.shape(images)[0], x.shape[1:]
    padded = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = tf.reshape(padded, (batch, (size + 2) * (size + 2), channels))
    pixels = (_to_pixels(tf.reshape(points, (batch, height * width)), size) for points in (x, y))
    return tf.reshape(_bilinear(flat, *pixels, size), (batch, height, width, channels))


def apply_upright(masks: tf.Tensor, matrices: tf.Tensor, outside: float = 0.0) -> tf.Tensor:
    """As `apply` where no transform turns: rows, then columns, each by a product with the shares of the pixels.

    A third of the time on a CPU, and gradients without atomic additions on GPUs; the last bits may depend on the batch.

    Args:
        masks: `(batch, size, size, channels)`, float32.
        matrices: `(batch, 2, 3)`, as `transforms` makes them without rotation.
        outside: the value beyond the border.

    Returns:
        The masks' shape, float32.
    """
    columns, rows = (_shares(matrices[:, row, row], matrices[:, row, 2], masks.shape[1]) for row in (0, 1))
    planes = tf.transpose(masks - outside, (0, 3, 1, 2))
    sampled = tf.matmul(tf.matmul(rows[:, None], planes), columns[:, None], transpose_b=True)
    return tf.transpose(sampled, (0, 2, 3, 1)) + outside


def by_whole_pixels(matrices: tf.Tensor, size: int) -> tf.Tensor:
    """The same transforms with shifts rounded to whole pixels of an image, so that a shift alone does not blur."""
    shifts = tf.round(matrices[..., 2:] * (size / 2.0)) * (2.0 / size)
    return tf.concat([matrices[..., :2], shifts], axis=-1)


def _shares(scale: tf.Tensor, shift: tf.Tensor, size: int) -> tf.Tensor:
    """How much each pixel of a line has of each that is looked up on it: `(batch, looked up, pixels)`."""
    looked_up = _to_pixels(scale[:, None] * centers(size) + shift[:, None], size)
    return tf.nn.relu(1.0 - tf.abs(looked_up[..., None] - tf.range(size, dtype=tf.float32)))


def centers(size: int) -> tf.Tensor:
    """Where the centers of the pixels of a line lie in [-1, 1], `(size,)` float32."""
    return tf.constant((2.0 * np.arange(size) + 1.0) / size - 1.0, tf.float32)


def _to_pixels(coordinates: tf.Tensor, size: int) -> tf.Tensor:
    """From [-1, 1] to running numbers of pixels."""
    return (coordinates + 1.0) * (size / 2.0) - 0.5


def _bilinear(flat: tf.Tensor, x: tf.Tensor, y: tf.Tensor, size: int) -> tf.Tensor:
    """Looks up `(batch, points)` pixel coordinates in images `(batch, (size + 2)^2, c)` that have a border."""
    x, y = tf.clip_by_value(x, -1.0, float(size)) + 1.0, tf.clip_by_value(y, -1.0, float(size)) + 1.0
    left, top = tf.minimum(tf.floor(x), float(size)), tf.minimum(tf.floor(y), float(size))
    right_share, bottom_share = (x - left)[..., None], (y - top)[..., None]
    first = tf.cast(top, tf.int32) * (size + 2) + tf.cast(left, tf.int32)

    def at(offset: int) -> tf.Tensor:
        return tf.cast(tf.gather(flat, first + offset, batch_dims=1), tf.float32)

    upper = at(0) * (1.0 - right_share) + at(1) * right_share
    lower = at(size + 2) * (1.0 - right_share) + at(size + 3) * right_share
    return upper * (1.0 - bottom_share) + lower * bottom_share


_LIFT, _DARKEST, _LARGEST_EXPONENT = 0.05, 0.004, 4.0 / 3.0

COLOUR_NUMBERS = 5
"""How many numbers in (0, 1) one example's colours are changed with."""


def colour(images: tf.Tensor, unit: tf.Tensor, strength: float) -> tf.Tensor:
    """Changes gain of each channel, brightness and contrast; black stays black.

    Args:
        images: `(batch, size, size, 3)`, float32 in [-1, 1].
        unit: `(batch, 5)`, uniform in (0, 1).
        strength: largest change of gain and brightness, as a share; the exponent of contrast changes as much.

    Returns:
        The images' shape, in [-1, 1].
    """
    change = strength * (2.0 * tf.convert_to_tensor(unit, tf.float32)[:, None, None, :] - 1.0)
    gain = (1.0 + change[..., :3] / 2.0) * (1.0 + change[..., 3:4])
    light = tf.pow((images + 1.0) / 2.0, tf.exp(change[..., 4:]))
    return 2.0 * tf.clip_by_value(light * gain, 0.0, 1.0) - 1.0


class Tones(NamedTuple):
    """Tone and contrast of each training image, and which images are like it.

    Attributes:
        own: of the logarithms of values in the field of view, in [0, 1] with 0.05 added: the means of the channels,
            then the logarithms of their standard deviations, `(n, 6)` float32.
        near: rows of the other images whose tones are nearest, a third of all and two at least, `(n, k)` int32.
    """

    own: np.ndarray
    near: np.ndarray


TONE_NUMBERS = 3
"""How many uniform numbers one example's new tone is made from."""


def measure_tones(images: np.ndarray, fov: np.ndarray) -> Tones:
    """Measures images `(n, size, size, 3)`, uint8, in a field of view `(n, size, size, 1)`, 255 inside."""
    own = np.empty((len(images), 6), np.float32)
    for row, image, inside in zip(own, images, fov[..., 0] == 255, strict=True):
        light = np.log(image[inside] / np.float32(255.0) + _LIFT)
        row[:3], row[3:] = light.mean(axis=0), np.log(np.maximum(light.std(axis=0), _DARKEST))
    spread = own / np.maximum(own.std(axis=0), _DARKEST)
    tree = spatial.KDTree(spread)
    count = min(len(own), 1 + max(2, len(own) // 3))
    _, near = tree.query(spread, k=count)
    near = np.reshape(near, (len(own), count))
    return Tones(own, np.int32(near[:, 1:] if count > 1 else near))


def new_tones(tones: Tones, rows: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """Tones `(batch, 6)` between those of two images whose tones are near.

    A tone of another camera does not fit an image: where red is saturated, for one, the disc becomes green.

    Args:
        tones: as `measure_tones` finds them.
        rows: of the images, `(batch,)`, int64.
        unit: `(batch, 3)`, uniform in (0, 1): which two images, and where between them.
    """
    near = tf.gather(tones.near, rows)
    chosen = tf.cast(tf.floor(unit[:, :2] * near.shape[1]), tf.int32)
    first, second = tf.unstack(tf.gather(tones.own, tf.gather(near, chosen, batch_dims=1)), axis=1)
    return first + unit[:, 2:] * (second - first)


def with_tones(light: tf.Tensor, fov: tf.Tensor, own: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Gives images new tones and contrasts; what is outside the field of view stays black.

    A gain and an exponent for each channel, of values with 0.05 added, since the noise of dark channels would become
    specks of color. After Reinhard et al., "Color transfer between images" (2001), without their color space.

    Args:
        light: `(batch, size, size, 3)`, float32 in [0, 1], multiplied with the field of view.
        fov: share of each pixel, `(batch, size, size, 1)`, float32 in [0, 1].
        own: `(batch, 6)`, the images' rows of `tones.own`.
        new: `(batch, 6)`, their tones from now on.

    Returns:
        The shape of `light`, in [0, fov].
    """
    exponent = tf.clip_by_value(tf.exp(new[:, 3:] - own[:, 3:]), 1.0 / _LARGEST_EXPONENT, _LARGEST_EXPONENT)
    gain = tf.exp(new[:, :3] - exponent * own[:, :3])
    share = tf.maximum(fov, _DARKEST)
    changed = gain[:, None, None] * tf.pow(light / share + _LIFT, exponent[:, None, None]) - _LIFT
    return tf.clip_by_value(changed * share, 0.0, fov)
