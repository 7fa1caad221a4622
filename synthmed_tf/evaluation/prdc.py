"""How much of one set of feature vectors is found in another, and how diverse each is: PRDC and the Vendi score.

Rows are independent, and come from `kid_fid.standardize`.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from synthmed_tf.evaluation.kid_fid import blocks, checked
from synthmed_tf.evaluation.results import Neighbourhoods


def prdc(
    real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, k: int = 5, subsamples: int = 100
) -> Neighbourhoods:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Both sets are compared at equal size, since all four depend on it: a subsample takes as many rows of the larger set
    as the smaller one has. "Within" means nearer than, as in the authors' code; the neighbours of a row are others of
    its set. Rows count as independent: two images of a patient are nearer than the null of the coverage allows.

    Args:
        real: `(n, d)`, from `standardize`.
        synthetic: `(m, d)`, from there.
        rng: chooses the rows of a subsample.
        k: neighbours, below n and m.
        subsamples: how many are averaged; sets of one size need and get a single one.

    Raises:
        ValueError: other arrays, or a k outside [1, min(n, m) - 1].
    """
    real, synthetic = checked(real, synthetic)
    count = min(len(real), len(synthetic))
    if not 1 <= k < count:
        raise ValueError(f"PRDC takes a k from 1 to {count - 1} for sets of {count} rows. Received: k={k}")
    values = np.mean([_prdc(*rows, k) for rows in _subsamples(real, synthetic, subsamples, rng)], axis=0)
    shares = dict(zip(("precision", "recall", "density", "coverage"), values.tolist(), strict=True))
    return Neighbourhoods(**shares, coverage_null=coverage_null(count, count, k), k=k, count=count)


def coverage_null(n: int, m: int, k: int) -> float:
    """The coverage expected of two sets of one continuous distribution: 1 - prod_{i<k} (n-1-i) / (n-1+m-i).

    A real row is not covered if the nearest k of the n-1+m other rows are all real.

    Args:
        n, m: rows, real and synthetic.
        k: neighbours, below n.
    """
    return 1 - math.prod((n - 1 - i) / (n - 1 + m - i) for i in range(k))


def vendi_score(rows: np.ndarray) -> float:
    """The effective number of different rows (Friedman, Dieng 2023): exp(-sum l log l), l the eigenvalues of K / n.

    K holds the cosines of the angles between rows.

    Args:
        rows: `(n, d)`, floating point; none of length 0.

    Returns:
        From 1 (all rows have one direction) to min(n, d) (orthogonal rows, equally many of each).

    Raises:
        ValueError: a row of length 0.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("A Vendi score needs rows with a direction. Received: a row of zeros")
    units = rows / lengths
    kernel = units.T @ units if units.shape[1] < len(units) else units @ units.T
    shares = np.linalg.eigvalsh(kernel / len(units))
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def with_constant(rows: np.ndarray) -> np.ndarray:
    """`(n, d + 1)`: x / sqrt(d) with a constant 1 put before, for a Vendi score.

    The kernel then is KID's x.y / d + 1, made 1 on the diagonal. Without the constant, rows close about the median
    would have all directions and look as different as real ones.

    Args:
        rows: `(n, d)`, from `standardize`.
    """
    return np.hstack([np.ones((len(rows), 1)), rows / math.sqrt(rows.shape[1])])


def _subsamples(
    real: np.ndarray, synthetic: np.ndarray, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both sets at the size of the smaller one; the larger one is subsampled without replacement."""
    size = min(len(real), len(synthetic))
    for _ in range(count if len(real) != len(synthetic) else 1):
        yield tuple(rows if len(rows) == size else rng.choice(rows, size, replace=False) for rows in (real, synthetic))


def _prdc(real: np.ndarray, synthetic: np.ndarray, k: int) -> tuple[float, float, float, float]:
    real_radii, synthetic_radii = _radii(real, k), _radii(synthetic, k)
    balls = np.zeros(len(synthetic), int)
    recalled = covered = 0
    for part in blocks(len(real), len(synthetic)):
        distances = cdist(real[part], synthetic)
        inside = distances < real_radii[part, None]
        balls += inside.sum(axis=0)
        covered += np.count_nonzero(inside.any(axis=1))
        recalled += np.count_nonzero((distances < synthetic_radii).any(axis=1))
    return np.mean(balls > 0), recalled / len(real), balls.mean() / k, covered / len(real)


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """`(n,)`: how far the k-th other row is. Place 0 is the row itself."""
    parts = [np.partition(cdist(rows[part], rows), k, axis=1)[:, k] for part in blocks(len(rows), len(rows))]
    return np.concatenate(parts)
