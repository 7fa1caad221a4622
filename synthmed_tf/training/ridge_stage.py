"""Stage-I, coarse, as a stage: vessel maps from latents."""

import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.data import augmentation, vessel_maps
from synthmed_tf.data.map_pipeline import map_batches
from synthmed_tf.models import factory, latents, layers
from synthmed_tf.models.coarse_to_fine import coarse_fov
from synthmed_tf.training import losses
from synthmed_tf.training.stages import Batch, DiscriminatorOutput, Terms, random_numbers

_MEASURED = 4
"""Of as many examples one is filled from its widest vessel, which takes as long as a fifth of a step."""


class RidgeStage:
    """The GAN of ridge and calibre maps; a batch has `maps` `(batch, coarse, coarse, 2)` in [0, 1], and `index`.

    Attributes:
        maps: of the training masks, `(n, side, side, 2)` uint8, with twice the pixels that a batch is sampled with.
    """

    name = "stage1"
    compares_features = False

    def __init__(self, config: Config, fov: np.ndarray, coverage_u8: np.ndarray):
        """Makes the networks, and the maps of the training masks.

        Args:
            config: the run's configuration.
            fov: `(size, size, 1)` in {0, 1}, the field of view that all masks are generated for.
            coverage_u8: `(n, size, size, 1)` uint8, the training masks; vessel from 128 on.
        """
        self.config, self.seed = config.stage1, config.seed
        self.size = config.coarse_size
        self.fov = tf.constant(coarse_fov(fov, self.size))
        self.ranges = augmentation.Ranges(**config.stage1.augment.model_dump())
        self._data_ranges = augmentation.ranges_of(config.data)
        full = vessel_maps.stack_maps(coverage_u8, self.size, structures=config.data.structures)
        self.maps = vessel_maps.reduce_maps(full, max(1, config.size // self.size // 2))
        self._connected = self.config.connected_weight if config.data.structures == "vessels" else 0.0
        self._unreached = self._unreached_by_training_masks() if self._connected else 0.0
        self._examples = self.config.total_steps(len(self.maps)) * self.config.batch_size
        with layers.made_in(config.precision):
            self.generator = factory.mask_generator(config)
            self.discriminator = factory.mask_discriminator(config)
        self.generator_ema = factory.mask_generator(config)
        self.generator_ema.set_weights(self.generator.get_weights())

    @property
    def trained_with_generator(self) -> list:
        return self.generator.trainable_variables

    def batches(self, **place: int) -> tf.data.Dataset:
        """The input from a place in the stream on, as for `map_batches`."""
        config = self.config
        return map_batches(
            self.maps, self.size, self.size, config.batch_size, self.seed, self._data_ranges, config.elastic, **place
        )

    def generate(self, batch: Batch, update: int) -> dict[str, tf.Tensor]:
        stream = latents.TRAIN_LATENT + update * latents.STREAMS_PER_UPDATE
        latent = random_numbers(self.seed, batch, self.config.latent_dim, stream, self.config.latent)
        return {"maps": self.generator(latent, training=True)}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._seen(batch["maps"], batch, latents.AUGMENT_REAL), training=True), []

    def discriminate_generated(self, batch: Batch, generated: dict[str, tf.Tensor]) -> DiscriminatorOutput:
        return self.discriminator(self._seen(generated["maps"], batch, latents.AUGMENT_FAKE), training=True), []

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Terms:
        whole, patches = (losses.discriminator_loss(*logits) for logits in zip(real[0], fake[0], strict=True))
        return {"adversarial": whole, "patches": self.config.patch_weight * patches}

    def generator_terms(
        self, batch: Batch, generated: dict[str, tf.Tensor], fake: DiscriminatorOutput, real: DiscriminatorOutput | None
    ) -> Terms:
        whole, patches = (losses.generator_loss(logits) for logits in fake[0])
        terms = {"adversarial": whole, "patches": self.config.patch_weight * patches}
        if self.config.diversity_weight:
            ridges = (maps[..., vessel_maps.RIDGE] * self.fov for maps in (batch["maps"], generated["maps"]))
            terms["diversity"] = self.config.diversity_weight * losses.diversity_loss(*ridges)
        if self._connected:
            weight = self._connected_weight(batch["index"])
            terms["connected"] = tf.cond(
                tf.reduce_any(weight > 0.0),
                lambda: weight * self._excess(generated["maps"]),
                lambda: tf.zeros_like(weight),
            )
        return terms

    def _excess(self, maps: tf.Tensor) -> tf.Tensor:
        """What cannot be reached of trees beyond that of training masks, `(batch,)`; one in `_MEASURED` is measured."""
        unreached = losses.unreached_share(*self._inside(maps[::_MEASURED]))
        return tf.repeat(tf.nn.relu(unreached - self._unreached), _MEASURED)[: tf.shape(maps)[0]]

    def _connected_weight(self, index: tf.Tensor) -> tf.Tensor:
        """Rises evenly in the second half of training: from the beginning on it makes nets of unfinished trees."""
        return self._connected * tf.clip_by_value(2.0 * tf.cast(index, tf.float32) / self._examples - 1.0, 0.0, 1.0)

    def r1_term(self, batch: Batch) -> tf.Tensor:
        """Of the weighted sum of both logits, by maps in [-1, 1]."""

        def discriminate(signed: tf.Tensor) -> tf.Tensor:
            whole, patches = self.discriminator((signed + 1.0) / 2.0, training=True)
            return whole[:, 0] + self.config.patch_weight * losses.mean_per_example(patches)

        real = self._seen(batch["maps"], batch, latents.AUGMENT_REAL)
        with layers.computed_in_float32(self.discriminator):
            return losses.r1_penalty(discriminate, 2.0 * real - 1.0)

    def _unreached_by_training_masks(self) -> float:
        """Mean over the training masks: most trees are one piece, some are two."""
        maps = vessel_maps.reduce_maps(self.maps, self.maps.shape[1] // self.size)
        return float(np.mean(losses.unreached_share(*self._inside(maps / np.float32(255)))))

    def _inside(self, maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ridges and calibres inside the field of view."""
        return maps[..., vessel_maps.RIDGE] * self.fov, maps[..., vessel_maps.CALIBRE] * self.fov

    def _seen(self, maps: tf.Tensor, batch: Batch, stream: int) -> tf.Tensor:
        """What the discriminator sees: vessels inside the field of view, augmented."""
        inside = maps * self.fov
        if self.ranges == augmentation.Ranges():
            return inside
        unit = (random_numbers(self.seed, batch, augmentation.NUMBERS, stream, "uniform") + 1.0) / 2.0
        matrices = augmentation.transforms(unit, self.ranges)
        if self.ranges.rotation:
            return augmentation.apply(inside, matrices)
        return augmentation.apply_upright(inside, augmentation.by_whole_pixels(matrices, self.size))
