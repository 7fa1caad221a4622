"""Figures of each pair, measured once for all sections: 15 of its vessel tree, 28 of its photograph."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields

import numpy as np

from synthmed_tf.evaluation import appearance, geometry
from synthmed_tf.evaluation.context import Case
from synthmed_tf.evaluation.kid_fid import standardize
from synthmed_tf.evaluation.pairs import Block, Pairs

TREE = tuple(field.name for field in fields(geometry.Geometry))
"""Names of the figures of a vessel tree, in order."""

PHOTOGRAPH = appearance.FEATURES
"""Names of the figures of a photograph, in order."""

_KEY = {"version": 1, "diameter": geometry.DIAMETER}


def trees(case: Case, pairs: Pairs) -> np.ndarray:
    """`(pairs, 15)`, float64: `geometry.measure` of each mask, NaN where there is nothing to measure.

    A mask costs some 0.15 s on one core, whatever its size; 64 or more at once are shared among all cores.
    """
    return case.measured(pairs, "vessel trees", _KEY, _measure_trees)["figures"]


def photographs(case: Case, pairs: Pairs) -> np.ndarray:
    """`(pairs, 28)`, float64: `appearance.appearance` of each photograph."""
    return case.measured(pairs, "photographs", {"version": 1}, _measure_photographs)["figures"]


def comparable(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brings the figures of two sets to one scale (`distribution.standardize`), also where some are missing.

    A missing figure becomes 0, the median, and each figure that is missing somewhere adds a column that is 1 where it
    is, as in `samples.robust_scores`.

    Args:
        real: `(n, figures)`, floating point, NaN where missing, n at least 2.
        synthetic: `(m, figures)`, alike.

    Returns:
        `(n, columns)` and `(m, columns)`, float64.
    """
    pooled = np.concatenate([real, synthetic])
    missing = np.isnan(pooled)
    filled = pooled.copy()
    for column, gaps in zip(filled.T, missing.T, strict=True):
        column[gaps] = np.median(column[~gaps]) if not gaps.all() else 0.0
    scaled = np.concatenate(standardize(filled[: len(real)], filled[len(real) :]))
    scaled = np.hstack([scaled, missing[:, missing.any(axis=0)]])
    return scaled[: len(real)], scaled[len(real) :]


def _measure_trees(block: Block) -> dict[str, np.ndarray]:
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(geometry.measure, block.masks, block.fields))
    return {"figures": np.array([astuple(one) for one in found])}


def _measure_photographs(block: Block) -> dict[str, np.ndarray]:
    pairs = zip(block.photographs, block.fields, strict=True)
    found = [appearance.appearance(photograph, field) for photograph, field in pairs]
    return {"figures": np.array([list(one.values()) for one in found])}
