"""What differs between the two stages: their networks, what they generate in a step, and the terms of their losses.

A batch is a dict: `image` `(batch, size, size, 3)` float32 in [-1, 1]; `coverage`, the share of each pixel that
vessels cover, and `fov`, `(batch, size, size, 1)` float32 in [0, 1] both; `index` `(batch,)` int64, the running number
of each image, from which all random numbers of a step come.

Terms are `(batch,)` float32 per example, already weighted. Everything runs in a replica's context but the constructors.
"""

from typing import Protocol

import keras
import tensorflow as tf

from synthmed_tf.config.schema import Config, StageConfig, TrainedConfig
from synthmed_tf.data import augmentation
from synthmed_tf.models import factory, latents, layers
from synthmed_tf.training import losses

Batch = dict[str, tf.Tensor]
Terms = dict[str, tf.Tensor]
DiscriminatorOutput = tuple[tf.Tensor | tuple[tf.Tensor, ...], list[tf.Tensor]]
"""What the discriminator says of a batch: logits (of one kind or several), and the features that a loss may compare."""


class Stage(Protocol):
    """What every step asks of a stage."""

    name: str
    config: TrainedConfig


class AdversarialStage(Stage, Protocol):
    """What the adversarial step asks of a stage. The averaged generator is float32 in any precision."""

    config: StageConfig
    generator: keras.Model
    generator_ema: keras.Model
    discriminator: keras.Model
    compares_features: bool

    @property
    def trained_with_generator(self) -> list:
        """The variables that the generator's loss trains."""

    def generate(self, batch: Batch, update: int) -> dict[str, tf.Tensor]:
        """What the generator makes of a batch; differentiable. `update` counts the generator's updates in a step."""

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        """The discriminator on real examples."""

    def discriminate_generated(self, batch: Batch, generated: dict[str, tf.Tensor]) -> DiscriminatorOutput:
        """The discriminator on what was generated; differentiable in it."""

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Terms:
        """The discriminator's losses but for the R1 penalty."""

    def generator_terms(
        self, batch: Batch, generated: dict[str, tf.Tensor], fake: DiscriminatorOutput, real: DiscriminatorOutput | None
    ) -> Terms:
        """The generator's losses; `real` is given where it `compares_features`."""

    def r1_term(self, batch: Batch) -> tf.Tensor:
        """The R1 penalty with gamma 1."""


class MaskStage:
    """Stage-I: masks from latents."""

    name = "stage1"
    compares_features = False

    def __init__(self, config: Config, fov: tf.Tensor):
        """Makes the networks.

        Args:
            config: the run's configuration.
            fov: `(size, size, 1)` float32 in {0, 1}, the field of view that all masks are generated for.
        """
        self.config, self.seed = config.stage1, config.seed
        self.fov = tf.constant(fov, tf.float32)
        self.ranges = augmentation.Ranges(**config.stage1.augment.model_dump())
        with layers.made_in(config.precision):
            self.generator = factory.mask_generator(config)
            self.discriminator = factory.mask_discriminator(config)
        self.generator_ema = factory.mask_generator(config)
        self.generator_ema.set_weights(self.generator.get_weights())

    @property
    def trained_with_generator(self) -> list:
        return self.generator.trainable_variables

    def generate(self, batch: Batch, update: int) -> dict[str, tf.Tensor]:
        stream = latents.TRAIN_LATENT + update * latents.STREAMS_PER_UPDATE
        latent = self._numbers(batch, self.config.latent_dim, stream, self.config.latent)
        return {"coverage_tanh": self.generator(latent, training=True)}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._seen(self._real(batch), batch, latents.AUGMENT_REAL), training=True), []

    def discriminate_generated(self, batch: Batch, generated: dict[str, tf.Tensor]) -> DiscriminatorOutput:
        return self.discriminator(
            self._seen(generated["coverage_tanh"], batch, latents.AUGMENT_FAKE), training=True
        ), []

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Terms:
        return {"adversarial": losses.discriminator_loss(real[0], fake[0])}

    def generator_terms(
        self, batch: Batch, generated: dict[str, tf.Tensor], fake: DiscriminatorOutput, real: DiscriminatorOutput | None
    ) -> Terms:
        terms = {"adversarial": losses.generator_loss(fake[0])}
        if self.config.diversity_weight:
            pairs = (self._inside(masks) for masks in (self._real(batch), generated["coverage_tanh"]))
            terms["diversity"] = self.config.diversity_weight * losses.diversity_loss(*pairs)
        return terms

    def r1_term(self, batch: Batch) -> tf.Tensor:
        real = self._seen(self._real(batch), batch, latents.AUGMENT_REAL)
        with layers.computed_in_float32(self.discriminator):
            return losses.r1_penalty(lambda x: self.discriminator(x, training=True), real)

    def _real(self, batch: Batch) -> tf.Tensor:
        coverage = batch["coverage"]
        return 2.0 * (coverage if self.config.soft_masks else tf.round(coverage)) - 1.0

    def _inside(self, coverage_tanh: tf.Tensor) -> tf.Tensor:
        return (coverage_tanh + 1.0) * self.fov - 1.0

    def _seen(self, coverage_tanh: tf.Tensor, batch: Batch, stream: int) -> tf.Tensor:
        """What the discriminator sees: vessels inside the field of view, augmented."""
        inside = self._inside(coverage_tanh)
        if self.ranges == augmentation.Ranges():
            return inside
        unit = (self._numbers(batch, augmentation.NUMBERS, stream, "uniform") + 1.0) / 2.0
        apply = augmentation.apply if self.ranges.rotation else augmentation.apply_upright
        return apply(inside, augmentation.transforms(unit, self.ranges), outside=-1.0)

    def _numbers(self, batch: Batch, dim: int, stream: int, distribution: latents.Distribution) -> tf.Tensor:
        return random_numbers(self.seed, batch, dim, stream, distribution)


