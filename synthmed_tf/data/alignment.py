"""Does a vessel mask lie on the vessels of its photograph? Fine detail, with the uneven light taken away, is compared.

All functions work on the square around the field of view, reduced to `SIDE` pixels a side.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

SIDE = 256
FITS, DOUBTFUL, CERTAIN = 0.35, 0.6, 1.1
"""Contrast below which a mask does not lie on vessels, may not, and above which there is no doubt. Measured (see
docs/data_doctor.md): real pairs have 1.15 and more, reduced to 64 pixels 0.70 and more; masks of other photographs 0.27
at most."""

_LEAST_LIKENESS = 0.2
_LEAST_GAIN = 1.3
_LEAST_SHIFT = 1.5 / SIDE
_FURTHEST = 0.15
_RING = 4
_CLIP = 3.0
_LEAST_DEVIATION = 0.5
TURNS = {
    "mirrored": lambda array: array[:, ::-1],
    "upside down": lambda array: array[::-1],
    "turned by 180 degrees": lambda array: array[::-1, ::-1],
    "turned by 90 degrees": np.rot90,
    "turned by 270 degrees": lambda array: np.rot90(array, 3),
}
"""How a mask may lie wrong, and what puts it right (in a square)."""


@dataclass(frozen=True)
class Place:
    """Where a mask fits its photograph best.

    Attributes:
        likeness: correlation there, in [-1, 1].
        here: correlation where the mask lies now.
        turn: a key of `TURNS`, or empty.
        down, right: how far the mask lies from there, as shares of the square's side.
    """

    likeness: float
    here: float
    turn: str
    down: float
    right: float

    @property
    def is_elsewhere(self) -> bool:
        """Whether the mask clearly fits better in another place. Masks of other photographs reach a likeness of 0.15 in
        their best place, right ones 0.48 in their own."""
        moved = self.turn != "" or max(abs(self.down), abs(self.right)) >= _LEAST_SHIFT
        return moved and self.likeness >= max(_LEAST_LIKENESS, _LEAST_GAIN * self.here)


def detail(channel: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Takes the slow changes of light away.

    Args:
        channel: `(side, side)`, any real dtype: a channel of a photograph, or the coverage of a mask.
        field: `(side, side)`, bool: the field of view.

    Returns:
        `(side, side)`, float32: the difference to the surroundings (a Gaussian of side / 32 pixels within the field),
        in standard deviations, clipped to [-3, 3]; 0 outside the field and near its edge.
    """
    side = len(channel)
    weight = field.astype(np.float32)
    blur = side / 32
    light = ndimage.gaussian_filter(channel * weight, blur) / np.maximum(ndimage.gaussian_filter(weight, blur), 1e-3)
    inner = ndimage.binary_erosion(field, iterations=max(1, side // 40))
    change = np.where(inner, channel - light, 0).astype(np.float32)
    deviation = max(float(change[inner].std()), _LEAST_DEVIATION) if inner.any() else 1.0
    return np.clip(change / deviation, -_CLIP, _CLIP)


def contrast(green: np.ndarray, coverage_u8: np.ndarray, field: np.ndarray) -> float | None:
    """How much darker the vessels of a mask are than the ring around them.

    Args:
        green: `(SIDE, SIDE)`: `detail` of the photograph's green channel.
        coverage_u8: `(SIDE, SIDE)`, uint8: the share of each pixel that vessels cover, 0 to 255.
        field: `(SIDE, SIDE)`, bool.

    Returns:
        The difference in standard deviations of `green`: positive where vessels are dark. None where there is no
        vessel or no ring.
    """
    inner = ndimage.binary_erosion(field, iterations=SIDE // 40)
    vessel = coverage_u8 * inner.astype(np.float32)
    touched = coverage_u8 > 25
    ring = ndimage.binary_dilation(touched, iterations=_RING) & ~touched & inner
    if vessel.sum() < 255 or not ring.any():
        return None
    return float(green[ring].mean() - (green * vessel).sum() / vessel.sum())


def best_place(green: np.ndarray, coverage_u8: np.ndarray, field: np.ndarray) -> Place:
    """Moves, mirrors and turns a mask until it fits best.

    Args:
        green, coverage_u8, field: as for `contrast`.
    """
    places = []
    for turn, move in {"": lambda array: array, **TURNS}.items():
        likeness = correlation(-green, detail(move(coverage_u8), field))
        near = np.abs(np.fft.fftfreq(SIDE)) <= _FURTHEST
        window = np.where(near[:, None] & near, likeness, -1)
        row, column = np.unravel_index(int(np.argmax(window)), window.shape)
        shift = np.fft.fftfreq(SIDE)[[row, column]]
        places.append((float(window[row, column]), turn, -float(shift[0]), -float(shift[1]), float(likeness[0, 0])))
    best, turn, down, right, _ = max(places, key=lambda place: place[0])
    return Place(best, places[0][4], turn, down, right)


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Normalised cross-correlation at every cyclic shift.

    Args:
        first, second: `(..., side, side)`, float32, of a mean near 0.

    Returns:
        `(..., side, side)`: entry (r, c) is the correlation of `first` with `second` moved by r rows and c columns;
        0 where one of them is flat.
    """
    power = np.sqrt(np.square(first).sum((-2, -1)) * np.square(second).sum((-2, -1)))
    product = fft.rfft2(first) * np.conj(fft.rfft2(second))
    return fft.irfft2(product, s=first.shape[-2:]) / np.maximum(power, 1e-6)[..., None, None]
