"""How a copied mask may have been moved: flipped, rotated, scaled and shifted.

Points have coordinates (x to the right, y down) in [-1, 1] across the image, as in `data.augmentation`, so that a
transform is the same at every resolution.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Transform:
    """Takes a real image to the synthetic one: flips, then rotates and scales about the centre, then shifts.

    Attributes:
        flips: whether left and right, and whether top and bottom, change places.
        rotation: clockwise, degrees.
        scale: magnification.
        right, down: the shift as a share of the side.
    """

    flips: tuple[bool, bool] = (False, False)
    rotation: float = 0.0
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0

    @property
    def linear(self) -> np.ndarray:
        """`(2, 2)`, float64: takes (x, y) of the real image to (x, y) of the synthetic one, but for the shift."""
        angle = np.radians(self.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return self.scale * turn @ np.diag(np.where(self.flips, -1.0, 1.0))

    @property
    def shift(self) -> np.ndarray:
        """`(2,)`, float64: the shift in coordinates, of which a side has 2."""
        return 2.0 * np.array([self.right, self.down])

    def forward(self, points: np.ndarray) -> np.ndarray:
        """Where points `(n, 2)` of the real image come to lie in the synthetic one."""
        return points @ self.linear.T + self.shift

    def backward(self, points: np.ndarray) -> np.ndarray:
        """Where points `(n, 2)` of the synthetic image lie in the real one."""
        return (points - self.shift) @ np.linalg.inv(self.linear).T

    def warp(self, image: np.ndarray) -> np.ndarray:
        """Resamples a real image where the synthetic one has it.

        Args:
            image: `(side, side)`, floating point or bool.

        Returns:
            The same shape and dtype, interpolated linearly (bool where a half or more is true); 0 beyond the border.
        """
        side = len(image)
        inverse = np.linalg.inv(self.linear)[::-1, ::-1]  # rows first
        centre = (side - 1) / 2
        offset = centre - inverse @ (centre + self.shift[::-1] * side / 2)
        if image.dtype == np.bool_:
            return ndimage.affine_transform(image.astype(np.float32), inverse, offset, order=1) >= 0.5
        return ndimage.affine_transform(image, inverse, offset, order=1)


def fit(real: np.ndarray, synthetic: np.ndarray, flips: tuple[bool, bool]) -> Transform:
    """The transform with these flips that brings points nearest to others, by least squares.

    In complex numbers it is the regression of the synthetic points on the flipped real ones.

    Args:
        real, synthetic: `(n, 2)`, n at least 2: points that belong together; not all real ones equal.
        flips: as in `Transform`.
    """
    ours, theirs = ((points @ [1, 1j]) for points in (real * np.where(flips, -1.0, 1.0), synthetic))
    about, to = ours.mean(), theirs.mean()
    factor = np.vdot(ours - about, theirs - to) / np.vdot(ours - about, ours - about).real
    shift = (to - factor * about) / 2
    return Transform(
        flips, float(np.degrees(np.angle(factor))), float(abs(factor)), float(shift.real), float(shift.imag)
    )
