"""Metrics of a vessel tree: density, calibre, tortuosity, branching and connectedness.

The field of view is resized to one diameter first, so that masks of different cameras can be compared. Detail that a
coarse image has lost does not come back: masks of 256 pixels should be compared with real masks that were resized to
256 pixels before.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from scipy import ndimage
from scipy.interpolate import splev, splprep
from skimage.measure import block_reduce, euler_number
from skimage.morphology import skeletonize

from synthmed_tf.data.preprocessing import VESSEL_THRESHOLD, resample_masks
from synthmed_tf.extras import require_extra

DIAMETER = 512
"""Of the field of view, in pixels."""

_LEAST_DIAMETER = 64
_LEAST_BRANCH = 10
_LEAST_COMPONENT = 20
_OFFSETS = 8
_ARM = 10
_SHORTEST_ARM = 5
_ROUGHNESS = 0.5
_CLOSED = 3.0
_POINTS_PER_PIXEL = 4
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


@dataclass(frozen=True)
class TreeMetrics:
    """The metrics of one mask; NaN where there is nothing to measure. A pixel is one of the fixed diameter.

    Branches run along the skeleton between endpoints and junctions; those below 10 pixels are not measured.

    Attributes:
        density: share of the field of view that is vessel, in [0, 1].
        calibre_mean, calibre_p10, calibre_p90: width of the vessels over the pixels of the skeleton, in pixels.
        tortuosity_mean, tortuosity_median: arc over chord of the branches that are not closed, weighted by their
            arcs; 1 is straight.
        curvature: integral of the absolute curvature over all branches by their length, in radians per pixel.
        fractal_dimension: of the skeleton by counting boxes, about 1 (a line) to 2 (a plane).
        angle_mean, angle_sd: angle between the two branches that part at a junction of three, mean and standard
            deviation over the junctions, in degrees.
        endpoints, junctions: per 1,000 pixels of the skeleton.
        components: number of connected pieces of 20 pixels or more.
        largest_share: share of the vessel pixels that the largest piece holds, in [0, 1].
        loops: number of areas that vessels enclose.
    """

    density: float
    calibre_mean: float
    calibre_p10: float
    calibre_p90: float
    tortuosity_mean: float
    tortuosity_median: float
    curvature: float
    fractal_dimension: float
    angle_mean: float
    angle_sd: float
    endpoints: float
    junctions: float
    components: float
    largest_share: float
    loops: float


def measure(mask: np.ndarray, fov: np.ndarray, diameter: int = DIAMETER) -> TreeMetrics:
    """Measures one vessel mask.

    Args:
        mask: `(height, width)`, bool: the vessels; those outside the field of view are not looked at.
        fov: of that shape, bool, with at least one True.
        diameter: to which the field of view is brought, in pixels, at least 64; vessels that would be thinner than a
            pixel are widened to one.

    Raises:
        SynthMedError: the package skan is missing.
        ValueError: another dtype, shapes that differ, an empty field of view, or a smaller diameter.
    """
    if mask.dtype != np.bool_ or fov.dtype != np.bool_ or mask.ndim != 2 or mask.shape != fov.shape or not fov.any():
        received = ", ".join(f"{array.dtype} {array.shape}" for array in (mask, fov))
        raise ValueError(f"Expected two masks of bool and one shape, the second not empty. Received: {received}")
    if diameter < _LEAST_DIAMETER:
        raise ValueError(f"The diameter is at least {_LEAST_DIAMETER} pixels. Received: {diameter}")
    coverage, fov = resample_masks(mask, fov, diameter)
    mask = coverage >= VESSEL_THRESHOLD
    lines = centre_lines(mask)
    tree = take_apart(lines)
    widths = calibres(mask)
    on_lines, angles = widths[lines], branching_angles(tree, widths)
    low, high = np.percentile(on_lines, (10, 90)) if on_lines.size else (np.nan, np.nan)
    per_thousand = 1000 / on_lines.size if on_lines.size else np.nan
    metrics = {
        "density": mask.sum() / fov.sum(),
        "calibre_mean": _mean(on_lines),
        "calibre_p10": low,
        "calibre_p90": high,
        "fractal_dimension": box_dimension(lines),
        "angle_mean": _mean(angles),
        "angle_sd": float(np.std(angles)) if angles.size else np.nan,
        "endpoints": len(tree.endpoints) * per_thousand,
        "junctions": tree.junctions.max() * per_thousand,
    }
    metrics |= _winding(tree.branches) | _pieces(mask)
    return TreeMetrics(**{name: float(value) for name, value in metrics.items()})


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


def box_dimension(pixels: np.ndarray) -> float:
    """The fractal dimension by counting boxes: the slope of log N(s) against log 1/s, by least squares.

    N(s) is the number of boxes of side s that hold a pixel, for s = 4, 8, 16, ... up to a quarter of the larger side,
    as the mean over 64 positions of the grid (16 for s = 4). The borders of the set make the value too small, by up to
    0.1 at 512 pixels, in all sets alike; the least number in place of the mean would be nearer to the truth for shapes
    that lie along the grid, but varies several times as much when a tree is turned.

    Args:
        pixels: `(height, width)`, bool.

    Returns:
        In [0, 2]; NaN where no pixel is set, or a side is too short for two sizes of boxes.
    """
    sides = [2**power for power in range(2, 32) if 2**power <= max(pixels.shape) / 4]
    if not pixels.any() or len(sides) < 2:
        return np.nan
    counts = [_mean_boxes(pixels, side) for side in sides]
    return float(-np.polyfit(np.log(sides), np.log(counts), 1)[0])


def branching_angles(tree: Tree, widths: np.ndarray) -> np.ndarray:
    """The angles at which vessels part, at the junctions of three branches.

    Which of the three is the parent is not known; it lies opposite the two others, so theirs is the smallest of the
    three angles. Within a vessel's width of the junction the skeleton follows the fork of the outlines rather than the
    vessels, so a branch has the direction of its next ten pixels. Junctions with a branch too short for five of these
    are left out.

    Args:
        tree: the skeleton's parts.
        widths: of the skeleton's shape: how wide the vessels are, in pixels.

    Returns:
        `(n,)`, in degrees, in [0, 120].
    """
    arms: dict[int, list[np.ndarray]] = {}
    for branch in tree.branches:
        for path in (branch, branch[::-1]):
            if junction := int(tree.junctions[tuple(path[0])]):
                start = round(widths[tuple(path[0])])
                arms.setdefault(junction, []).append(path[start : start + _ARM])
    forks = [paths for paths in arms.values() if len(paths) == 3 and min(map(len, paths)) >= _SHORTEST_ARM]
    units = np.array([[_direction(path) for path in paths] for paths in forks]).reshape(-1, 3, 2)
    cosines = np.sum(units * np.roll(units, 1, axis=1), axis=2)
    return np.degrees(np.arccos(np.clip(cosines.max(axis=1), -1, 1)))


def wind(branch: np.ndarray) -> tuple[float, float, float]:
    """How a branch winds, after the steps of its pixels are smoothed away.

    The curve is a cubic smoothing spline (Dierckx 1982) that stays within half a pixel of the branch (root mean
    square): a straight line on the grid, of any slope, becomes straight again. The steps themselves would make it
    up to 8 % too long.

    Args:
        branch: `(pixels, 2)`: row and column along the branch, at least 4 pixels.

    Returns:
        The length of the curve in pixels, the distance between its ends in pixels, and by how much its direction turns
        in all, whether to the left or to the right (the integral of the absolute curvature), in radians.
    """
    steps = np.arange(len(branch), dtype=np.float64)
    curve, _ = splprep(branch.T.astype(np.float64), u=steps, s=len(branch) * _ROUGHNESS**2, quiet=1)
    steps = np.linspace(0, steps[-1], _POINTS_PER_PIXEL * len(branch))
    points, headings = np.stack(splev(steps, curve), axis=-1), np.arctan2(*splev(steps, curve, der=1))
    arc = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    chord = np.linalg.norm(points[-1] - points[0])
    return float(arc), float(chord), float(np.abs(np.diff(np.unwrap(headings))).sum())


def _winding(branches: list[np.ndarray]) -> dict[str, float]:
    measured = [wind(branch) for branch in branches if len(branch) >= _LEAST_BRANCH]
    arcs, chords, turns = np.array(measured).reshape(-1, 3).T
    is_open = chords >= _CLOSED
    ratios, weights = arcs[is_open] / chords[is_open], arcs[is_open]
    return {
        "tortuosity_mean": float(np.average(ratios, weights=weights)) if ratios.size else np.nan,
        "tortuosity_median": _weighted_median(ratios, weights),
        "curvature": turns.sum() / arcs.sum() if arcs.size else np.nan,
    }


def _pieces(mask: np.ndarray) -> dict[str, float]:
    pieces, count = ndimage.label(mask, _EVERY_NEIGHBOUR)
    sizes = np.bincount(pieces.ravel())[1:]
    return {
        "components": np.count_nonzero(sizes >= _LEAST_COMPONENT),
        "largest_share": sizes.max() / sizes.sum() if count else np.nan,
        "loops": count - euler_number(mask, connectivity=2),
    }


def _mean_boxes(pixels: np.ndarray, side: int) -> float:
    step = max(1, side // _OFFSETS)
    cells = np.argwhere(block_reduce(pixels, step, np.any))  # grids that move by a step part no cell of that side
    counts = []
    for offset in np.ndindex(side // step, side // step):
        boxes = (cells + offset) // (side // step)
        grid = np.zeros(boxes.max(axis=0) + 1, bool)
        grid[tuple(boxes.T)] = True
        counts.append(np.count_nonzero(grid))
    return float(np.mean(counts))


def _direction(path: np.ndarray) -> np.ndarray:
    """`(2,)`: the unit vector along a path, by linear regression of its pixels on their numbers."""
    vector = (np.arange(len(path)) - (len(path) - 1) / 2) @ path
    return vector / np.linalg.norm(vector)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The least value at which half of the weight is reached."""
    if not values.size:
        return np.nan
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else np.nan


def _skan() -> ModuleType:
    # Compiling takes seconds, so that only these metrics import it.
    require_extra("evaluate")
    import skan

    return skan
