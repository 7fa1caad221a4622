"""What a run does between steps besides training: pictures to look at, the threshold, the snapshot."""

from typing import Any

import numpy as np
import tensorflow as tf

from synthmed_tf import images, latents
from synthmed_tf.config import Config
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.data.pipeline import COVERAGE, FOV
from synthmed_tf.snapshot import Snapshot
from synthmed_tf.training.stages import ImageStage, MaskStage, Stage, condition

_CALIBRATION_MASKS = 256
_BATCH = 16
_SHOWN = 8


def make_snapshot(stage: Stage, config: Config, step: int, dataset: Dataset) -> Snapshot:
    """The averaged generator as it is now; Stage-I's with its threshold."""
    if isinstance(stage, MaskStage):
        refresh_statistics(stage, config)
        threshold = calibrate(stage, config, dataset)
    else:
        threshold = 0.0
    weights = stage.generator_ema.get_weights()
    return Snapshot(stage.name, config, step, weights, dataset.fov, threshold, dataset.facts)


def calibrate(stage: MaskStage, config: Config, dataset: Dataset) -> float:
    """The threshold at which drawn vessels cover as much of the field of view as those of the training masks.

    Returns:
        The quantile of 256 drawn coverage maps, in [-1, 1]; 0 where the configuration does not calibrate.
    """
    if not config.stage1.calibrate:
        return 0.0
    inside = dataset.fov[..., 0] >= 128
    drawn = [
        stage.generator_ema(_latents(config, start, _BATCH)).numpy()[:, inside]
        for start in range(0, _CALIBRATION_MASKS, _BATCH)
    ]
    return float(np.quantile(np.concatenate(drawn), 1.0 - dataset.vessel_share))


def refresh_statistics(stage: MaskStage, config: Config, batches: int = 20, batch: int = 64) -> None:
    """Measures the batch statistics of the averaged generator anew: those of the trained weights do not fit it."""
    if not stage.generator_ema.non_trainable_variables or not config.stage1.ema_half_life:
        return
    strategy = tf.distribute.get_strategy()

    @tf.function
    def pass_through(latent: tf.Tensor) -> None:
        strategy.run(lambda: stage.generator_ema(latent, training=True))

    for i in range(batches):
        pass_through(_latents(config, i * batch, batch))


def sample_grid(stage: Stage, config: Config, dataset: Dataset) -> np.ndarray:
    """A picture of what the stage draws now, from latents that stay the same over the run, uint8.

    Stage-I: 16 coverage maps. Stage-II: masks, the real photographs, and two drawn ones (of two styles).
    """
    if isinstance(stage, MaskStage):
        coverage = stage.generator_ema(_latents(config, 0, 2 * _SHOWN)).numpy()
        inside = (coverage + 1.0) * (dataset.fov >= 128)
        return images.grid(np.round(inside * 127.5).astype(np.uint8), _SHOWN)
    return _photograph_grid(stage, config, dataset)


def _photograph_grid(stage: ImageStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = dataset.pairs[:_SHOWN]
    masks = tf.constant(pairs[..., COVERAGE] / 255.0, tf.float32)
    fov = tf.constant(pairs[..., FOV] / 255.0, tf.float32)
    given = condition(masks, fov if config.stage2.use_fov else None)
    rows = [np.repeat(np.where(pairs[..., COVERAGE] >= 128, 255, 0), 3, axis=-1), pairs[..., :3]]
    for repeat in range(2):
        style = None
        if config.stage2.style_dim:
            index = tf.range(repeat * _SHOWN, repeat * _SHOWN + len(pairs), dtype=tf.int64)
            style = latents.draw(_seeds(config, len(pairs)), index, config.stage2.style_dim, latents.STYLE)
        drawn = stage.generator_ema(given, style).numpy()
        rows.append(np.round((drawn + 1.0) * 127.5))
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


def _latents(config: Config, start: int, count: int) -> tf.Tensor:
    index = tf.range(start, start + count, dtype=tf.int64)
    return latents.draw(_seeds(config, count), index, config.stage1.latent_dim, latents.LATENT, config.stage1.latent)


def _seeds(config: Config, count: int) -> Any:
    return tf.fill((count,), tf.constant(config.seed, tf.int64))
