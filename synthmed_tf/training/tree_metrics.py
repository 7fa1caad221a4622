"""Metrics of generated vessel trees next to those of real ones, which are their targets."""

import numpy as np
from scipy import ndimage

from synthmed_tf.data.vessel_maps import CALIBRE, RIDGE
from synthmed_tf.training.calibration import extent

PIECES, CALIBRE_METRIC, SHARE = "geometry/pieces", "geometry/calibre", "geometry/vessel_share"
TARGET = "_of_real"
"""Ends the name of a metric of the real masks."""

_EVERY_NEIGHBOUR = np.ones((3, 3))
_RIDGE_LEVEL = 0.5


def of_masks(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Pieces of a mask, calibre, and share of vessel pixels, as `calibration.Extent` has them.

    Args:
        generated, real: `(n, height, width, 1)`, bool; n may differ.

    Returns:
        The means of both sets, those of the real one under names that end in `_of_real`.
    """
    return _both(_measured(generated[..., 0]), _measured(real[..., 0]))


def of_maps(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """The same of coarse vessel maps: pieces of the ridges, mean calibre of their pixels, and their share.

    Args:
        generated, real: `(n, height, width, 2)`, float32 in [0, 1]; n may differ.
    """
    return _both(_measured_maps(generated), _measured_maps(real))


def _both(generated: dict[str, float], real: dict[str, float]) -> dict[str, float]:
    return generated | {f"{name}{TARGET}": value for name, value in real.items()}


def _measured(masks: np.ndarray) -> dict[str, float]:
    found = extent(masks)
    return {PIECES: found.pieces, CALIBRE_METRIC: found.width, SHARE: found.share}


def _measured_maps(maps: np.ndarray) -> dict[str, float]:
    ridges = maps[..., RIDGE][..., 0] >= _RIDGE_LEVEL
    calibre = float(maps[..., CALIBRE][ridges].mean()) if ridges.any() else 0.0
    return {PIECES: _pieces(ridges), CALIBRE_METRIC: calibre, SHARE: float(ridges.mean())}


def _pieces(masks: np.ndarray) -> float:
    """The mean number of pieces (8-connected) of a mask."""
    return float(np.mean([ndimage.label(mask, _EVERY_NEIGHBOUR)[1] for mask in masks]))
