"""A run folder as training leaves it, with generators of random weights: small, but not trivial."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config, load_config
from synthmed_tf.models import factory, latents
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.training import snapshot

SIZE = 32
SMALL = tuple(f"{stage}.{name}=4" for stage in ("stage1", "stage2") for name in ("filters", "discriminator_filters"))
FACTS = {"source": "eyes", "layout": "plain", "pairs": 5, "patients": 3, "size": SIZE, "sha256": "ab" * 32}
_SPREAD = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2))[..., None]
FOV = np.where(_SPREAD < 15, 255, 0).astype(np.uint8)


def make_config(preset: str, *overrides: str) -> Config:
    """A preset at the smallest size and width."""
    few = ("stage1.latent_dim=6",) + (("stage2.style_dim=3",) if preset != "paper" else ())
    return load_config(preset, overrides=(f"size={SIZE}", *SMALL, *few, *overrides))


def make_run(folder: Path, preset: str, *overrides: str, seed: int = 0) -> Path:
    """Writes the snapshots of both stages."""
    config = make_config(preset, *overrides)
    for stage, make in (("stage1", factory.mask_generator), ("stage2", factory.image_generator)):
        generator = make(config)
        weights = random_weights(generator, seed)
        generator.set_weights(weights)
        threshold = _tenth(generator, config) if stage == "stage1" and config.stage1.calibrate else 0.0
        made = snapshot.Snapshot(stage, config, 7, weights, FOV, threshold, FACTS)
        snapshot.save(made, folder / stage / "snapshot")
    return folder


def make_coarse_run(folder: Path) -> Path:
    """The same with two networks in each stage: maps and coarse images of 32 pixels, pairs of 64."""
    few = (
        "stage1_fine.filters=4",
        "stage1_fine.flow_steps=1",
        "stage2_fine.filters=4",
        "stage2.flow_steps=1",
        "stage2.thumbnail_steps=1",
        "stage2_fine.flow_steps=1",
    )
    config = make_config("recommended", "size=64", "stage1.coarse_size=32", *few)
    fov = np.repeat(np.repeat(FOV, 2, axis=0), 2, axis=1)
    makers = {"stage1": factory.mask_generator, "stage1_fine": factory.mask_refiner}
    makers |= {"stage2": factory.image_generator, "stage2_fine": factory.fine_renderer}
    for stage, make in makers.items():
        network = make(config)
        weights = random_weights(network, 0)
        thresholds = Thresholds(0.3, 0.4, 0.6) if stage == "stage1_fine" else None
        made = snapshot.Snapshot(stage, config, 7, weights, fov, 0.0, FACTS | {"size": 64}, thresholds=thresholds)
        snapshot.save(made, folder / stage / "snapshot")
    return folder


def random_weights(model: keras.Model, seed: int) -> list[np.ndarray]:
    """Kernels wide enough that latent, mask and style all show in the image."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0, 1.2 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape).astype(np.float32)
        if weight.ndim > 1
        else weight
        for weight in model.get_weights()
    ]


def _tenth(generator: keras.Model, config: Config) -> float:
    """The threshold that a tenth of the pixels pass."""
    index = tf.range(32, dtype=tf.int64)
    latent = latents.sample(tf.zeros_like(index), index, config.stage1.latent_dim, latents.LATENT, config.stage1.latent)
    return float(np.quantile(generator(latent).numpy(), 0.9))
