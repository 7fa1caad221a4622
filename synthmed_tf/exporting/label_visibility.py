"""How well generated images show their masks: a smaller graph must not lose this."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import scipy.ndimage
import tensorflow as tf

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.metrics import segmentation
from synthmed_tf.models.segmenter import probabilities
from synthmed_tf.segmentation import labelling

_BATCH = 8


@dataclass(frozen=True)
class Measure:
    """A measure of images against their masks; more is better.

    Attributes:
        name: of the measure.
        of: takes masks `(n, size, size, 1)` and images `(n, size, size, 3)`, uint8, and returns a mean.
    """

    name: str
    of: Callable[[np.ndarray, np.ndarray], float]


def of_run(run: Path, inside: np.ndarray, kind: ImageKind = RETINA) -> Measure:
    """The Dice of the masks that the segmenter of the run finds; without a segmenter, the contrast of the vessels.

    Args:
        run: the folder of a run.
        inside: the field of view, `(size, size, 1)`, bool.
        kind: vessels are dark; other objects may be bright.

    Raises:
        SynthMedError: the segmenter is damaged.
    """
    if not any((Path(run) / "segmenter" / part).is_dir() for part in ("best", "snapshot")):
        vessels = kind.structures == "vessels"
        name, of = ("vessels", contrast) if vessels else ("objects", _of_objects)
        return Measure(f"local contrast of {name} in green", lambda masks, images: of(masks, images, inside))
    segmenter, _ = labelling.open_segmenter(run)
    return Measure("Dice of the run's segmenter", lambda masks, images: _dice(segmenter, masks, images, inside))


def contrast(masks: np.ndarray, images: np.ndarray, inside: np.ndarray) -> float:
    """How much darker vessels are than the rest, in green, as a share of the whole range: in [-1, 1].

    The mean of the surroundings (a sixteenth of the side in each direction) is subtracted, since light varies over an
    image.
    """
    green, vessel = images[..., 1] / 255.0, (masks >= 128)[..., 0]
    side = green.shape[-1] // 8 + 1
    darker = scipy.ndimage.uniform_filter(green, (0, side, side)) - green
    return float(darker[vessel].mean() - darker[~vessel & inside[..., 0]].mean())


def _of_objects(masks: np.ndarray, images: np.ndarray, inside: np.ndarray) -> float:
    """As `contrast`, of objects that may be brighter instead."""
    return abs(contrast(masks, images, inside))


def _dice(segmenter: keras.Model, masks: np.ndarray, images: np.ndarray, inside: np.ndarray) -> float:
    dice = []
    for start in range(0, len(masks), _BATCH):
        seen = tf.constant(images[start : start + _BATCH] / np.float32(127.5) - np.float32(1.0), tf.float32)
        found = probabilities(segmenter, seen).numpy() >= 0.5
        dice += [
            segmentation.f1(truth >= 128, there, inside)
            for truth, there in zip(masks[start : start + _BATCH], found, strict=True)
        ]
    return float(np.mean(dice))
