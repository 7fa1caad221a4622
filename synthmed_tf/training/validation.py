"""How good a stage is now: by pairs of patients that it does not learn from, and by the metrics of the alarms.

The measure is less where the stage is better: for the GANs how far generated images are from real ones by their
    patches,
masks also by how whole they are (`distance.patch_distance`, `distance.mask_distance`), for the segmenter 1 - F1.
"""

from collections.abc import Callable
from functools import singledispatchmethod

import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.data.vessel_maps import RIDGE, reduce_maps, stack_maps
from synthmed_tf.metrics import sliced_wasserstein
from synthmed_tf.models.mask_refiner import find_vessels as vessels_of
from synthmed_tf.training import alarms, tree_metrics
from synthmed_tf.training.calibration import choose_thresholds, extent
from synthmed_tf.training.refiner_stage import RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.ridge_stage import RidgeStage
from synthmed_tf.training.sampling import (
    find_vessels,
    fit_styles,
    generate_coverage_tanh,
    generate_images,
    generate_maps,
    generated_distances,
    refined,
    render_images,
)
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.stages import ImageStage, MaskStage, Stage

VALIDATION = "validation"

Metrics = dict[str, float]
Distance = Callable[[np.ndarray, np.ndarray], float]

_MASKS = 64
_IMAGES = 16
_RENDERED = 4
_REFINED = 16
_RIDGE_LEVEL = 0.5


