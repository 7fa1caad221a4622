"""Mixed precision, XLA, loss scaling and accumulation, on one replica and two, against float32 and the whole batch."""

import functools
import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.paths import ENVIRONMENT
from helpers.steps import PLAIN, assert_equal_on_replicas, make_config, one_device, random_pairs, trained

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models import layers
from synthmed_tf.training.loss_scale import LossScale
from synthmed_tf.training.stages import MaskStage
from synthmed_tf.training.strategy import check_combination

# After two steps, relative to a term's size: bfloat16 has 8 bits of precision, float16 has 11.
TOLERANCE = {"mixed_bfloat16": 0.1, "mixed_float16": 0.02}
STAGES = ("stage1", "stage2", "segmenter")
# Every second step, so that the penalty is among what is compared.
R1 = ("stage1.r1_interval=2", "stage2.r1_gamma=1", "stage2.r1_interval=2")


# Each takes a while to compile: one of each kind is in the fast suite.
FAST = {("stage1", "mixed_bfloat16", 1), ("stage2", "mixed_float16", 2), ("segmenter", "mixed_float16", 1)}
COMBINATIONS = [
    pytest.param(*each, marks=() if each in FAST else pytest.mark.slow)
    for each in itertools.product(STAGES, TOLERANCE, (1, 2))
]


@functools.cache
def _in_float32(name, *options):
    """Two steps of the whole batch; several tests compare with them, since each compiles for seconds."""
    return trained(name, make_config("gan", *PLAIN, *R1, *options), one_device(), 2)


@pytest.mark.parametrize(("name", "precision", "replicas"), COMBINATIONS)
def test_mixed_precision_follows_float32(name, precision, replicas, two_replicas):
    strategy = two_replicas if replicas == 2 else one_device()
    _, expected = _in_float32(name)
    step, terms = trained(name, make_config("gan", *PLAIN, *R1, f"precision={precision}"), strategy, 2)
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=TOLERANCE[precision], atol=1e-3, err_msg=term)
    assert assert_equal_on_replicas(step, strategy) > 20
    for part in step.state().values():
        assert not any(variable.dtype in (tf.float16, tf.bfloat16) for variable in part)


def test_r1_of_a_mixed_network_is_computed_in_float32():
    """Bit for bit that of a float32 network with the same weights; left in bfloat16 it would differ."""
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    full, mixed = (
        MaskStage(make_config("gan", f"precision={precision}"), np.ones((32, 32, 1), np.float32))
        for precision in ("float32", "mixed_bfloat16")
    )
    mixed.discriminator.set_weights(full.discriminator.get_weights())
    np.testing.assert_allclose(mixed.r1_term(batch), full.r1_term(batch), rtol=1e-5)
    seen = tf.random.stateless_uniform((8, 32, 32, 1), (1, 2))
    outside = mixed.discriminator(seen) - full.discriminator(seen)
    assert float(tf.reduce_max(tf.abs(outside))) > 1e-4


def test_statistics_of_normalization_are_float32():
    x = 100.0 + tf.random.stateless_normal((2, 8, 8, 3), (0, 1))  # squares of 100 are 8 apart in float16
    for kind in ("batch", "instance"):
        with layers.made_in("mixed_float16"):
            layer = layers.normalization(kind)
        normalised = layer(x, training=True)
        assert normalised.dtype == tf.float16
        axes = (0, 1, 2) if kind == "batch" else (1, 2)
        given = tf.cast(tf.cast(x, tf.float16), tf.float32)
        mean, variance = tf.nn.moments(given, axes, keepdims=True)
        np.testing.assert_allclose(normalised, (given - mean) / tf.sqrt(variance + 1e-5), atol=2e-2)


def _scaled(replicas, gradient_on_replica, steps=1):
    """Adam on one weight, from 1, with a loss scale; returns weight, scale and good steps on each replica."""
    strategy = replicas or one_device()
    with strategy.scope():
        weight = tf.Variable(1.0)
        optimizer = keras.optimizers.Adam(0.5)
        optimizer.build([weight])
        scale = LossScale()

    @tf.function
    def step():
        def on_replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            scale.apply(optimizer, [gradient_on_replica(number) * scale.scaled(tf.constant(1.0))], [weight])

        strategy.run(on_replica)

    for _ in range(steps):
        step()
    found = [strategy.experimental_local_results(variable) for variable in (weight, *scale.variables)]
    return [[float(value) for value in values] for values in found], optimizer


