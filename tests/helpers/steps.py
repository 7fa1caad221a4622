"""A few steps of a stage on random images, small enough for every combination of options."""

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config, load_config
from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.training.run import make_step
from synthmed_tf.training.step import TrainingStep

SMALL = ("size=32", "stage1.latent_dim=8", "stage1.batch_size=8", "stage2.batch_size=8", "segmenter.batch_size=8")
SMALL += ("stage1.filters=4", "stage1.discriminator_filters=4", "stage2.filters=4", "stage2.discriminator_filters=4")
SMALL += ("segmenter.filters=4", "segmenter.levels=2", "stage1_fine.batch_size=8", "stage1_fine.filters=4")
SMALL += ("stage2_fine.batch_size=8", "stage2_fine.filters=4")
COARSE = ("size=64", "stage1.coarse_size=32", "stage1_fine.crop=24", "stage2.crop=16", "stage2.crops=2")
COARSE += (
    "stage2_fine.crop=32",
    "stage1_fine.flow_steps=1",
    "stage2.flow_steps=1",
    "stage2.thumbnail_steps=1",
    "stage2_fine.flow_steps=1",
    "stage2.style_dim=2",
)
# A sum of gradients is in another order on two replicas; RMSprop does not blow that up as Adam's first steps do.
PLAIN = ("stage1.optimizer.name=rmsprop", "stage2.optimizer.name=rmsprop")


def make_config(preset: str = "gan", *overrides: str) -> Config:
    """A preset at 32 pixels and a few channels."""
    return load_config(preset, overrides=(*SMALL, *overrides))


def random_pairs(size: int = 32) -> np.ndarray:
    """Six pairs of random pixels with a field of view that is everything."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 256, (6, size, size, 5)).astype(np.uint8)
    pairs[..., 4] = 255
    return pairs


def one_device() -> tf.distribute.Strategy:
    """One CPU."""
    return tf.distribute.OneDeviceStrategy("CPU:0")


def trained(
    name: str, config: Config, strategy: tf.distribute.Strategy, steps: int, step: TrainingStep | None = None
) -> tuple[TrainingStep, dict[str, float]]:
    """Takes steps from the first batch on; returns the step and the mean of each term."""
    with strategy.scope():
        if step is None:
            keras.utils.set_random_seed(1)
            step = make_step(name, config, Dataset(random_pairs(config.size), {}), strategy)
    ranges = augmentation.Ranges(**config.data.augment.model_dump())

    def batches(context):
        replicas = context.num_replicas_in_sync
        if hasattr(step.stage, "batches"):
            return step.stage.batches(replicas=replicas)
        return pipeline.batches(random_pairs(config.size), step.stage.config.batch_size, 0, ranges, replicas=replicas)

    dataset = strategy.distribute_datasets_from_function(batches)
    history = step.run(iter(dataset), tf.constant(steps)).numpy()
    assert history.shape == (steps, len(step.names))
    return step, dict(zip(step.names, map(float, history.mean(axis=0)), strict=True))


def assert_equal_on_replicas(step: TrainingStep, strategy: tf.distribute.Strategy) -> int:
    """Compares every variable of a checkpoint bit by bit between the replicas; returns how many there are."""
    variables = [variable for part in step.state().values() for variable in part] + [step.global_step]
    for variable in variables:
        values = [np.asarray(value) for value in strategy.experimental_local_results(variable)]
        assert len(values) == strategy.num_replicas_in_sync
        for other in values[1:]:
            np.testing.assert_array_equal(other, values[0], err_msg=variable.name)
    return len(variables)


def without_last_checkpoint(run: Path, copy: Path, step: int) -> Path:
    """A copy of a run as a kill after `step` leaves it: with an earlier checkpoint, but with later metrics."""
    shutil.copytree(run, copy)
    for file in copy.glob(f"*/checkpoints/ckpt-{step}.*"):
        file.unlink()
    return copy
