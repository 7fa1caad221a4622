"""Stage-I, fine, as a stage: distances to the outline from vessel maps, learned from crops of real masks."""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.data import augmentation, vessel_maps
from synthmed_tf.data.map_pipeline import map_batches
from synthmed_tf.data.pipeline import COVERAGE, FOV
from synthmed_tf.models import factory, latents, layers, mask_refiner
from synthmed_tf.models.mask_refiner import MARGIN
from synthmed_tf.training.flow_loss import flow_loss
from synthmed_tf.training.stages import Batch, Terms, random_numbers

MAPS, DISTANCE = slice(0, 2), slice(2, 3)

_LAST_RATE = 0.01


class RefinerStage:
    """The fine network; a batch has `maps` `(batch, crop, crop, 3)` in [0, 1] at full size, and `index`.

    Attributes:
        maps: of the training masks, `(n, size, size, 3)` uint8: ridge and calibre, which end at the field of view as
            those of the coarse generator do, and the distance to the outline.
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
        self._ranges = augmentation.ranges_of(config.data)._replace(shift=0.0)
        self._elastic = config.stage1.elastic
        coverage_u8, structures = pairs[..., COVERAGE], config.data.structures
        maps = vessel_maps.stack_maps(coverage_u8, config.coarse_size, structures=structures) * (pairs[..., FOV] >= 128)
        self.maps = np.concatenate([maps, vessel_maps.stack_distances(coverage_u8, structures)], axis=-1)
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
        """The squared error of the velocity inside the crop's margin, `(batch,)`; in a replica's context."""
        detail = self.network.values(batch["maps"][..., DISTANCE])
        given = self._given(batch)
        inside = tf.broadcast_to(self._inside(), (*given.shape[:3], 1))
        seen = tf.concat([detail, inside, given], axis=-1)
        return {"velocity": flow_loss(self.network.network, seen, 1, self.seed, batch)}

    def _given(self, batch: Batch) -> tf.Tensor:
        """The coarse maps of a batch, with noise of a deviation uniform in (0, LARGEST_NOISE)."""
        coarse = tf.nn.avg_pool2d(batch["maps"][..., MAPS], self.factor, self.factor, "VALID")
        unit = random_numbers(self.seed, batch, 1, latents.MAPS_NOISE_LEVEL, "uniform")[:, 0]
        normal = random_numbers(self.seed, batch, 2 * self.crop**2, latents.MAPS_NOISE)
        noise = (unit + 1.0) / 2.0 * mask_refiner.LARGEST_NOISE
        return mask_refiner.condition(mask_refiner.quantize(coarse), tf.reshape(normal, tf.shape(coarse)), noise)

    def _inside(self) -> tf.Tensor:
        """1 where an example is learned from, at the size of the maps: `(1, crop, crop, 1)`."""
        margin = MARGIN if self.crop * self.factor < self.size else 0
        inside = np.zeros((1, self.crop, self.crop, 1), np.float32)
        inside[:, margin : self.crop - margin, margin : self.crop - margin] = 1
        return tf.constant(inside)
