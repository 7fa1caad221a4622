"""How alike two photographs are, once one is laid on the other: copies are found through the photograph too."""

from dataclasses import dataclass

import numpy as np

from synthmed_tf.data.alignment import detail
from synthmed_tf.evaluation.transforms import Transform

_LEAST_TILE = 0.25


@dataclass(frozen=True)
class PhotographMatch:
    """How alike two photographs are once they are aligned.

    Attributes:
        whole: correlation within both fields of view, in [-1, 1].
        tiles: `(3, 3)`, float64: the same in each tile; NaN where less than a quarter of a tile lies in both fields.
    """

    whole: float
    tiles: np.ndarray


@dataclass(frozen=True)
class Flattened:
    """A photograph's green channel, freed of uneven light.

    Attributes:
        green: `(side, side)`, float32, as `detail` gives it.
        field: `(side, side)`, bool: the field of view.
    """

    green: np.ndarray
    field: np.ndarray


def flattened(photograph: np.ndarray, field: np.ndarray) -> Flattened:
    """Takes the light away from a photograph `(side, side, 3)`, uint8, with its field of view `(side, side)`, bool."""
    return Flattened(detail(photograph[..., 1].astype(np.float32), field), field)


def photograph_likeness(synthetic: Flattened, real: Flattened, transform: Transform) -> PhotographMatch:
    """Correlates two photographs where the masks were found to lie on each other.

    Args:
        synthetic, real: of one size.
        transform: a match's.

    Returns:
        The correlations; 0 where one photograph is flat.
    """
    drawn, other = synthetic.green, transform.warp(real.green)
    field = synthetic.field & transform.warp(real.field)
    edges = np.linspace(0, len(field), 4).round().astype(int)
    tiles = np.full((3, 3), np.nan)
    for row, column in np.ndindex(3, 3):
        tile = np.s_[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        if field[tile].mean() >= _LEAST_TILE:
            tiles[row, column] = _pearson(drawn[tile][field[tile]], other[tile][field[tile]])
    return PhotographMatch(_pearson(drawn[field], other[field]) if field.any() else 0.0, tiles)


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    length = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / length) if length else 0.0
