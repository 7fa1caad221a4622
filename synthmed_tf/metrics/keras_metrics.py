"""Metrics for `model.evaluate` and training loops of one's own: Dice and clDice in a field of view, and KID.

MaskedDice().update_state(mask, probability, sample_weight=fov)
"""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.metrics import segmentation


class _MeanPerImage(keras.metrics.Metric):
    """The mean over all images of a score of each."""

    def __init__(self, name: str, threshold: float):
        super().__init__(name=name)
        self.threshold = threshold
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")
        self.images = self.add_weight(name="images", shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: masks `(batch, h, w, 1)` or `(batch, h, w)`; vessel where 0.5 or more.
            y_pred: probabilities, of that shape; vessel where the threshold or more.
            sample_weight: fields of view, inside where above 0: of that shape, or without its last axes, as Keras
                hands weights over. None for everywhere.
        """
        y_pred = tf.convert_to_tensor(y_pred)
        truth, found = tf.cast(y_true, tf.float32) >= 0.5, y_pred >= tf.cast(self.threshold, y_pred.dtype)
        truth.shape.assert_is_compatible_with(found.shape)
        inside = tf.ones_like(truth)
        if sample_weight is not None:
            inside = tf.cast(sample_weight, tf.float32) > 0
            for _ in range(truth.shape.rank - inside.shape.rank):
                inside = inside[..., None]
            inside = tf.broadcast_to(inside, tf.shape(truth))
        values = self._scores(truth, found, inside)
        self.total.assign_add(tf.reduce_sum(values))
        self.images.assign_add(tf.cast(tf.size(values), tf.float32))

    def result(self):
        """The mean, in [0, 1]; 0 before the first image."""
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.images))

    def get_config(self):
        """The constructor's arguments."""
        return {"name": self.name, "threshold": self.threshold}

    def _scores(self, truth: tf.Tensor, found: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError


class MaskedDice(_MeanPerImage):
    """Dice overlap inside the field of view, averaged over images; 1 for an image without vessels on either side."""

    def __init__(self, name: str = "dice", threshold: float = 0.5):
        """Makes the metric.

        Args:
            name: of the metric.
            threshold: from which probability on a pixel is vessel.
        """
        super().__init__(name, threshold)

    def _scores(self, truth, found, inside):
        def count(pixels):
            return tf.reduce_sum(tf.cast(pixels & inside, tf.float32), axis=tuple(range(1, pixels.shape.rank)))

        both, total = count(truth & found), count(truth) + count(found)
        return tf.where(total > 0, tf.math.divide_no_nan(2 * both, total), 1.0)


class MaskedClDice(_MeanPerImage):
    """Centre-line Dice (Shit et al. 2021) inside the field of view, averaged over images.

    The centre lines are thinned in NumPy by `scores.cl_dice`, through `tf.numpy_function`: it works in a `tf.function`
    on the CPU and GPU, but not in a SavedModel, under XLA or on a TPU, and it has no gradient.
    """

    def __init__(self, name: str = "cl_dice", threshold: float = 0.5):
        """Makes the metric.

        Args:
            name: of the metric.
            threshold: from which probability on a pixel is vessel.
        """
        super().__init__(name, threshold)

    def _scores(self, truth, found, inside):
        def measure(*masks):
            rows = zip(*(mask.reshape(mask.shape[:3]) for mask in masks), strict=True)
            return np.array([segmentation.cl_dice(*row) for row in rows], np.float32)

        return tf.ensure_shape(tf.numpy_function(measure, [truth, found, inside], tf.float32), (None,))


class KID(keras.metrics.Metric):
    """The kernel inception distance: unbiased MMD^2 for the kernel (x.y / d + 1)^3 (Binkowski et al. 2018).

    The kernel compares each row with each other, so all features are kept, and the result is that of all rows together:
    no mean over batches, whose value would depend on their size. There is room for a fixed number of rows. The sets are
    taken as they are; `distribution.kid` adds interval and p.
    """

    def __init__(self, features: int, capacity: int = 10_000, name: str = "kid"):
        """Makes the metric with its memory, 8 x capacity x features bytes.

        Args:
            features: length d of a feature vector.
            capacity: most rows of each set.
            name: of the metric.
        """
        super().__init__(name=name)
        self.features, self.capacity = features, capacity
        self.rows, self.counts = (
            {
                side: self.add_weight(name=f"{side}_{what}", shape=shape, initializer="zeros")
                for side in ("real", "synthetic")
            }
            for what, shape in (("rows", (capacity, features)), ("count", ()))
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch of each set.

        Args:
            y_true: real features, `(n, d)`; n may be 0.
            y_pred: synthetic features, `(m, d)`; m may be 0, and need not be n.
            sample_weight: not supported; None.

        Raises:
            tf.errors.InvalidArgumentError: a set has more rows than there is room for.
            ValueError: there are weights.
        """
        if sample_weight is not None:
            raise ValueError("KID has no weights. Received: sample_weight")
        for side, rows in (("real", y_true), ("synthetic", y_pred)):
            rows = tf.ensure_shape(tf.cast(rows, tf.float32), (None, self.features))
            start = self._count(side)
            end = start + tf.shape(rows)[0]
            room = tf.debugging.assert_less_equal(end, self.capacity, f"KID keeps {self.capacity} rows of each set")
            with tf.control_dependencies([room] if room is not None else []):
                places = tf.range(start, end)[:, None]
            kept = tf.tensor_scatter_nd_update(tf.convert_to_tensor(self.rows[side]), places, rows)
            self.rows[side].assign(kept)
            self.counts[side].assign_add(tf.cast(tf.shape(rows)[0], tf.float32))

    def result(self):
        """The distance, float32; about 0 for sets of one distribution, NaN before there are two rows of each."""
        real, synthetic = (
            tf.cast(tf.convert_to_tensor(self.rows[side])[: self._count(side)], tf.float64)
            for side in ("real", "synthetic")
        )
        within = self._mean_off_diagonal(real) + self._mean_off_diagonal(synthetic)
        return tf.cast(within - 2 * tf.reduce_mean(self._kernel(real, synthetic)), tf.float32)

    def get_config(self):
        """The constructor's arguments."""
        return {"features": self.features, "capacity": self.capacity, "name": self.name}

    def _count(self, side: str) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(self.counts[side]), tf.int32)

    def _kernel(self, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return (tf.matmul(one, other, transpose_b=True) / self.features + 1.0) ** 3

    def _mean_off_diagonal(self, rows: tf.Tensor) -> tf.Tensor:
        kernel, count = self._kernel(rows, rows), tf.cast(tf.shape(rows)[0], tf.float64)
        return (tf.reduce_sum(kernel) - tf.linalg.trace(kernel)) / (count * (count - 1.0))
