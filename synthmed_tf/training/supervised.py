"""The step of a network that is told the answer: the segmenter's, Stage-I's fine network's, and the renderers'."""

import tensorflow as tf

from synthmed_tf.models import layers
from synthmed_tf.training import ema
from synthmed_tf.training.optimizers import FusedAdam
from synthmed_tf.training.refiner_stage import RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.stages import Batch
from synthmed_tf.training.step import TrainingStep, Update
from synthmed_tf.training.transfer import learned


class SupervisedStep(TrainingStep):
    """Updates a stage's network once with Adam, then its average."""

    def __init__(
        self,
        stage: SegmenterStage | RefinerStage | CoarseRendererStage | FineRendererStage,
        strategy: tf.distribute.Strategy,
        precision: layers.Precision = "float32",
    ):
        super().__init__(stage, strategy, precision)
        optimizer = FusedAdam(stage.learning_rate)
        self.update = Update(optimizer, learned(stage, stage.network.trainable_variables), precision)

    def state(self) -> dict[str, list[tf.Variable]]:
        """Network, average and optimizer."""
        return {
            "network": layers.plain_variables(self.stage.network),
            "network_ema": layers.plain_variables(self.stage.network_ema),
            "optimizer": self.update.state(),
        }

    def metrics(self) -> dict[str, float]:
        """Of its update."""
        return self.update.metrics(self.stage.name)

    def replica_step(self, batch: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        gradients, metrics = self.over_parts(batch, self._gradients)
        self.update.apply(gradients)
        size, half_life = self.stage.config.batch_size, self.stage.config.ema_half_life
        ema.update(self.stage.network_ema, self.stage.network, ema.decay((step + 1) * size, size, half_life))
        return metrics

    def _gradients(self, batch: Batch) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        with tf.GradientTape() as tape:
            metrics = self.share_of_mean(self.stage.name, self.stage.terms(batch))
            loss = self.update.scaled(metrics[f"{self.stage.name}/loss"])
        return tape.gradient(loss, self.update.variables), metrics
