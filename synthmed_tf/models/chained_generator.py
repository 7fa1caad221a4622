"""The chained generator, latent to mask to image, with the functions that are served with it."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.models import latents, layers
from synthmed_tf.models.style_prior import StylePrior


class Chain(tf.Module):
    """Both generators as one graph.

    Every input has the same first dimension n, and every row depends on that row's inputs alone. An image is known by
    its (seed, index), and is the same in any batch that it is generated.

    Attributes:
        serving_default: seed, index `(n,)` int64 to `mask_bytes`, `image_bytes` `(n,)`, encoded PNG.
        pixels: the same to `mask` `(n, size, size, 1)` uint8 in {0, 255} and `image` `(n, size, size, 3)` uint8.
        from_latent: latent `(n, latent_dim)` float32 (and style `(n, style_dim)`, where there is one) to the same.
        translate: mask `(n, size, size, 1)` uint8 (128 and more is vessel), seed, index to `image`: Stage-II alone.
    """

    def __init__(
        self,
        config: Config,
        mask_generator: keras.Model,
        image_generator: keras.Model,
        threshold: float,
        fov: np.ndarray,
        styles: StylePrior | None = None,
    ):
        """Makes the functions; nothing is traced yet.

        Args:
            config: of the run.
            mask_generator, image_generator: with their averaged weights.
            threshold: of `coverage_tanh`, in [-1, 1], above which a pixel is vessel.
            fov: `(size, size, 1)` uint8 in {0, 255}.
            styles: what styles are generated from; a standard normal distribution where None. A style that is given
                consists of standard normal numbers in both cases.
        """
        super().__init__(name="synthmed")
        self.config = config
        # A SavedModel holds the variables alone: Keras would add functions of its own, which cannot take two inputs.
        self.networks = SimpleNamespace(mask=mask_generator, image=image_generator)
        self._weights = layers.plain_variables(mask_generator) + layers.plain_variables(image_generator)
        self._constants = [each.constants for each in (mask_generator, image_generator) if hasattr(each, "constants")]
        self.threshold, self.fov, self.styles = threshold, fov, styles
        self._inside = np.asarray(fov) >= 128
        seed, index = tf.TensorSpec((None,), tf.int64, "seed"), tf.TensorSpec((None,), tf.int64, "index")
        latent = tf.TensorSpec((None, config.stage1.latent_dim), tf.float32, "latent")
        style = [tf.TensorSpec((None, config.stage2.style_dim), tf.float32, "style")] if config.stage2.style_dim else []
        mask = tf.TensorSpec((None, config.size, config.size, 1), tf.uint8, "mask")
        vessel = tf.TensorSpec((None, config.size, config.size, 1), tf.bool, "vessel")
        # They call each other as functions, so that a network is in the graph of a SavedModel once.
        self.serving_default = tf.function(self._serving_default, input_signature=[seed, index], autograph=False)
        self.pixels = tf.function(self._pixels, input_signature=[seed, index], autograph=False)
        self.from_latent = tf.function(self._from_latent, input_signature=[latent, *style], autograph=False)
        self.translate = tf.function(self._translate, input_signature=[mask, seed, index], autograph=False)
        self._image = tf.function(self._image_of, input_signature=[vessel, *style], autograph=False)

    def signatures(self) -> dict:
        """The functions by the name that a server knows them by."""
        names = ("serving_default", "pixels", "from_latent", "translate")
        return {name: getattr(self, name) for name in names}

    def _serving_default(self, seed: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        generated = self.pixels(seed, index)
        return {
            "mask_bytes": tf.io.encode_png(generated["mask"]),
            "image_bytes": tf.io.encode_png(generated["image"]),
        }

    def _pixels(self, seed: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        stage = self.config.stage1
        latent = latents.sample(seed, index, stage.latent_dim, latents.LATENT, stage.latent)
        return self.from_latent(latent, *self._style(seed, index))

    def _from_latent(self, latent: tf.Tensor, style: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        coverage_tanh = self.networks.mask(latent, training=False)
        vessel = (coverage_tanh > self.threshold) & self._inside
        mask = tf.where(vessel, tf.constant(255, tf.uint8), tf.constant(0, tf.uint8))
        return {"mask": mask, "image": self._image(vessel, *_given(style))}

    def _translate(self, mask: tf.Tensor, seed: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        vessel = (tf.cast(mask, tf.int32) >= 128) & self._inside
        return {"image": self._image(vessel, *self._style(seed, index))}

    def _style(self, seed: tf.Tensor, index: tf.Tensor) -> list[tf.Tensor]:
        dim = self.config.stage2.style_dim
        return [latents.sample(seed, index, dim, latents.STYLE)] if dim else []

    def _image_of(self, vessel: tf.Tensor, style: tf.Tensor | None = None) -> tf.Tensor:
        condition = tf.where(vessel, 1.0, -1.0)
        if self.config.stage2.use_fov:
            # Vessels lie inside, so that this is the field of view, for as many images.
            condition = tf.concat([condition, tf.where(vessel | self._inside, 1.0, -1.0)], axis=-1)
        if self.styles is not None:
            style = self.styles.style(style)
        image = self.networks.image(condition, *_given(style), training=False)
        levels = tf.round((image + 1.0) * 127.5)
        return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)


def _given(style: tf.Tensor | None) -> list[tf.Tensor]:
    return [] if style is None else [style]
