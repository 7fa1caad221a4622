"""Counter-based random numbers: what row (seed, index) generates depends on these two numbers and on nothing else.

Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) needs additions,
rotations and exclusive ors of unsigned 32-bit integers alone. They convert to ONNX and agree bit for bit in every
runtime. The floating-point values are looked up in a table of quantiles, so they are bit-identical as well. OpenVINO,
on a CPU, has signed 32-bit integers in place of all others, clips constants to them, and shifts an ONNX file's to the
right by a division in float32; the shifts below are written so that none of this changes anything.

Training generates its latents, augmentation and styles here too, with the image's running number as the index: a run
that was stopped goes on with the same random numbers, and two replicas generate what one would have generated.
"""

import functools
import statistics
from typing import Literal

import numpy as np
import tensorflow as tf

Distribution = Literal["normal", "uniform"]

# Streams keep the uses of one (seed, index) apart.
LATENT, STYLE, TRAIN_LATENT, TRAIN_STYLE, POSTERIOR, AUGMENT_DATA, AUGMENT_COLOUR, AUGMENT_REAL, AUGMENT_FAKE = range(9)
ELASTIC, CROP, MAPS_NOISE_LEVEL, MAPS_NOISE = range(9, 13)
COARSE_NOISE, FINE_NOISE, FLOW_NOISE, FLOW_TIME = range(13, 17)
THUMBNAIL_NOISE, THUMBNAIL_FLOW_NOISE, THUMBNAIL_FLOW_TIME, AUGMENT_TONES, AUGMENT_ILLUMINATION = range(96, 101)
THUMBNAIL_ERASED, REFINER_NOISE = 101, 102
STREAMS_PER_UPDATE = 16

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_LEVELS = 1 << 16


def threefry_2x32(key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]) -> tuple:
    """Encrypts a 64-bit counter under a 64-bit key.

    Args:
        key, counter: two uint32 tensors each, of shapes that broadcast together.

    Returns:
        Two uint32 tensors of the common shape.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ tf.constant(_PARITY, tf.uint32))
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, rotation) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return x0, x1


def sample(
    seed: tf.Tensor, index: tf.Tensor, dim: int, stream: int, distribution: Distribution = "normal"
) -> tf.Tensor:
    """Samples `dim` independent numbers for each row.

    Args:
        seed, index: `(batch,)`, int64; any value, negative ones too.
        dim: how many numbers a row gets.
        stream: which use the numbers are for; other streams of the same row are independent.
        distribution: `normal` (mean 0, variance 1, largest magnitude 4.2) or `uniform` in (-1, 1); both on 65,536
            equally probable levels.

    Returns:
        `(batch, dim)`, float32.
    """
    return tf.gather(tf.constant(quantiles(distribution)), _levels(seed, index, dim, stream))


def sample_uniform(seed: tf.Tensor, index: tf.Tensor, dim: int, stream: int) -> tf.Tensor:
    """As `sample`, uniform in (0, 1)."""
    return (sample(seed, index, dim, stream, "uniform") + 1.0) / 2.0


@functools.cache
def quantiles(distribution: Distribution) -> np.ndarray:
    """The table that `sample` looks up: the middle of each of 65,536 equally probable slices, `(65536,)` float32."""
    probability = (np.arange(_LEVELS) + 0.5) / _LEVELS
    if distribution == "uniform":
        return (2.0 * probability - 1.0).astype(np.float32)
    if distribution == "normal":
        inverse = statistics.NormalDist().inv_cdf
        upper = np.array([inverse(p) for p in probability[_LEVELS // 2 :]])
        return np.concatenate([-upper[::-1], upper]).astype(np.float32)
    raise ValueError(f"`distribution` must be 'normal' or 'uniform'. Received: distribution={distribution!r}")


def _levels(seed: tf.Tensor, index: tf.Tensor, dim: int, stream: int) -> tf.Tensor:
    """`(batch, dim)` int32 in [0, 65535]: each encrypted counter gives four of them."""
    blocks = -(-dim // 4)
    position = tf.constant(np.arange(blocks, dtype=np.uint32)[None, :])
    levels = _encrypted(seed, index, position, tf.constant(np.full((1, blocks), stream, np.uint32)))
    levels.set_shape((*seed.shape, 4 * blocks))
    return levels[:, :dim]


@tf.function(
    autograph=False,
    input_signature=[tf.TensorSpec((None,), tf.int64)] * 2 + [tf.TensorSpec((1, None), tf.uint32)] * 2,
)
def _encrypted(seed: tf.Tensor, index: tf.Tensor, position: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    """All levels of blocks. A function, since its hundreds of operations are then traced once in a process."""
    row_key = threefry_2x32(_halves(seed), _halves(index))
    x0, x1 = threefry_2x32(row_key, (position, stream))
    words = tf.concat([x0, x1], axis=1)
    low, high = words & tf.constant(0xFFFF, tf.uint32), _shift_right(words, 16)
    return tf.cast(tf.concat([low, high], axis=1), tf.int32)


def _halves(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits `(batch,)` int64 into the low and high 32 bits, `(batch, 1)` uint32 each."""
    unsigned = tf.cast(number, tf.uint64)[:, None]
    # By 32 at once would leave a number of 32 bits as it is; in two steps what remains is its sign, as it should be.
    high = _drop_sixteen(_drop_sixteen(unsigned))
    return tf.cast(unsigned, tf.uint32), tf.cast(high, tf.uint32)


def _drop_sixteen(x: tf.Tensor) -> tf.Tensor:
    sixteen, lower = tf.constant(16, tf.uint64), tf.constant(0xFFFF, tf.uint64)
    return tf.bitwise.right_shift(x ^ (x & lower), sixteen)


def _rotate_left(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.left_shift(x, tf.constant(bits, tf.uint32)) | _shift_right(x, 32 - bits)


def _shift_right(x: tf.Tensor, bits: int) -> tf.Tensor:
    """Fills with zeros, of signed integers too; only numbers with 24 significant bits at most are shifted."""
    if bits >= 8:
        return _shift_multiple_right(x ^ (x & tf.constant((1 << bits) - 1, tf.uint32)), bits)
    upper = x ^ (x & tf.constant(0xFFFF, tf.uint32))
    lower = x & tf.constant(0xFFFF >> bits << bits, tf.uint32)
    return _shift_multiple_right(upper, bits) | _shift_multiple_right(lower, bits)


def _shift_multiple_right(x: tf.Tensor, bits: int) -> tf.Tensor:
    """A multiple of 2^bits divided by that."""
    return tf.bitwise.right_shift(x, tf.constant(bits, tf.uint32)) & tf.constant((1 << (32 - bits)) - 1, tf.uint32)