class ImageStage:
    """Stage-II: images from masks.

    With a style, half of the examples take it from the image itself (through the encoder) and are compared with
    that image; the other half generate it and are evaluated by the discriminator, and by whether the encoder reads
    the same style back (BicycleGAN, Zhu et al. 2017).
    """

    name = "stage2"

    def __init__(self, config: Config):
        self.config, self.seed = config.stage2, config.seed
        self.compares_features = self.config.feature_weight > 0.0
        with layers.made_in(config.precision):
            self.generator = factory.image_generator(config)
            self.discriminator = factory.image_discriminator(config)
            self.encoder = factory.style_encoder(config) if self.config.style_dim else None
        self.generator_ema = factory.image_generator(config)
        self.generator_ema.set_weights(self.generator.get_weights())

    @property
    def trained_with_generator(self) -> list:
        return self.generator.trainable_variables + (self.encoder.trainable_variables if self.encoder else [])

    def generate(self, batch: Batch, update: int) -> dict[str, tf.Tensor]:
        offset = update * latents.STREAMS_PER_UPDATE
        dropout_seed = tf.stack([tf.cast(batch["index"][0], tf.int32), self.seed + offset])
        generated: dict[str, tf.Tensor] = {}
        style = None
        if self.encoder is not None:
            mean, log_variance = self.encoder(batch["image"])
            jitter = random_numbers(self.seed, batch, self.config.style_dim, latents.POSTERIOR + offset)
            prior = random_numbers(self.seed, batch, self.config.style_dim, latents.TRAIN_STYLE + offset)
            posterior = mean + jitter * tf.exp(log_variance / 2.0)
            style = tf.where(_is_paired(batch)[:, None], posterior, prior)
            generated = {"style_mean": mean, "style_log_variance": log_variance, "style": style}
        image = self.generator(self._condition(batch), style, training=True, dropout_seed=dropout_seed)
        return generated | {"image": image}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._condition(batch), batch["image"], training=True)

    def discriminate_generated(self, batch: Batch, generated: dict[str, tf.Tensor]) -> DiscriminatorOutput:
        return self.discriminator(self._condition(batch), generated["image"], training=True)

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Terms:
        return {"adversarial": losses.discriminator_loss(real[0], fake[0])}

    def generator_terms(
        self, batch: Batch, generated: dict[str, tf.Tensor], fake: DiscriminatorOutput, real: DiscriminatorOutput | None
    ) -> Terms:
        config = self.config
        terms = {"adversarial": config.adversarial_weight * losses.generator_loss(fake[0])}
        paired, unpaired = self._shares(batch)
        terms["l1"] = config.l1_weight * paired * losses.l1_loss(batch["image"], generated["image"])
        if self.compares_features:
            terms["features"] = config.feature_weight * paired * losses.feature_matching_loss(real[1], fake[1])
        if self.encoder is not None:
            divergence = losses.kl_to_standard_normal(generated["style_mean"], generated["style_log_variance"])
            terms["kl"] = config.kl_weight * divergence
            read_back, _ = self.encoder(generated["image"])
            terms["style"] = config.style_weight * unpaired * losses.l1_loss(generated["style"], read_back)
        return terms

    def r1_term(self, batch: Batch) -> tf.Tensor:
        condition = self._condition(batch)
        with layers.computed_in_float32(self.discriminator):
            return losses.r1_penalty(lambda x: self.discriminator(condition, x, training=True)[0], batch["image"])

    def _condition(self, batch: Batch) -> tf.Tensor:
        return condition(batch["coverage"], batch["fov"] if self.config.use_fov else None)

    def _shares(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Weights of the terms for paired and unpaired examples: 1 on average over both."""
        if self.encoder is None:
            return tf.ones_like(batch["index"], tf.float32), tf.zeros_like(batch["index"], tf.float32)
        paired = tf.cast(_is_paired(batch), tf.float32)
        return 2.0 * paired, 2.0 * (1.0 - paired)


def condition(coverage: tf.Tensor, fov: tf.Tensor | None) -> tf.Tensor:
    """Stage-II's input: the two-valued mask and, if given, the field of view.

    Args:
        coverage, fov: `(batch, size, size, 1)` in [0, 1]; cut at one half.

    Returns:
        `(batch, size, size, 1 or 2)`, float32 in {-1, 1}.
    """
    channels = [coverage] if fov is None else [coverage, fov]
    return tf.where(tf.concat(channels, axis=-1) >= 0.5, 1.0, -1.0)


def _is_paired(batch: Batch) -> tf.Tensor:
    return batch["index"] % 2 == 0


def random_numbers(
    seed: int, batch: Batch, dim: int, stream: int, distribution: latents.Distribution = "normal"
) -> tf.Tensor:
    """The random numbers of a batch's examples, `(batch, dim)`, as `latents.sample` gives them."""
    index = batch["index"]
    return latents.sample(tf.fill(tf.shape(index), tf.constant(seed, tf.int64)), index, dim, stream, distribution)