class Validator:
    """Validates a stage at each step that is due, always by the same images and latents."""

    def __init__(self, stage: Stage, config: Config, dataset: Dataset):
        self.stage, self.config, self.dataset = stage, config, dataset
        self._target: list[float] = []

    def metrics(self) -> dict[str, float]:
        """`validation`, where patients are held out for it, and for Stage-I the metrics of its alarms and its trees.

        Metrics whose names end in `_of_real` are those of real images, the targets of the metrics before them.
        """
        return self._metrics(self.stage)

    @singledispatchmethod
    def _metrics(self, stage: Stage) -> dict[str, float]:
        raise TypeError(f"There is no measure for this stage. Received: {stage}")

    @_metrics.register
    def _of_masks(self, stage: MaskStage) -> dict[str, float]:
        inside = (self.dataset.fov >= 128).astype(np.float32)
        generated = (generate_coverage_tanh(stage, self.config, 0, _MASKS) + 1.0) / 2.0 * inside
        real = self._real_masks()
        augmented = alarms.augmented_masks(real, stage.ranges, self.config.seed)
        metrics = {alarms.DIVERSITY: alarms.diversity(real, generated)}
        if stage.ranges != augmentation.Ranges():
            metrics[alarms.LEAK] = alarms.augmentation_leak(real, augmented, generated)
        vessels = self._vessels(generated)
        metrics |= tree_metrics.of_masks(vessels, real >= 0.5)
        if self.dataset.validation is not None:
            unseen = (self.dataset.validation[..., COVERAGE] >= 128) & (inside > 0)
            metrics |= self._distances(sliced_wasserstein.mask_distance, unseen, vessels, real >= 0.5)
        return metrics

    @_metrics.register
    def _of_ridges(self, stage: RidgeStage) -> dict[str, float]:
        """Ridges, cut at one half, are compared as masks are."""
        fov = stage.fov.numpy()
        generated = generate_maps(stage.generator_ema, self.config, 0, _MASKS) * fov
        real = np.concatenate([batch["maps"].numpy() * fov for batch in stage.batches().take(_MASKS // 16)])
        metrics = {alarms.DIVERSITY: alarms.diversity(real[..., RIDGE], generated[..., RIDGE])}
        metrics |= tree_metrics.of_maps(generated, real)
        if self.dataset.validation is not None:
            maps = (self._coarse_validation(stage.size) * fov, generated, real)
            ridges = (each[..., RIDGE] >= _RIDGE_LEVEL for each in maps)
            metrics |= self._distances(sliced_wasserstein.mask_distance, *ridges)
        return metrics

    @_metrics.register
    def _of_refiner(self, stage: RefinerStage) -> dict[str, float]:
        metrics = self._geometry(stage)
        if self.dataset.validation is None:
            return metrics
        found = refined(stage, self.config, self._coarse_validation(stage.size // stage.factor)) >= 0.5
        target = self.dataset.validation[..., COVERAGE] >= 128
        return metrics | {VALIDATION: 1.0 - _overlap(found, target)}

    def _geometry(self, stage: RefinerStage) -> dict[str, float]:
        """Of masks at full size as an export would generate them now; without a coarse generator of real maps."""
        inside = self.dataset.fov >= 128
        real = (self.dataset.pairs[..., COVERAGE] >= 128) & inside
        found = generated_distances(stage, self.config, inside, _REFINED)
        thresholds = choose_thresholds(found, extent(real[..., 0]))
        return tree_metrics.of_masks(vessels_of(tf.constant(found, tf.float32), thresholds).numpy() & inside, real)

    def _distances(self, distance: Distance, unseen: np.ndarray, generated: np.ndarray, real: np.ndarray) -> Metrics:
        """The measure of generated images, and the same of the real ones that the stage learns from: its target."""
        if not self._target:
            self._target.append(distance(_as_images(unseen), _as_images(real)))
        measure = distance(_as_images(unseen), _as_images(generated))
        return {VALIDATION: measure, f"{VALIDATION}{tree_metrics.TARGET}": self._target[0]}

    def _coarse_validation(self, size: int) -> np.ndarray:
        """The coarse maps of the validation masks, `(n, size, size, 2)` float32 in [0, 1]."""
        coverage_u8 = self.dataset.validation[..., COVERAGE]
        maps = stack_maps(coverage_u8, size, structures=self.config.data.structures)
        return reduce_maps(maps, coverage_u8.shape[1] // size) / np.float32(255)

    def _vessels(self, coverage: np.ndarray) -> np.ndarray:
        """Coverage `(n, size, size, 1)` in [0, 1] cut at the threshold that a snapshot of now would have; bool."""
        if not self.config.stage1.calibrate:
            return coverage > 0.5
        within = coverage[:, self.dataset.fov[..., 0] >= 128]
        return coverage > max(float(np.quantile(within, 1.0 - self.dataset.vessel_share)), 0.0)

    @_metrics.register
    def _of_images(self, stage: ImageStage) -> dict[str, float]:
        if self.dataset.validation is None:
            return {}
        pairs = self.dataset.validation[:_IMAGES]
        prior = fit_styles(stage, self.config, self.dataset.pairs)
        generated = [generate_images(stage, self.config, pairs, first, prior) for first in (0, len(pairs))]
        distance = sliced_wasserstein.patch_distance
        return self._distances(distance, _cut(pairs), np.concatenate(generated), _cut(self.dataset.pairs[:_IMAGES]))

    @_metrics.register(CoarseRendererStage)
    @_metrics.register(FineRendererStage)
    def _of_renderer(self, stage: CoarseRendererStage | FineRendererStage) -> dict[str, float]:
        if self.dataset.validation is None:
            return {}
        pairs = self.dataset.validation[:_RENDERED]
        generated = [render_images(stage, self.config, pairs, first) for first in (0, len(pairs))]
        factor = self.config.size // stage.size
        unseen, real = (reduce_maps(_cut(part), factor) for part in (pairs, self.dataset.pairs[: 2 * _RENDERED]))
        return self._distances(sliced_wasserstein.patch_distance, unseen, np.concatenate(generated), real)

    @_metrics.register
    def _of_segmenter(self, stage: SegmenterStage) -> dict[str, float]:
        if self.dataset.validation is None:
            return {}
        pairs = self.dataset.validation
        inside = pairs[..., FOV] >= 128
        found, target = (find_vessels(stage, pairs) >= 0.5) & inside, (pairs[..., COVERAGE] >= 128) & inside
        return {VALIDATION: 1.0 - _overlap(found, target)}

    def _real_masks(self) -> np.ndarray:
        """What Stage-I learns from, as the input pipeline gives it: `(64, size, size, 1)` in [0, 1]."""
        ranges = augmentation.ranges_of(self.config.data)
        batch = next(iter(pipeline.batches(self.dataset.pairs, _MASKS, self.config.seed, ranges)))
        return (batch["coverage"] * tf.constant(self.dataset.fov / 255.0, tf.float32)).numpy()


def _overlap(found: np.ndarray, target: np.ndarray) -> float:
    """F1 of bool arrays."""
    return float(2 * np.sum(found & target) / max(1, np.sum(found) + np.sum(target)))


def _as_images(images: np.ndarray) -> np.ndarray:
    """Bool as 0 and 255; uint8 as it is."""
    return np.where(images, 255, 0).astype(np.uint8) if images.dtype == np.bool_ else images


def _cut(pairs: np.ndarray) -> np.ndarray:
    """Photographs, black outside the field of view; uint8."""
    return pairs[..., IMAGE] * (pairs[..., FOV] >= 128)
