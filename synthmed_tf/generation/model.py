"""A trained model for programs: `synthmed_tf.load` opens an artifact, `Model` generates pairs from it."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact, Runtime, open_artifact

if TYPE_CHECKING:
    import tensorflow as tf


class Pairs(NamedTuple):
    """Images with their vessel masks.

    Attributes:
        mask: `(n, size, size, 1)`, uint8 in {0, 255}; 255 is vessel.
        image: `(n, size, size, 3)`, uint8, RGB.
    """

    mask: np.ndarray
    image: np.ndarray


class Model:
    """A trained model, opened by `load`.

    Pair `index` of `seed` is the same pair in every batch, process and runtime (masks exactly; images may differ by one
    grey level between float32 runtimes). So (seed, index) identifies a pair, and a seed is an endless sequence of them.

    Attributes:
        artifact: the opened artifact.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.card["size"])

    @property
    def card(self) -> dict[str, Any]:
        """The card of the model: license, training data, configuration, versions and results, as in `card.json`."""
        return self.artifact.card

    def generate(self, seed: int = 0, index: int | Sequence[int] = 0, batch_size: int = 16) -> Pairs:
        """Generates pairs.

        Args:
            seed: of the sequence; any int64.
            index: of the pairs in it, each 0 or more.
            batch_size: pairs generated at once.

        Raises:
            SynthMedError: there is no index.

        Example:
            >>> import synthmed_tf as sm
            >>> pairs = sm.load("MODEL").generate(seed=1, index=range(8))
            >>> pairs.mask.shape, pairs.image.shape, pairs.image.dtype
            ((8, 32, 32, 1), (8, 32, 32, 3), dtype('uint8'))
        """
        indices = _indices(index)
        parts = [
            self.artifact.pixels(np.full(len(part), seed, np.int64), part)
            for part in np.split(indices, range(batch_size, len(indices), batch_size))
        ]
        masks, images = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Pairs(masks, images)

    def generate_from(self, mask: np.ndarray, seed: int = 0, index: int | Sequence[int] | None = None) -> Pairs:
        """Generates images of given masks: Stage-II alone. Needs the runtime `savedmodel`.

        Args:
            mask: `(n, size, size, 1)` or `(n, size, size)`, bool or uint8; 128 or more is vessel.
            seed: of the styles; any int64.
            index: of each style in the sequence of the seed; default: 0 to n - 1.

        Returns:
            The masks, with values 0 and 255, and their images.

        Raises:
            SynthMedError: the masks have another shape or type, or the runtime has no Stage-II alone.

        Example:
            >>> import numpy as np
            >>> import synthmed_tf as sm
            >>> masks = np.zeros((2, 32, 32, 1), np.uint8)
            >>> masks[:, 16] = 255
            >>> sm.load("MODEL").generate_from(mask=masks, seed=1).image.shape
            (2, 32, 32, 3)
        """
        mask = self._checked(np.asarray(mask))
        indices = _indices(range(len(mask)) if index is None else index)
        if len(indices) != len(mask):
            raise SynthMedError(f"There are {len(mask)} masks and {len(indices)} indices; give one index a mask.")
        return Pairs(mask, self.artifact.translate(mask, np.full(len(mask), seed, np.int64), indices))

    def dataset(self, seed: int = 0, batch_size: int = 8, first_index: int = 0) -> "tf.data.Dataset":
        """An endless data set that generates its pairs when they are needed.

        Args:
            seed: of the sequence; any int64.
            batch_size: pairs in each batch.
            first_index: where in the sequence it starts.

        Returns:
            Batches of (image, mask): `(batch_size, size, size, 3)` and `(batch_size, size, size, 1)`, uint8.

        Example:
            >>> import synthmed_tf as sm
            >>> for image, mask in sm.load("MODEL").dataset(seed=1, batch_size=4).take(2):
            ...     print(image.shape, mask.shape)
            (4, 32, 32, 3) (4, 32, 32, 1)
            (4, 32, 32, 3) (4, 32, 32, 1)
        """
        import tensorflow as tf

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for first in itertools.count(first_index, batch_size):
                pairs = self.generate(seed, range(first, first + batch_size), batch_size)
                yield pairs.image, pairs.mask

        shapes = [(batch_size, self.size, self.size, channels) for channels in (3, 1)]
        signature = tuple(tf.TensorSpec(shape, tf.uint8) for shape in shapes)
        return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(tf.data.AUTOTUNE)

    def _checked(self, mask: np.ndarray) -> np.ndarray:
        """The masks as `(n, size, size, 1)` uint8 in {0, 255}."""
        expected = (self.size, self.size)
        if mask.dtype not in (np.bool_, np.uint8) or mask.shape[1:] not in (expected, (*expected, 1)) or not len(mask):
            raise SynthMedError(
                f"The masks are {mask.dtype} of shape {mask.shape}; give bool or uint8 of shape "
                f"(n, {self.size}, {self.size}, 1)."
            )
        is_vessel = mask if mask.dtype == np.bool_ else mask >= 128
        return np.where(is_vessel, 255, 0).astype(np.uint8).reshape(-1, *expected, 1)


def load(model: str | os.PathLike[str], runtime: Runtime = "auto") -> Model:
    """Opens a trained model.

    Args:
        model: the folder of an artifact, as `synthmed export` writes it, or its `generator.onnx`, on this disk or in an
            object store (`s3://`, `gs://`, `abfs://`); or the name of a model that the package holds, as `synthmed
            models` lists them.
        runtime: `savedmodel` (TensorFlow), `onnx` (ONNX Runtime), `openvino`, `onnx-fp16` or `onnx-int8`; `auto` is the
            first of `savedmodel` and `onnx` that is there. `onnx` does not import TensorFlow.

    Raises:
        SynthMedError: there is no such model, one of its files is missing or has changed, or a package is missing.

    Example:
        >>> import synthmed_tf as sm
        >>> model = sm.load("MODEL", runtime="onnx")
        >>> model.size, model.card["license"]
        (32, 'CC BY 4.0')
    """
    return Model(open_artifact(model, runtime))


def _indices(index: int | Sequence[int]) -> np.ndarray:
    """`(n,)`, int64."""
    indices = np.atleast_1d(np.asarray(index, np.int64))
    if not indices.size:
        raise SynthMedError("There is no index; give at least one, such as index=range(8).")
    return indices
