"""The adversarial step of both GANs."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from synthmed_tf.models import layers
from synthmed_tf.training import ema
from synthmed_tf.training.optimizers import make_optimizer
from synthmed_tf.training.stages import AdversarialStage, Batch, DiscriminatorOutput
from synthmed_tf.training.step import TrainingStep, Update
from synthmed_tf.training.transfer import learned

Recorded = tuple[dict[str, tf.Tensor], tf.GradientTape]
Gradients = list[tf.Tensor]
Metrics = dict[str, tf.Tensor]


class AdversarialStep(TrainingStep):
    """Updates a stage's discriminator and generator, then the averaged generator.

    Where updates are simultaneous, each example is discriminated once and both gradients come from that. Where they
    alternate, the discriminator learns first, and the generator once or more from what it says then.

    Attributes:
        generator_update, discriminator_update: the optimizers.
    """

    def __init__(
        self, stage: AdversarialStage, strategy: tf.distribute.Strategy, precision: layers.Precision = "float32"
    ):
        super().__init__(stage, strategy, precision)
        rates = stage.config.optimizer
        self.generator_update = Update(
            make_optimizer(rates, rates.generator_rate), learned(stage, stage.trained_with_generator), precision
        )
        self.discriminator_update = Update(
            make_optimizer(rates, rates.discriminator_rate),
            learned(stage, stage.discriminator.trainable_variables),
            precision,
        )

    def state(self) -> dict[str, list[tf.Variable]]:
        """Networks, averages and optimizers."""
        stage = self.stage
        networks = {"generator": stage.generator, "generator_ema": stage.generator_ema}
        networks["discriminator"] = stage.discriminator
        if getattr(stage, "encoder", None) is not None:
            networks["encoder"] = stage.encoder
        return {name: layers.plain_variables(network) for name, network in networks.items()} | {
            "generator_optimizer": self.generator_update.state(),
            "discriminator_optimizer": self.discriminator_update.state(),
        }

    def metrics(self) -> dict[str, float]:
        """Of both updates."""
        return self.generator_update.metrics("generator") | self.discriminator_update.metrics("discriminator")

    def replica_step(self, batch: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        config = self.stage.config
        if config.updates == "simultaneous":
            metrics = self._update_both(batch, step)
        else:
            metrics = self._update_in_turn(batch, step)
        decay = ema.decay((step + 1) * config.batch_size, config.batch_size, config.ema_half_life)
        ema.update(self.stage.generator_ema, self.stage.generator, decay)
        return metrics

    def _update_both(self, batch: Batch, step: tf.Tensor) -> Metrics:
        def gradients_of(part: Batch) -> tuple[Gradients, Gradients, Metrics]:
            recorded = self._generate(part, 0)
            with tf.GradientTape() as learning, self._discriminating(recorded) as tape:
                real, fake = self.stage.discriminate_real(part), self.stage.discriminate_generated(part, recorded[0])
                discriminator_loss, metrics = self._discriminator_loss(part, real, fake, step)
                generator_loss, generator_metrics = self._generator_loss(part, recorded[0], fake, real)
            learned = learning.gradient(discriminator_loss, self.discriminator_update.variables)
            return learned, self._through_generator(generator_loss, tape, recorded), metrics | generator_metrics

        learned, generator_gradients, metrics = self.over_parts(batch, gradients_of)
        self.discriminator_update.apply(learned)
        self.generator_update.apply(generator_gradients)
        return metrics

    def _update_in_turn(self, batch: Batch, step: tf.Tensor) -> Metrics:
        """The discriminator and the first update of the generator share one output, unless the batch comes in parts:
        then each part is generated again, so that only one output at a time takes memory."""
        config = self.stage.config
        metrics: Metrics = {}
        for update in range(config.generator_updates):
            shared = self._generate(batch, update) if config.accumulate == 1 else None
            if update == 0:
                metrics |= self._update_discriminator(batch, shared, step)
            metrics |= self._update_generator(batch, shared, update)
        return metrics

    def _update_discriminator(self, batch: Batch, shared: Recorded | None, step: tf.Tensor) -> Metrics:
        def gradients_of(part: Batch) -> tuple[Gradients, Metrics]:
            generated, _ = shared or self._generate(part, 0)
            with tf.GradientTape() as tape:
                real, fake = self.stage.discriminate_real(part), self.stage.discriminate_generated(part, generated)
                loss, metrics = self._discriminator_loss(part, real, fake, step)
            return tape.gradient(loss, self.discriminator_update.variables), metrics

        gradients, metrics = self.over_parts(batch, gradients_of)
        self.discriminator_update.apply(gradients)
        return metrics

    def _update_generator(self, batch: Batch, shared: Recorded | None, update: int) -> Metrics:
        def gradients_of(part: Batch) -> tuple[Gradients, Metrics]:
            recorded = shared or self._generate(part, update)
            with self._discriminating(recorded) as tape:
                real = self.stage.discriminate_real(part) if self.stage.compares_features else None
                fake = self.stage.discriminate_generated(part, recorded[0])
                loss, metrics = self._generator_loss(part, recorded[0], fake, real)
            return self._through_generator(loss, tape, recorded), metrics

        gradients, metrics = self.over_parts(batch, gradients_of)
        self.generator_update.apply(gradients)
        return metrics

    def _generate(self, batch: Batch, update: int) -> Recorded:
        with tf.GradientTape() as tape:
            generated = self.stage.generate(batch, update)
        return generated, tape

    @contextlib.contextmanager
    def _discriminating(self, recorded: Recorded) -> Iterator[tf.GradientTape]:
        """A tape that begins at what was generated."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(recorded[0].values()))
            yield tape

    def _through_generator(self, loss: tf.Tensor, tape: tf.GradientTape, recorded: Recorded) -> Gradients:
        """The gradient comes in two parts, loss to output and output to weights, so that the generator runs once."""
        generated, generator_tape = recorded
        images = list(generated.values())
        at_generated = tape.gradient(loss, images, unconnected_gradients="zero")
        return generator_tape.gradient(images, self.generator_update.variables, output_gradients=at_generated)

    def _discriminator_loss(
        self, batch: Batch, real: DiscriminatorOutput, fake: DiscriminatorOutput, step: tf.Tensor
    ) -> tuple[tf.Tensor, Metrics]:
        terms = self.stage.discriminator_terms(real, fake)
        if self.stage.config.r1_gamma:
            terms["r1"] = self._lazy_r1(batch, step)
        metrics = self.share_of_mean("discriminator", terms)
        return self.discriminator_update.scaled(metrics["discriminator/loss"]), metrics

    def _generator_loss(
        self, batch: Batch, generated: dict[str, tf.Tensor], fake: DiscriminatorOutput, real: DiscriminatorOutput | None
    ) -> tuple[tf.Tensor, Metrics]:
        metrics = self.share_of_mean("generator", self.stage.generator_terms(batch, generated, fake, real))
        return self.generator_update.scaled(metrics["generator/loss"]), metrics

    def _lazy_r1(self, batch: Batch, step: tf.Tensor) -> tf.Tensor:
        """The R1 penalty every `r1_interval` steps, weighing as many times more (Karras et al. 2020, section 3.1)."""
        config = self.stage.config
        due = step % config.r1_interval == 0
        weight = config.r1_gamma * config.r1_interval
        nothing = tf.zeros_like(batch["index"], tf.float32)
        return tf.cond(due, lambda: weight * self.stage.r1_term(batch), lambda: nothing)
