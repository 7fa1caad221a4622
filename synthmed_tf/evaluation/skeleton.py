"""The centre lines of a vessel mask, how wide the vessels are there, and the branches that the lines consist of."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from synthmed_tf.errors import SynthMedError

_EVERY_NEIGHBOUR = np.ones((3, 3), bool)
_OUTLINE_BLUR = 0.6


@dataclass(frozen=True)
class Tree:
    """A skeleton taken apart at its junctions.

    Attributes:
        branches: `(pixels, 2)` each, int: row and column from one end to the other, both included; a closed branch
            without a junction ends where it begins.
        endpoints: `(n, 2)`, int: the pixels with one neighbour.
        junctions: of the skeleton's shape, int: 0, or the number of the junction that a pixel belongs to, from 1.
    """

    branches: list[np.ndarray]
    endpoints: np.ndarray
    junctions: np.ndarray


def calibres(mask: np.ndarray) -> np.ndarray:
    """Twice the distance to the outline, which is the width of the vessel for pixels on a centre line.

    The plain distance transform measures to the centres of background pixels, so that three pixels seem four wide and
    four pixels seem four. Here the outline is that of the slightly blurred mask at half pixels: straight vessels along
    the rows have their exact width, and slanted ones theirs within about a tenth of a pixel on average.

    Args:
        mask: `(height, width)`, bool.

    Returns:
        `(height, width)`, float64, in pixels: at least 1 in the mask, 0 outside.
    """
    blurred = ndimage.gaussian_filter(np.pad(mask, 1).astype(np.float64), _OUTLINE_BLUR)
    fine = ndimage.zoom(blurred, 2, order=1, mode="nearest", grid_mode=True) >= 0.5
    distances = ndimage.maximum_filter(ndimage.distance_transform_edt(fine), 3)[2:-2:2, 2:-2:2]
    return np.where(mask, np.maximum(distances, 1.0), 0.0)


def centre_lines(mask: np.ndarray) -> np.ndarray:
    """The skeleton by the method of Lee et al. (1994), which keeps diagonals of two pixels and has hardly any spurs.

    Args:
        mask: `(height, width)`, bool.

    Returns:
        `(height, width)`, bool.
    """
    return skeletonize(mask, method="lee") > 0


def take_apart(lines: np.ndarray) -> Tree:
    """Finds branches, endpoints and junctions; pixels without a neighbour belong to none of them.

    Args:
        lines: `(height, width)`, bool: lines of one pixel's width, as of `centre_lines`.

    Raises:
        SynthMedError: the package skan is missing.
    """
    skan = _skan()
    junctions = np.zeros(lines.shape, int)
    if ndimage.label(lines, _EVERY_NEIGHBOUR)[1] == np.count_nonzero(lines):
        return Tree([], np.zeros((0, 2), int), junctions)
    graph = skan.Skeleton(lines, keep_images=False)
    places = graph.coordinates.astype(int)
    junctions[tuple(places[graph.degrees > 2].T)] = 1
    junctions, _ = ndimage.label(junctions, _EVERY_NEIGHBOUR)
    paths = (places[graph.path(index)] for index in range(graph.n_paths))
    branches = [path for path in paths if not junctions[tuple(path.T)].all()]
    return Tree(branches, places[graph.degrees == 1], junctions)


def _skan() -> ModuleType:
    # Compiling takes seconds, so nothing but these figures pays for it.
    try:
        import skan
    except ImportError as error:
        raise SynthMedError(
            'The geometry of vessels needs the package skan, which is missing; run pip install "synthmed-tf[evaluate]".'
        ) from error
    return skan
