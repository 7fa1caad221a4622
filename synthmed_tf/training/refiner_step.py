"""The step of Stage-I's fine network with a discriminator."""

import tensorflow as tf

from synthmed_tf.models import layers
from synthmed_tf.training.optimizers import FusedAdam
from synthmed_tf.training.refiner_stage import RefinerStage
from synthmed_tf.training.stages import Batch
from synthmed_tf.training.step import Update, lazily
from synthmed_tf.training.supervised import SupervisedStep
from synthmed_tf.training.transfer import learned

_R1_INTERVAL = 16
_BETA1, _BETA2 = 0.5, 0.99

Gradients = list[tf.Tensor]


class RefinerStep(SupervisedStep):
    """Updates the network and its discriminator, whose loss and whose gradient for the network come from one pass."""

    def __init__(
        self, stage: RefinerStage, strategy: tf.distribute.Strategy, precision: layers.Precision = "float32"
    ):
        super().__init__(stage, strategy, precision)
        optimizer = FusedAdam(stage.config.discriminator_rate, beta_1=_BETA1, beta_2=_BETA2)
        variables = learned(stage, stage.discriminator.trainable_variables)
        self.discriminator_update = Update(optimizer, variables, precision)

    def state(self) -> dict[str, list[tf.Variable]]:
        """Both networks, the average and both optimizers."""
        return super().state() | {
            "discriminator": layers.plain_variables(self.stage.discriminator),
            "discriminator_optimizer": self.discriminator_update.state(),
        }

    def metrics(self) -> dict[str, float]:
        """Of both updates."""
        return super().metrics() | self.discriminator_update.metrics("discriminator")

    def replica_step(self, batch: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        gradients, learned_by_discriminator, metrics = self.over_parts(batch, lambda part: self._of_both(part, step))
        self.discriminator_update.apply(learned_by_discriminator)
        self.apply(gradients, step)
        return metrics

    def _of_both(self, batch: Batch, step: tf.Tensor) -> tuple[Gradients, Gradients, dict[str, tf.Tensor]]:
        stage = self.stage
        with tf.GradientTape(persistent=True) as tape:
            real, fake = stage.discriminate(batch["mask"]), stage.discriminate(stage.generate(batch))
            metrics = self.share_of_mean(stage.name, stage.terms(batch) | stage.adversarial_terms(fake))
            loss = self.update.scaled(metrics[f"{stage.name}/loss"])
            terms = stage.discriminator_terms(real, fake)
            if stage.config.r1_gamma:
                terms["r1"] = stage.config.r1_gamma * lazily(_R1_INTERVAL, step, batch, stage.r1_term)
            metrics |= self.share_of_mean("discriminator", terms)
            discriminator_loss = self.discriminator_update.scaled(metrics["discriminator/loss"])
        gradients = tape.gradient(loss, self.update.variables)
        return gradients, tape.gradient(discriminator_loss, self.discriminator_update.variables), metrics
