"""The optimizers that a configuration names; Adam with TensorFlow's fused kernel."""

import keras
import tensorflow as tf

from synthmed_tf import layers
from synthmed_tf.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, learning_rate: float) -> keras.optimizers.Optimizer:
    """The optimizer that the configuration names."""
    if config.name == "adam":
        return FusedAdam(learning_rate, beta_1=config.beta1, beta_2=config.beta2)
    return keras.optimizers.RMSprop(learning_rate)


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015) by one kernel a variable, where Keras makes ten passes over it."""

    def update_step(self, gradient, variable, learning_rate=None):
        """Updates a variable and its two moments; Keras calls it, version 3 with the learning rate."""
        place = self._place(variable)
        weights, first, second = (layers.plain(v) for v in (variable, self._momentums[place], self._velocities[place]))
        rate = self.learning_rate if learning_rate is None else learning_rate
        step = tf.cast(layers.plain(self.iterations) + 1, weights.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=weights.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(rate, weights.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, weights.dtype),
        )

    def _place(self, variable) -> int:
        if hasattr(self, "_get_variable_index"):  # Keras 3
            return self._get_variable_index(variable)
        return self._index_dict[self._var_key(variable)]
