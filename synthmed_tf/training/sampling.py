"""What a stage makes now, from latents that stay the same over the run."""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.data.vessel_maps import reduce_maps
from synthmed_tf.models import latents, pyramid, style_prior
from synthmed_tf.models.coarse_to_fine import coarse_fov, distances
from synthmed_tf.models.style_prior import StylePrior
from synthmed_tf.training.refiner_stage import MAPS, RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.stages import ImageStage, MaskStage, condition

_BATCH = 16
_MOST_READ = 1024


def mask_latents(config: Config, start: int, count: int) -> tf.Tensor:
    """Stage-I's latents of the run's seed, `(count, latent_dim)`."""
    index = tf.range(start, start + count, dtype=tf.int64)
    stage = config.stage1
    return latents.sample(_seeds(config, count), index, stage.latent_dim, latents.LATENT, stage.latent)


def generate_coverage_tanh(stage: MaskStage, config: Config, start: int, count: int) -> np.ndarray:
    """`coverage_tanh` of the averaged generator, `(count, size, size, 1)` float32 in [-1, 1]."""
    starts = range(start, start + count, _BATCH)
    end = start + count
    return np.concatenate(
        [stage.generator_ema(mask_latents(config, first, min(_BATCH, end - first))).numpy() for first in starts]
    )


def generate_maps(generator: keras.Model, config: Config, start: int, count: int) -> np.ndarray:
    """Vessel maps of Stage-I's coarse generator, `(count, coarse_size, coarse_size, 2)` float32 in [0, 1]."""
    firsts = range(start, start + count, _BATCH)
    end = start + count
    return np.concatenate(
        [generator(mask_latents(config, first, min(_BATCH, end - first))).numpy() for first in firsts]
    )


def refined(stage: RefinerStage, config: Config, maps: np.ndarray) -> np.ndarray:
    """The averaged fine network's distances of `(n, height, width, 2)` maps: `(n, size, size, 1)` float32."""
    found = []
    for start in range(0, len(maps), _BATCH):
        part = maps[start : start + _BATCH]
        latent = mask_latents(config, start, len(part))
        found.append(distances(stage.network_ema, tf.constant(part), latent).numpy())
    return np.concatenate(found)


def generated_distances(stage: RefinerStage, config: Config, inside: np.ndarray, count: int) -> np.ndarray:
    """What the fine network makes of the coarse generator's maps or, without one, of those of training masks.

    Args:
        inside: the field of view, `(size, size, 1)`, bool.
        count: how many masks, at most.
    """
    maps = coarse_maps(stage, count)
    if stage.generator is not None:
        maps = generate_maps(stage.generator, config, 0, count) * coarse_fov(inside, config.coarse_size)
    return refined(stage, config, maps) * inside


def coarse_maps(stage: RefinerStage, count: int) -> np.ndarray:
    """The coarse maps of at most `count` training masks, `(n, coarse_size, coarse_size, 2)` float32 in [0, 1]."""
    return reduce_maps(stage.maps[:count, ..., MAPS], stage.factor) / np.float32(255)


def fit_styles(stage: ImageStage, config: Config, pairs: np.ndarray) -> StylePrior | None:
    """The distribution of the styles that the encoder reads from training photographs; None where there are none.

    Args:
        pairs: `(n, size, size, 5)` uint8, as `pipeline.stack_samples` gives them; at most 1,024 of them are read.
    """
    if stage.encoder is None or not config.stage2.calibrate_styles or len(pairs) < 2:
        return None
    chosen = pairs[np.arange(min(len(pairs), _MOST_READ)) * len(pairs) // min(len(pairs), _MOST_READ)]
    read = []
    for start in range(0, len(chosen), _BATCH):
        part = chosen[start : start + _BATCH]
        images = part[..., IMAGE] * (part[..., FOV] >= 128) / np.float32(127.5) - np.float32(1)
        read.append([moments.numpy().astype(np.float32) for moments in stage.encoder(images)])
    means, log_variances = (np.concatenate(moments) for moments in zip(*read, strict=True))
    return style_prior.fit(means, log_variances)


def generate_images(
    stage: ImageStage, config: Config, pairs: np.ndarray, first_style: int, prior: StylePrior | None
) -> np.ndarray:
    """Images of the masks of real pairs by the averaged generator.

    Args:
        pairs: `(n, size, size, 5)` uint8, as `pipeline.stack_samples` gives them.
        first_style: the index of the first pair's style.
        prior: what styles are generated from; a standard normal distribution where None.

    Returns:
        `(n, size, size, 3)` uint8.
    """
    generated = []
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        masks, fov = (tf.constant(part[..., channel] / 255.0, tf.float32) for channel in (COVERAGE, FOV))
        style, dim = None, config.stage2.style_dim
        if dim:
            style = _styles(config, first_style + start, len(part))
            style = style if prior is None else prior.style(style)
        generated.append(stage.generator_ema(condition(masks, fov if config.stage2.use_fov else None), style).numpy())
    return np.round((np.concatenate(generated) + 1.0) * 127.5).astype(np.uint8)


def render_images(
    stage: CoarseRendererStage | FineRendererStage, config: Config, pairs: np.ndarray, first_style: int
) -> np.ndarray:
    """Images of the masks of real pairs by the averaged renderer: `(n, side, side, 3)` uint8 of its own size.

    The fine one starts from images of the coarse one or, without one, from real ones that are averaged down.

    Args:
        pairs, first_style: as for `generate_images`.
    """
    generated = []
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        given = condition(*(tf.constant(part[..., channel] / 255.0, tf.float32) for channel in (COVERAGE, FOV)))
        style = _styles(config, first_style + start, len(part))
        if isinstance(stage, CoarseRendererStage):
            images = stage.network_ema(given, style)
        else:
            below = _averaged(part, stage.factor) if stage.coarse is None else stage.coarse(given, style)
            images = stage.network_ema(below, given, style)
        generated.append(images.numpy())
    return np.round((np.concatenate(generated) + 1.0) * 127.5).astype(np.uint8)


def _averaged(pairs: np.ndarray, factor: int) -> tf.Tensor:
    inside = (pairs[..., FOV] >= 128).astype(np.float32)
    return pyramid.averaged(tf.constant(pairs[..., IMAGE] / np.float32(127.5) - 1.0), tf.constant(inside), factor)


def find_vessels(stage: SegmenterStage, pairs: np.ndarray) -> np.ndarray:
    """The averaged segmenter's probabilities, `(n, size, size, 1)` float32 in [0, 1]."""
    found = []
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        images = part[..., IMAGE] * (part[..., FOV] >= 128) / np.float32(127.5) - np.float32(1)
        found.append(tf.sigmoid(stage.network_ema(images)).numpy())
    return np.concatenate(found)


def _styles(config: Config, first: int, count: int) -> tf.Tensor:
    """Standard normal styles of the run's seed, `(count, style_dim)`."""
    index = tf.range(first, first + count, dtype=tf.int64)
    return latents.sample(_seeds(config, count), index, config.stage2.style_dim, latents.STYLE)


def _seeds(config: Config, count: int) -> tf.Tensor:
    return tf.fill((count,), tf.constant(config.seed, tf.int64))
