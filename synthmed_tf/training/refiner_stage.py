"""Stage-I, fine, as a stage: masks from vessel maps, learned from crops of real masks."""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.data import augmentation, vessel_maps
from synthmed_tf.data.map_pipeline import map_batches
from synthmed_tf.data.pipeline import COVERAGE, FOV
from synthmed_tf.metrics import segmentation_losses
from synthmed_tf.models import factory, latents, layers
from synthmed_tf.models.mask_refiner import MARGIN
from synthmed_tf.training import map_damage
from synthmed_tf.training.stages import Batch, Terms, random_numbers

_TUBE = 0.88
"""Least ridge of the tube around a center line that skeleton recall counts."""

_NEAR = 0.8
"""Pixels of the mask from a center line: a line of that radius has no gaps."""

_LAST_RATE = 0.01


class RefinerStage:
    """The fine network; a batch has `maps` `(batch, crop, crop, 3)` in [0, 1] at full size, and `index`.

    Attributes:
        maps: of the training masks, `(n, size, size, 3)` uint8, as of `vessel_maps.stack_maps`; ridge and calibre end
            at the field of view, as those of the coarse generator do.
        network, network_ema: the network that is trained, and its average, float32 in any precision.
        learning_rate: falls as a half cosine.
        generator: the coarse generator, whose maps the thresholds are calibrated on; where None, on those of the
            training masks.
    """

    name = "stage1_fine"

    def __init__(self, config: Config, pairs: np.ndarray, generator: keras.Model | None = None):
        """Makes the networks, and the maps of the training masks.

        Args:
            config: the run's configuration.
            pairs: `(n, size, size, 5)` uint8, as `pipeline.stack_samples` gives them; vessel from 128 on.
            generator: as above.
        """
        self.config, self.seed, self.generator = config.stage1_fine, config.seed, generator
        self.size, self.factor = config.size, config.size // config.coarse_size
        self.crop = min(self.config.crop, config.coarse_size)
        steps = self.config.total_steps(len(pairs))
        self.examples = steps * self.config.batch_size
        self._ranges = augmentation.ranges_of(config.data)._replace(shift=0.0)
        self._elastic = config.stage1.elastic
        self.maps = vessel_maps.stack_maps(pairs[..., COVERAGE], config.coarse_size, structures=config.data.structures)
        self.maps[..., :2] *= pairs[..., FOV] >= 128
        self.learning_rate = keras.optimizers.schedules.CosineDecay(self.config.learning_rate, steps, _LAST_RATE)
        with layers.made_in(config.precision):
            self.network = factory.mask_refiner(config)
        self.network_ema = factory.mask_refiner(config)
        self.network_ema.set_weights(self.network.get_weights())

    def batches(self, **place: int) -> tf.data.Dataset:
        """The input from a place in the stream on, as for `map_batches`."""
        crop, batch_size = self.crop * self.factor, self.config.batch_size
        margin = MARGIN * self.factor if crop < self.size else 0
        return map_batches(
            self.maps,
            self.size,
            crop,
            batch_size,
            self.seed,
            self._ranges,
            self._elastic,
            step=self.factor,
            margin=margin,
            **place,
        )

    def terms(self, batch: Batch) -> Terms:
        """The losses inside the crop's margin, one value an example, already weighted; in a replica's context."""
        config, full = self.config, batch["maps"]
        logits = self.network(self._damaged(batch), training=True)
        inside = tf.broadcast_to(self._inside(), tf.shape(logits))
        target = self._vessels(full)
        tube = target * tf.cast(full[..., vessel_maps.RIDGE] >= _TUBE, tf.float32)
        terms = {"cross_entropy": segmentation_losses.masked_cross_entropy(target, logits, inside)}
        if config.dice_weight:
            terms["dice"] = config.dice_weight * segmentation_losses.dice_loss(target, logits, inside)
        if config.recall_weight or config.last_recall_weight:
            terms["skeleton_recall"] = self._recall_weight(batch["index"]) * segmentation_losses.skeleton_recall_loss(
                tube, logits, inside
            )
        return terms

    def _vessels(self, maps: tf.Tensor) -> tf.Tensor:
        """Where maps that were sampled between pixels have vessels, `(batch, crop, crop, 1)` in {0, 1}.

        Of a vessel one pixel wide, less than half may cover each pixel that it passes after a rotation: rounding its
        coverage made 70 pieces of masks that have 3. What is near enough to a center line is vessel too.
        """
        near = 1.0 - _NEAR / (vessel_maps.REACH * self.factor)
        vessel = (maps[..., vessel_maps.VESSEL] >= 0.5) | (maps[..., vessel_maps.RIDGE] >= near)
        return tf.cast(vessel, tf.float32)

    def _damaged(self, batch: Batch) -> tf.Tensor:
        """The coarse maps of a batch, damaged."""
        coarse = tf.nn.avg_pool2d(batch["maps"][..., :2], self.factor, self.factor, "VALID")
        unit = random_numbers(self.seed, batch, map_damage.uniform_numbers(self.crop), latents.DAMAGE, "uniform")
        normal = random_numbers(self.seed, batch, map_damage.normal_numbers(self.crop), latents.DAMAGE_NOISE)
        return map_damage.damage(coarse, (unit + 1.0) / 2.0, normal, self.config.damage)

    def _inside(self) -> tf.Tensor:
        """1 where an example is learned from, `(1, crop, crop, 1)`."""
        side = self.crop * self.factor
        margin = MARGIN * self.factor if side < self.size else 0
        inside = np.zeros((1, side, side, 1), np.float32)
        inside[:, margin : side - margin, margin : side - margin] = 1
        return tf.constant(inside)

    def _recall_weight(self, index: tf.Tensor) -> tf.Tensor:
        """Falls evenly in the first half of training, since recall alone thickens vessels."""
        config = self.config
        rest = tf.clip_by_value(1.0 - 2.0 * tf.cast(index, tf.float32) / self.examples, 0.0, 1.0)
        return config.last_recall_weight + (config.recall_weight - config.last_recall_weight) * rest
