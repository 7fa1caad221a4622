"""Finds the same image twice: by its fine detail, after it was saved again, resized, cut a little or mirrored."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import fft

from synthmed_tf.data.alignment import detail

SIDE = 64
ALIKE, ALIKE_MASKS = 0.6, 0.5
"""Least likeness of two photographs, or masks, that are called the same. Measured (docs/data_doctor.md): different real
photographs reach 0.43 and their masks 0.19, phantoms 0.51 and 0.31."""

_GATE = 0.22
_ZOOMS = (0.98, 0.96, 0.94, 0.92, 0.9, 0.88, 0.86)
_BATCH = 256
_MANY = 1500
_MANY_GATE = 0.25


def fingerprint(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The fine detail of an image, small.

    Args:
        image: `(side, side)`, uint8: a channel of a photograph, or the coverage of a mask.
        field: `(side, side)`, bool: the field of view.

    Returns:
        `(SIDE, SIDE)`, float32, of length 1; all 0 where the image is flat.
    """
    return _unit(detail(_small(image), _small(field.astype(np.uint8) * np.uint8(255)) >= 128))


def same_images(prints: Sequence[np.ndarray], least: float = ALIKE) -> list[tuple[int, int, float]]:
    """Compares all images with each other.

    Each pair is compared at every shift, as it is and mirrored; those that have something in common also with one of
    them enlarged by up to a sixth, since an image that was cut fills the square with less. Of more than 1,500 images
    only those are compared so that have something in common without a shift: it would take hours.

    Args:
        prints: a `fingerprint` each.
        least: likeness, in [-1, 1], from which on two images are the same.

    Returns:
        (first, second, likeness) of each pair with at least that likeness; first < second.
    """
    if len(prints) < 2:
        return []
    stack = np.stack(prints)
    mirrored = np.ascontiguousarray(stack[:, :, ::-1])
    spectra, turned = fft.rfft2(stack), fft.rfft2(mirrored)
    enlarged: dict[int, np.ndarray] = {}
    found = []
    for first in range(len(stack) - 1):
        rest = np.arange(first + 1, len(stack))
        if len(stack) > _MANY:
            in_place = [np.tensordot(stack[rest], one[first], 2) for one in (stack, mirrored)]
            rest = rest[np.maximum(*in_place) >= _MANY_GATE]
        likeness = np.maximum(_peaks(spectra[first], spectra[rest]), _peaks(turned[first], spectra[rest]))
        for i in np.flatnonzero((likeness >= _GATE) & (likeness < least)):
            likeness[i] = max(likeness[i], _zoomed(stack, spectra, enlarged, first, int(rest[i])))
        found += [(first, int(rest[i]), float(likeness[i])) for i in np.flatnonzero(likeness >= least)]
    return found


def _zoomed(stack: np.ndarray, spectra: np.ndarray, enlarged: dict, first: int, second: int) -> float:
    """The highest likeness with one of the two enlarged; `enlarged` keeps the spectra for the next pair."""
    products = []
    for one, other in ((first, second), (second, first)):
        if one not in enlarged:
            enlarged[one] = fft.rfft2(np.stack([_enlarged(stack[one], zoom) for zoom in _ZOOMS]))
        products.append(enlarged[one] * np.conj(spectra[other]))
    return float(fft.irfft2(np.concatenate(products), s=(SIDE, SIDE)).max())


def _enlarged(array: np.ndarray, share: float) -> np.ndarray:
    edge = (1 - share) * SIDE / 2
    box = (edge, edge, SIDE - edge, SIDE - edge)
    return _unit(np.asarray(Image.fromarray(array).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)))


def _peaks(spectrum: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """`(n,)`: the highest cross-correlation over all shifts, in batches that fit into the cache."""
    parts = [spectra[i : i + _BATCH] for i in range(0, len(spectra), _BATCH)]
    peaks = [fft.irfft2(part * np.conj(spectrum), s=(SIDE, SIDE)).max((1, 2)) for part in parts]
    return np.concatenate(peaks) if peaks else np.zeros(0, np.float32)


def _small(array: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((SIDE, SIDE), Image.Resampling.BOX))


def _unit(array: np.ndarray) -> np.ndarray:
    length = float(np.sqrt(np.square(array).sum()))
    return array / length if length > 0.1 else np.zeros_like(array)
