"""A run that was stopped and went on ends with the bits of an undisturbed one; what ends a run early is said."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import make_config, one_device, without_last_checkpoint

from synthmed_tf.data.dataset import load_dataset
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training import alarms, snapshot
from synthmed_tf.training.loop import StageLoop
from synthmed_tf.training.run import make_step
from synthmed_tf.training.validation import VALIDATION, Validator

OFTEN = ("save_every=2", "image_every=100", "validate_every=2", "steps_per_loop=2")


def _loop(name, folder, strategy, *options, change=lambda step: None):
    config = make_config("gan", *OFTEN, *options)
    dataset = load_dataset("phantom", config)
    lines = []
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        step = make_step(name, config, dataset, strategy)
        change(step)
        return StageLoop(step, config, dataset, folder / name, folder / name, lines.append), lines


def _run(name, folder, strategy, *options, change=lambda step: None):
    loop, lines = _loop(name, folder, strategy, *options, change=change)
    with strategy.scope():
        loop.run()
    return lines


def _tensors(folder):
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder / "checkpoints")))
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.parametrize(
    ("name", "replicas", "options"),
    [
        pytest.param("stage1", 2, (), marks=pytest.mark.slow),
        pytest.param("stage2", 2, ("precision=mixed_float16",), marks=pytest.mark.slow),
        ("segmenter", 1, ("precision=mixed_float16", "segmenter.accumulate=2")),
        pytest.param("segmenter", 2, (), marks=pytest.mark.once),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(name, replicas, options, two_replicas, tmp_path):
    strategy = two_replicas if replicas == 2 else one_device()
    _run(name, tmp_path / "whole", strategy, *options, f"{name}.steps=4")
    without_last_checkpoint(tmp_path / "whole", tmp_path / "parts", 4)
    _run(name, tmp_path / "parts", strategy, *options, f"{name}.steps=4")
    there, here = (_tensors(tmp_path / run / name) for run in ("whole", "parts"))
    assert set(there) == set(here) and len(there) > 20
    for key in there:
        np.testing.assert_array_equal(here[key], there[key], err_msg=key)
    lines = []
    for run in ("whole", "parts"):
        text = (tmp_path / run / name / "metrics.jsonl").read_text()
        lines.append([json.loads(line) | {"images_per_second": 0} for line in text.splitlines()])
    assert lines[0] == lines[1] and [line["step"] for line in lines[0]] == [2, 4]
    assert all(VALIDATION in line for line in lines[0])


@pytest.mark.once
def test_the_best_snapshot_is_kept_beside_the_latest_and_training_ends_by_itself(tmp_path, monkeypatch):
    measures = iter([0.5, 0.3, 0.4, 0.35, 0.2])
    monkeypatch.setattr(Validator, "metrics", lambda validator: {VALIDATION: next(measures)})
    options = ("segmenter.steps=20", "segmenter.patience=2")
    lines = _run("segmenter", tmp_path, one_device(), *options)
    best, latest = (snapshot.load(tmp_path / "segmenter" / kind) for kind in ("best", "snapshot"))
    assert (best.step, best.measure) == (4, 0.3)
    assert latest.step == 8 and latest.measure is None
    assert "ended by itself at step 8: the last 2 validations were no better than 0.3000" in lines[-1]
    assert snapshot.chosen(tmp_path / "segmenter").name == "best"
    again = _run("segmenter", tmp_path, one_device(), *options)
    assert "ended by itself at step 8" in again[-1] and next(measures) == 0.2


@pytest.mark.once
def test_a_term_that_is_not_finite_is_named_with_its_step_and_the_checkpoint_stays(tmp_path):
    """The Dice loss of one example of step 3 becomes infinite: the 9th of the run, with a batch of 4."""
    options = ("segmenter.batch_size=4", "steps_per_loop=8")

    def break_one(step):
        terms = step.stage.terms

        def broken(batch):
            found = terms(batch)
            return found | {"dice": tf.where(batch["index"] == 8, float("inf"), found["dice"])}

        step.stage.terms = broken

    with pytest.raises(SynthMedError, match=r"segmenter went wrong at step 3: segmenter/dice is not finite") as error:
        _run("segmenter", tmp_path, one_device(), *options, "segmenter.steps=8", change=break_one)
    assert "the last good checkpoint" in str(error.value)
    assert snapshot.load(tmp_path / "segmenter" / "snapshot").step == 2
    lines = _run("segmenter", tmp_path, one_device(), *options, "segmenter.steps=4")
    assert not any("warning" in line for line in lines) and snapshot.load(tmp_path / "segmenter" / "snapshot").step == 4


def _warnings(folder):
    return {entry["alarm"]: entry for entry in map(json.loads, (folder / "warnings.jsonl").read_text().splitlines())}


def _collapse(step):
    """Neither the first layer nor the modulations pass the latent on; the output is that of the first bias."""
    for network in (step.stage.generator, step.stage.generator_ema):
        for layer in (network.linear, *(modulation.affine for modulation in network.modulations)):
            layer.kernel.assign(tf.zeros_like(layer.kernel))
        network.linear.bias.assign(tf.random.stateless_normal(network.linear.bias.shape, (0, 1)))


@pytest.mark.once
def test_a_generator_that_generates_one_mask_rings_the_alarm_of_diversity_once_a_run(tmp_path):
    options = ("stage1.optimizer.generator_rate=1e-9",)
    first = _run("stage1", tmp_path, one_device(), *options, "stage1.steps=2", change=_collapse)
    second = _run("stage1", tmp_path, one_device(), *options, "stage1.steps=4")
    (entry,) = [json.loads(line) for line in (tmp_path / "stage1" / "warnings.jsonl").read_text().splitlines()]
    assert entry["alarm"] == alarms.DIVERSITY and entry["step"] == 2
    assert entry["value"] < 0.01 and entry["threshold"] == 0.3
    assert sum("warning: stage1, step 2: health/diversity is 0.00" in line for line in first) == 1
    assert not any("health/diversity" in line for line in second)


@pytest.mark.once
def test_a_discriminator_that_wins_rings_its_alarm(tmp_path):
    options = ("stage1.optimizer.generator_rate=1e-9", "stage1.optimizer.discriminator_rate=1e-2", "stage1.r1_gamma=0")
    options += ("steps_per_loop=100", "save_every=1000", "validate_every=1000", "stage1.diversity_weight=0")
    _run("stage1", tmp_path, one_device(), *options, "stage1.steps=300")
    entry = _warnings(tmp_path / "stage1")[alarms.DISCRIMINATOR]
    assert entry["step"] in (200, 300) and entry["value"] < entry["threshold"] == 0.1


@pytest.mark.once
def test_augmentation_that_leaks_rings_its_alarm(tmp_path):
    """The generator generates what the discriminator sees: real masks, shifted."""

    def leak(step):
        stage = step.stage
        dataset = load_dataset("phantom", make_config())
        masks = dataset.pairs[..., 3:4] / 255.0 * (dataset.fov >= 128)
        seen = tf.constant(2.0 * alarms.augmented_masks(masks, stage.ranges, 5) - 1.0, tf.float32)
        generated = iter([seen[:16], seen[16:32], seen[32:48], seen[42:58]] * 50)
        stage.generator_ema.call = lambda latent, training=False: next(generated)[: tf.shape(latent)[0]]

    _run("stage1", tmp_path, one_device(), "stage1.augment.shift=0.3", "stage1.steps=2", "image_every=2", change=leak)
    entry = _warnings(tmp_path / "stage1")[alarms.LEAK]
    assert entry["value"] > entry["threshold"] == 0.5
