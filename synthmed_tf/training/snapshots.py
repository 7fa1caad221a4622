"""What a run does between steps, other than training: images to look at, the threshold, the snapshot."""

from functools import singledispatch

import numpy as np
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.config.schema import Config
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.data.pipeline import COVERAGE, IMAGE
from synthmed_tf.data.vessel_maps import CALIBRE, RIDGE, reduce_maps
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.training.calibration import choose_thresholds, extent
from synthmed_tf.training.refiner_stage import DISTANCE, RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.ridge_stage import RidgeStage
from synthmed_tf.training.sampling import (
    coarse_maps,
    find_vessels,
    fit_styles,
    generate_coverage_tanh,
    generate_images,
    generate_maps,
    generated_distances,
    mask_latents,
    refined,
    render_images,
)
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.snapshot import Snapshot
from synthmed_tf.training.stages import ImageStage, MaskStage, Stage

_CALIBRATION_MASKS = 256
_THRESHOLD_MASKS = 32
_SHOWN = 8
_RENDERED = 4


def make_snapshot(stage: Stage, config: Config, step: int, dataset: Dataset) -> Snapshot:
    """The averaged network as it is now; Stage-I's with its threshold, Stage-II's with its styles."""
    threshold, styles, thresholds = 0.0, None, None
    if isinstance(stage, MaskStage):
        refresh_statistics(stage, config)
        threshold = calibrate(stage, config, dataset)
    if isinstance(stage, ImageStage):
        styles = fit_styles(stage, config, dataset.pairs)
    if isinstance(stage, RefinerStage):
        thresholds = calibrate_thresholds(stage, config, dataset)
    weights = (stage.generator_ema if hasattr(stage, "generator_ema") else stage.network_ema).get_weights()
    return Snapshot(
        stage.name, config, step, weights, dataset.fov, threshold, dataset.facts, styles=styles, thresholds=thresholds
    )


def calibrate(stage: MaskStage, config: Config, dataset: Dataset) -> float:
    """The threshold at which generated vessels cover as much of the field of view as those of the training masks.

    Returns:
        The quantile of 256 generated `coverage_tanh`; 0 where the configuration does not calibrate.
    """
    if not config.stage1.calibrate:
        return 0.0
    inside = dataset.fov[..., 0] >= 128
    generated = generate_coverage_tanh(stage, config, 0, _CALIBRATION_MASKS)[:, inside]
    return float(np.quantile(generated, 1.0 - dataset.vessel_share))


def calibrate_thresholds(stage: RefinerStage, config: Config, dataset: Dataset) -> Thresholds:
    """The thresholds at which generated masks have the share, width and pieces of the training masks' vessels.

    Of 32 masks of the coarse generator or, without one, of the maps of the training masks.
    """
    inside = dataset.fov >= 128
    found = generated_distances(stage, config, inside, _THRESHOLD_MASKS)
    real = (dataset.pairs[..., COVERAGE] >= 128) & inside
    return choose_thresholds(found, extent(real[..., 0]))


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

    Stage-I: 8 training masks (or their ridge maps) and 16 generated ones, with the calibre of the first; its fine
    network: training masks, what it makes of their maps, and generated ones. Stage-II: masks, the real photographs, and
    two generated ones (of two styles). The segmenter: photographs, their masks, and what it finds. Both with pairs of
    the validation patients where there are some.
    """
    raise TypeError(f"There is no image of this stage. Received: {stage}")


@sample_grid.register
def _(stage: MaskStage, config: Config, dataset: Dataset) -> np.ndarray:
    inside = (generate_coverage_tanh(stage, config, 0, 2 * _SHOWN) + 1.0) * (dataset.fov >= 128)
    real = _first(dataset.pairs[..., COVERAGE]) * (dataset.fov >= 128)
    return images.grid(np.concatenate([real, np.round(inside * 127.5)]).astype(np.uint8), _SHOWN)


@sample_grid.register
def _(stage: RidgeStage, config: Config, dataset: Dataset) -> np.ndarray:
    maps = generate_maps(stage.generator_ema, config, 0, 2 * _SHOWN) * stage.fov.numpy()
    real = next(iter(stage.batches().take(1)))["maps"].numpy() * stage.fov.numpy()
    rows = np.concatenate([_first(real[..., RIDGE]), maps[..., RIDGE], maps[:_SHOWN, ..., CALIBRE]])
    return images.grid(np.round(rows * 255.0).astype(np.uint8), _SHOWN)


@sample_grid.register
def _(stage: RefinerStage, config: Config, dataset: Dataset) -> np.ndarray:
    shown, maps = stage.maps[:_SHOWN, ..., DISTANCE], coarse_maps(stage, _SHOWN)
    rows = [shown, np.round(refined(stage, config, maps) * 255.0)]
    if stage.generator is not None:
        inside = dataset.fov >= 128
        rows.append(np.round(generated_distances(stage, config, inside, len(shown)) * 255.0))
    return images.grid(np.concatenate(rows).astype(np.uint8), len(shown))


@sample_grid.register
def _(stage: ImageStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = _shown_pairs(dataset)
    rows = [_as_colour(np.where(pairs[..., COVERAGE] >= 128, 255, 0)), pairs[..., IMAGE]]
    prior = fit_styles(stage, config, dataset.pairs)
    rows += [generate_images(stage, config, pairs, repeat * _SHOWN, prior) for repeat in range(2)]
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


@sample_grid.register(CoarseRendererStage)
@sample_grid.register(FineRendererStage)
def _(stage: CoarseRendererStage | FineRendererStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = _shown_pairs(dataset)[:_RENDERED]
    reduced = reduce_maps(pairs, config.size // stage.size)
    rows = [_as_colour(np.where(reduced[..., COVERAGE] >= 128, 255, 0)), reduced[..., IMAGE]]
    rows += [render_images(stage, config, pairs, repeat * _RENDERED) for repeat in range(2)]
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


@sample_grid.register
def _(stage: SegmenterStage, config: Config, dataset: Dataset) -> np.ndarray:
    pairs = _shown_pairs(dataset)
    found = np.round(find_vessels(stage, pairs) * 255.0)
    rows = [pairs[..., IMAGE], _as_colour(pairs[..., COVERAGE]), _as_colour(found)]
    return images.grid(np.concatenate(rows).astype(np.uint8), len(pairs))


def _first(rows: np.ndarray) -> np.ndarray:
    """As many as a row of the grid has; a few are repeated."""
    return rows[np.arange(_SHOWN) % len(rows)]


def _shown_pairs(dataset: Dataset) -> np.ndarray:
    return (dataset.pairs if dataset.validation is None else dataset.validation)[:_SHOWN]


def _as_colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey, 3, axis=-1)
