"""The optimizers that a configuration names, with TensorFlow's fused kernels: one pass where Keras makes ten."""

import keras
import tensorflow as tf

from synthmed_tf.config.schema import OptimizerConfig
from synthmed_tf.models import layers


def make_optimizer(config: OptimizerConfig, learning_rate: float) -> keras.optimizers.Optimizer:
    """The optimizer that the configuration names."""
    if config.name == "adam":
        return FusedAdam(learning_rate, beta_1=config.beta1, beta_2=config.beta2)
    return FusedRMSprop(learning_rate)


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015)."""

    def update_step(self, gradient, variable, learning_rate=None):
        """Updates a variable and its two moments; Keras calls it, version 3 with the learning rate."""
        place = _place(self, variable)
        weights, first, second = (layers.plain(v) for v in (variable, self._momentums[place], self._velocities[place]))
        step = tf.cast(layers.plain(self.iterations) + 1, weights.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=weights.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(self.learning_rate if learning_rate is None else learning_rate, weights.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, weights.dtype),
        )


class FusedRMSprop(keras.optimizers.RMSprop):
    """Keras' RMSprop without momentum (Hinton 2012, lecture 6e)."""

    def build(self, variables):
        """Makes the mean squares, and room for the kernel's increments, which no step takes from another."""
        super().build(variables)
        if not hasattr(self, "_increments"):
            self._increments = [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]

    def update_step(self, gradient, variable, learning_rate=None):
        """Updates a variable and its mean square; Keras calls it, version 3 with the learning rate."""
        place = _place(self, variable)
        weights, mean_square = (layers.plain(v) for v in (variable, self._velocities[place]))
        tf.raw_ops.ResourceApplyRMSProp(
            var=weights.handle,
            ms=mean_square.handle,
            mom=self._increments[place].handle,
            lr=tf.cast(self.learning_rate if learning_rate is None else learning_rate, weights.dtype),
            rho=self.rho,
            momentum=0.0,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, weights.dtype),
        )


def _place(optimizer: keras.optimizers.Optimizer, variable) -> int:
    """Which of the optimizer's variables belong to this one."""
    if hasattr(optimizer, "_get_variable_index"):  # Keras 3
        return optimizer._get_variable_index(variable)
    return optimizer._index_dict[optimizer._var_key(variable)]