def test_a_gradient_that_is_not_finite_changes_nothing_and_halves_the_scale():
    found, optimizer = _scaled(None, lambda number: tf.constant(float("inf")), steps=3)
    assert found == [[1.0], [2.0**12], [0.0]]
    assert int(optimizer.iterations) == 0


def test_one_replica_with_such_a_gradient_stops_the_update_on_both(two_replicas):
    found, _ = _scaled(two_replicas, lambda number: tf.where(number == 1, float("nan"), 1.0))
    assert found == [[1.0, 1.0], [2.0**14, 2.0**14], [0.0, 0.0]]


def test_finite_gradients_are_followed_unscaled(two_replicas):
    for strategy in (None, two_replicas):
        found, optimizer = _scaled(strategy, lambda number: tf.constant(0.25), steps=2)
        for weight in found[0]:
            np.testing.assert_allclose(weight, 0.0, atol=1e-4)  # Adam's first steps are the learning rate long
        assert set(found[1]) == {2.0**15} and set(found[2]) == {2.0}
        assert int(tf.convert_to_tensor(optimizer.iterations)) == 2


def test_the_scale_grows_after_two_thousand_good_steps():
    scale = LossScale()
    scale.variables[1].assign(1_999)
    scale._adjust(scale.variables[0].read_value(), tf.constant(True))
    assert float(scale.variables[0]) == 2.0**16 and int(scale.variables[1]) == 0
    scale.variables[0].assign(2.0**24)
    scale.variables[1].assign(1_999)
    scale._adjust(scale.variables[0].read_value(), tf.constant(True))
    assert float(scale.variables[0]) == 2.0**24


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_parts_of_a_batch_add_up_to_the_whole(name, replicas, two_replicas):
    strategy = two_replicas if replicas == 2 else one_device()
    wide = (f"{name}.batch_size=16",) if replicas == 2 else ()
    whole, terms_of_whole = _in_float32(name, *wide)
    options = (*PLAIN, *R1, *wide, f"{name}.accumulate=2")
    parts, terms = trained(name, make_config("gan", *options), strategy, 2)
    for term, value in terms_of_whole.items():
        np.testing.assert_allclose(terms[term], value, rtol=2e-3, err_msg=term)
    for network in ("generator", "discriminator", "generator_ema"):
        one, other = (getattr(step.stage, network).get_weights() for step in (whole, parts))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(b, a, atol=2e-4)


def test_combinations_that_cannot_work_are_refused_with_the_reason(two_replicas):
    cases = [
        ("stage2", ("stage2.accumulate=3",), "8, which 2 replicas in 3 parts each cannot share equally; .* of 6"),
        ("stage1", ("stage1.accumulate=2",), "leaves 2 images a part; .* groups of 4"),
        ("stage1", ("stage1.batch_size=6",), "leaves 3 at a time; .* multiple of 4"),
        ("stage2", ("stage2.norm=batch", "stage2.r1_gamma=1"), "r1_gamma is 1.0, which TensorFlow cannot compute"),
    ]
    for stage, options, sentence in cases:
        with pytest.raises(SynthMedError, match=sentence):
            check_combination(two_replicas, make_config("gan", *options), stage)
    check_combination(one_device(), make_config("gan", "stage1.accumulate=2"), "stage1")


XLA_PROGRAM = """
import json, sys
import tensorflow as tf
from helpers.steps import PLAIN, make_config, one_device, trained
from synthmed_tf.training.strategy import turn_on_xla
replicas, name = int(sys.argv[1]), sys.argv[2]
turn_on_xla()
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if replicas == 2 else one_device()
print(json.dumps(trained(name, make_config("gan", *PLAIN), strategy, 2)[1]))
"""


@pytest.mark.once
@pytest.mark.parametrize(("replicas", "name"), [(1, "stage1"), pytest.param(2, "stage2", marks=pytest.mark.slow)])
def test_xla_compiles_clusters_and_follows_the_other_way(replicas, name):
    """In a process of its own: what is asked of XLA holds for a whole process."""
    command = [sys.executable, "-c", XLA_PROGRAM, str(replicas), name]
    ran = subprocess.run(
        command, env=ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "0"}, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    assert "Compiled cluster using XLA" in ran.stderr
    _, expected = trained(name, make_config("gan", *PLAIN), one_device(), 2)
    terms = json.loads(ran.stdout.splitlines()[-1])
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=2e-3, err_msg=term)
