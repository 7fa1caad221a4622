"""The fused optimizers follow Keras' own, on one device and on two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import one_device

from synthmed_tf.models import layers
from synthmed_tf.training.optimizers import FusedAdam, FusedRMSprop

PAIRS = [
    (lambda: FusedAdam(0.1, beta_1=0.5, beta_2=0.9), lambda: keras.optimizers.Adam(0.1, beta_1=0.5, beta_2=0.9)),
    (lambda: FusedRMSprop(0.1), lambda: keras.optimizers.RMSprop(0.1)),
]


def _after_three_steps(make, strategy):
    """Weights and state after three steps with gradients that differ from step to step, and from replica to replica."""
    with strategy.scope():
        variables = [tf.Variable(np.linspace(-1.0, 1.0, n).astype(np.float32)) for n in (5, 3)]
        optimizer = make()
        optimizer.build(variables)

    @tf.function
    def step(number):
        def on_replica():
            here = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group + 1, tf.float32)
            gradients = [here * tf.cast(number, tf.float32) * tf.sin(3.0 * variable) for variable in variables]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        strategy.run(on_replica)

    for number in (1, -2, 3):
        step(tf.constant(number))
    state = layers.plain_variables(optimizer)
    return [variable.numpy() for variable in variables], [np.asarray(tf.convert_to_tensor(v)) for v in state]


@pytest.mark.parametrize(("fused", "usual"), PAIRS, ids=["adam", "rmsprop"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_weights_and_state_are_those_of_keras(fused, usual, replicas, two_replicas):
    strategy = one_device() if replicas == 1 else two_replicas
    found, expected = (_after_three_steps(make, strategy) for make in (fused, usual))
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    assert not np.allclose(found[0][0], np.linspace(-1.0, 1.0, 5))
