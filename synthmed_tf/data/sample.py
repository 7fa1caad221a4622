"""What a pair is once it has been read: arrays of one size, and where they were cut from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Crop:
    """The square that was cut from an image; it may reach beyond the image's borders (black is filled in).

    Attributes:
        top, left: corner of the square in pixels of the original; negative where it reaches beyond the border.
        side: length of the square in pixels of the original.
        height, width: size of the original in pixels.
    """

    top: int
    left: int
    side: int
    height: int
    width: int


@dataclass(frozen=True)
class Sample:
    """An image with its masks, cropped square to the field of view and resampled to `size`.

    Attributes:
        name: the pair's name, unique in its source.
        patient: whose eye it is; pairs of one patient are never split.
        image: `(size, size, 3)`, uint8 in [0, 255], RGB.
        mask: `(size, size, 1)`, uint8: the share of each pixel that vessels cover, 0 to 255; 128 and more is vessel.
            None where the source has photographs alone.
        fov: `(size, size, 1)`, uint8 in {0, 255}: the field of view.
        crop: where the square lies in the original.
    """

    name: str
    patient: str
    image: np.ndarray
    mask: np.ndarray | None
    fov: np.ndarray
    crop: Crop
