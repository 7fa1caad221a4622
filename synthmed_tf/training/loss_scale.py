"""Dynamic loss scaling for float16, in our own hands: Keras' has open faults under a strategy."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from synthmed_tf.models import layers

_INITIAL = 2.0**15
_LARGEST = 2.0**24
_GROW_AFTER = 2_000


class LossScale:
    """Multiplies the loss so that small gradients do not vanish in float16 (Micikevicius et al. 2018, section 3.2).

    A step with a gradient that is not finite, on whichever replica, changes nothing and halves the scale; after 2,000
    good steps on end the scale is doubled.

    Attributes:
        variables: the scale, float32, and the good steps on end, int64: scalars.
    """

    def __init__(self):
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self._scale = tf.Variable(_INITIAL, trainable=False, dtype=tf.float32, aggregation=first)
        self._good_steps = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=first)
        self.variables = [self._scale, self._good_steps]

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss, float32, times the scale."""
        return loss * self._scale.read_value()

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
        """Lets the optimizer follow gradients of the scaled loss if all are finite; in a replica's context.

        Optimizers cannot run in a branch under a strategy: the update is made with zeros and then taken back.
        """
        scale = self._scale.read_value()
        gradients = [gradient / scale for gradient in gradients]
        finite = _finite_everywhere(gradients)
        state = [layers.plain(variable) for variable in variables] + layers.plain_variables(optimizer)
        before = [tf.identity(variable) for variable in state]
        with tf.control_dependencies(before):
            safe = [tf.where(finite, gradient, tf.zeros_like(gradient)) for gradient in gradients]
        optimizer.apply_gradients(zip(safe, variables, strict=True))
        for variable, old in zip(state, before, strict=True):
            variable.assign(tf.where(finite, variable, old))
        self._adjust(scale, finite)

    def _adjust(self, scale: tf.Tensor, finite: tf.Tensor) -> None:
        good = self._good_steps.read_value() + 1
        grow = good >= _GROW_AFTER
        grown = tf.where(grow, tf.minimum(2.0 * scale, _LARGEST), scale)
        self._scale.assign(tf.where(finite, grown, tf.maximum(scale / 2.0, 1.0)))
        self._good_steps.assign(tf.where(finite & ~grow, good, tf.zeros_like(good)))


def _finite_everywhere(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether all gradients are finite on all replicas: scalar bool."""
    finite_here = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
    broken = tf.cast(~finite_here, tf.float32)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, broken) == 0.0
