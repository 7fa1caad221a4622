"""The adversarial step of both GANs."""

import tensorflow as tf

from synthmed_tf import ema, layers
from synthmed_tf.training.optimizers import make_optimizer
from synthmed_tf.training.stages import AdversarialStage, Batch
from synthmed_tf.training.step import TrainingStep, Update

Drawing = tuple[dict[str, tf.Tensor], tf.GradientTape]
Gradients = list[tf.Tensor]


class AdversarialStep(TrainingStep):
    """Updates a stage's discriminator once and its generator once or more, then the averaged generator.

    The discriminator and the first update of the generator share one drawing, unless the batch comes in parts: then
    each part is drawn again, so that only one drawing at a time takes memory.

    Attributes:
        generator_update, discriminator_update: the optimizers.
    """

    def __init__(
        self, stage: AdversarialStage, strategy: tf.distribute.Strategy, precision: layers.Precision = "float32"
    ):
        super().__init__(stage, strategy, precision)
        rates = stage.config.optimizer
        self.generator_update = Update(
            make_optimizer(rates, rates.generator_rate), stage.trained_with_generator, precision
        )
        self.discriminator_update = Update(
            make_optimizer(rates, rates.discriminator_rate), stage.discriminator.trainable_variables, precision
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

    def figures(self) -> dict[str, float]:
        """Of both updates."""
        return self.generator_update.figures("generator") | self.discriminator_update.figures("discriminator")

    def replica_step(self, batch: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        config = self.stage.config
        metrics: dict[str, tf.Tensor] = {}
        for update in range(config.generator_updates):
            shared = self._draw(batch, update) if config.accumulate == 1 else None
            if update == 0:
                metrics |= self._update_discriminator(batch, shared, step)
            metrics |= self._update_generator(batch, shared, update)
        decay = ema.decay((step + 1) * config.batch_size, config.batch_size, config.ema_half_life)
        ema.update(self.stage.generator_ema, self.stage.generator, decay)
        return metrics

    def _draw(self, batch: Batch, update: int) -> Drawing:
        with tf.GradientTape() as tape:
            drawn = self.stage.draw(batch, update)
        return drawn, tape

    def _update_discriminator(self, batch: Batch, shared: Drawing | None, step: tf.Tensor) -> dict[str, tf.Tensor]:
        update = self.discriminator_update

        def gradients_of(part: Batch) -> tuple[Gradients, dict[str, tf.Tensor]]:
            drawn = self.stage.draw(part, 0) if shared is None else shared[0]
            with tf.GradientTape() as tape:
                terms = self.stage.discriminator_terms(part, drawn)
                if self.stage.config.r1_gamma:
                    terms["r1"] = self._lazy_r1(part, step)
                metrics = self.share_of_mean("discriminator", terms)
                loss = update.scaled(metrics["discriminator/loss"])
            return tape.gradient(loss, update.variables), metrics

        gradients, metrics = self.over_parts(batch, gradients_of)
        update.apply(gradients)
        return metrics

    def _update_generator(self, batch: Batch, shared: Drawing | None, update_number: int) -> dict[str, tf.Tensor]:
        def gradients_of(part: Batch) -> tuple[Gradients, dict[str, tf.Tensor]]:
            return self._generator_gradients(part, shared or self._draw(part, update_number))

        gradients, metrics = self.over_parts(batch, gradients_of)
        self.generator_update.apply(gradients)
        return metrics

    def _generator_gradients(self, batch: Batch, drawing: Drawing) -> tuple[Gradients, dict[str, tf.Tensor]]:
        """The gradient comes in two parts, loss to drawing and drawing to weights, so that the drawing is made once."""
        update, (drawn, drawing_tape) = self.generator_update, drawing
        pictures = list(drawn.values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            metrics = self.share_of_mean("generator", self.stage.generator_terms(batch, drawn))
            loss = update.scaled(metrics["generator/loss"])
        at_drawn = tape.gradient(loss, pictures, unconnected_gradients="zero")
        return drawing_tape.gradient(pictures, update.variables, output_gradients=at_drawn), metrics

    def _lazy_r1(self, batch: Batch, step: tf.Tensor) -> tf.Tensor:
        """The R1 penalty every `r1_interval` steps, weighing as many times more (Karras et al. 2020, section 3.1)."""
        config = self.stage.config
        due = step % config.r1_interval == 0
        weight = config.r1_gamma * config.r1_interval
        nothing = tf.zeros_like(batch["index"], tf.float32)
        return tf.cond(due, lambda: weight * self.stage.r1_term(batch), lambda: nothing)
