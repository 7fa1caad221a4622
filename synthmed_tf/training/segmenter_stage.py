"""The segmenter as a stage: its networks and the terms of its loss."""

import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.metrics import segmentation_losses
from synthmed_tf.models import factory, layers
from synthmed_tf.training.stages import Batch, Terms


class SegmenterStage:
    """Vessels from images, learnt from labelled pairs.

    Attributes:
        input_augment: how pairs are augmented, in place of `data.augment`.
        learning_rate: of Adam.
        network, network_ema: the segmenter that is trained, and its average, float32 in any precision.
    """

    name = "segmenter"

    def __init__(self, config: Config):
        """Makes the networks; the averaged one begins equal to the trained one."""
        self.config, self.seed = config.segmenter, config.seed
        self.input_augment, self.learning_rate = config.segmenter.augment, config.segmenter.learning_rate
        with layers.made_in(config.precision):
            self.network = factory.segmenter(config)
        self.network_ema = factory.segmenter(config)
        self.network_ema.set_weights(self.network.get_weights())

    def terms(self, batch: Batch) -> Terms:
        """The losses inside the field of view, one value an example, already weighted; in a replica's context."""
        target, fov = tf.round(batch["coverage"]), batch["fov"]
        logits = self.network(batch["image"], training=True)
        terms = {"cross_entropy": segmentation_losses.masked_cross_entropy(target, logits, fov)}
        if self.config.dice_weight:
            terms["dice"] = self.config.dice_weight * segmentation_losses.dice_loss(target, logits, fov)
        return terms
