"""What a run does between steps besides training: images to look at, the threshold, the snapshot."""

from functools import singledispatch

import numpy as np
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.config.schema import Config
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.data.pipeline import COVERAGE, PHOTOGRAPH
from synthmed_tf.training.sampling import (
    find_vessels,
    fit_styles,
    generate_coverage,
    generate_photographs,
    mask_latents,
)
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.snapshot import Snapshot
from synthmed_tf.training.stages import ImageStage, MaskStage, Stage

_CALIBRATION_MASKS = 256
_SHOWN = 8


def make_snapshot(stage: Stage, config: Config, step: int, dataset: Dataset) -> Snapshot:
    """The averaged network as it is now; Stage-I's with its threshold, Stage-II's with its styles."""
    threshold, styles = 0.0, None
    if isinstance(stage, MaskStage):
        refresh_statistics(stage, config)
        threshold = calibrate(stage, config, dataset)
    if isinstance(stage, ImageStage):
        styles = fit_styles(stage, config, dataset.pairs)
    network = stage.network_ema if isinstance(stage, SegmenterStage) else stage.generator_ema
    weights = network.get_weights()
    return Snapshot(stage.name, config, step, weights, dataset.fov, threshold, dataset.facts, styles=styles)


def calibrate(stage: MaskStage, config: Config, dataset: Dataset) -> float:
    """The threshold at which generated vessels cover as much of the field of view as those of the training masks.

    Returns:
        The quantile of 256 generated coverage maps, in [-1, 1]; 0 where the configuration does not calibrate.
    """
    if not config.stage1.calibrate:
        return 0.0
    inside = dataset.fov[..., 0] >= 128
    generated = generate_coverage(stage, config, 0, _CALIBRATION_MASKS)[:, inside]
    return float(np.quantile(generated, 1.0 - dataset.vessel_share))


def refresh_statistics(stage: MaskStage, config: Config, batches: int = 20, batch: int = 64) -> None:
    """Measures the batch statistics of the averaged generator again: those of the trained weights do not fit it."""
    if not stage.generator_ema.non_trainable_variables or not config.stage1.ema_half_life:
        return
    strategy = tf.distribute.get_strategy()

    @tf.function
    def pass_through(latent: tf.Tensor) -> None:
        strategy.run(lambda: stage.generator_ema(latent, training=True))

    for i in range(batches):
        pass_through(mask_latents(config, i * batch, batch))


@singledispatch
def sample_grid(stage: Stage, config: Config, dataset: Dataset) -> np.ndarray:
    """An image of what the stage makes now, uint8.

    Stage-I: 16 coverage maps. Stage-II: masks, the real photographs, and two generated ones (of two styles). The
    segmenter: photographs, their masks, and what it finds. Both with pairs of the validation patients where there are
        some.
    """
    raise TypeError(f"There is no image of this stage. Received: {stage}")


@sample_grid.register
def _(stage: MaskStage, config: Config, dataset: Dataset) -> np.ndarray:
    inside = (generate_coverage(stage, config, 0, 2 * _SHOWN) + 1.0) * (dataset.fov >= 128)
    return images.grid(np.round(inside * 127.5).astype(np.uint8), _SHOWN)


@sample_grid.register
def _(stage: ImageStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = _shown_pairs(dataset)
    rows = [_as_colour(np.where(pairs[..., COVERAGE] >= 128, 255, 0)), pairs[..., PHOTOGRAPH]]
    prior = fit_styles(stage, config, dataset.pairs)
    rows += [generate_photographs(stage, config, pairs, repeat * _SHOWN, prior) for repeat in range(2)]
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


@sample_grid.register
def _(stage: SegmenterStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = _shown_pairs(dataset)
    found = np.round(find_vessels(stage, pairs) * 255.0)
    rows = [pairs[..., PHOTOGRAPH], _as_colour(pairs[..., COVERAGE]), _as_colour(found)]
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


def _shown_pairs(dataset: Dataset) -> np.ndarray:
    return (dataset.pairs if dataset.validation is None else dataset.validation)[:_SHOWN]


def _as_colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey, 3, axis=-1)
