"""How much of one set of feature vectors is found in another, and how various each is: PRDC and the Vendi score.

Rows are independent, and come from `distribution.standardize`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from synthmed_tf.evaluation.kid_fid import blocks, checked


@dataclass(frozen=True)
class Neighbourhoods:
    """Precision, recall, density and coverage (PRDC), each the mean over the draws.

    Attributes:
        precision: the share of synthetic rows within the k-th neighbour of a real row.
        recall: the share of real rows within the k-th neighbour of a synthetic row.
        density: how many real rows have a synthetic one within their k-th neighbour, over k; 1 is expected of two sets
            of one distribution, and there is no upper limit.
        coverage: the share of real rows with a synthetic one within their k-th neighbour.
        coverage_null: the coverage expected of two sets of one distribution. Precision and recall have no such value
            that would hold for every distribution.
        k: neighbours.
        count: rows of each set in a draw.
        draws: how many were averaged.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    coverage_null: float
    k: int
    count: int
    draws: int

    @property
    def coverage_excess(self) -> float:
        """The coverage minus its null: about 0 is as good as it gets."""
        return self.coverage - self.coverage_null


@dataclass(frozen=True)
class VendiRatio:
    """Vendi scores of two sets at equal size.

    Attributes:
        ratio: synthetic / real; about 1 for sets of one distribution, less where the synthetic set repeats itself.
        real, synthetic: the scores, means over the draws; they grow with `count` and mean little alone.
        count: rows of each set in a draw.
        draws: how many were averaged.
    """

    ratio: float
    real: float
    synthetic: float
    count: int
    draws: int


def prdc(
    real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, k: int = 5, draws: int = 100
) -> Neighbourhoods:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Both sets are compared at equal size, since all four depend on it: a draw takes as many rows of the larger set as
    the smaller one has. "Within" is nearer than, as in the authors' code; the neighbours of a row are others of its
    set. Rows count as independent: two photographs of a patient are nearer than the null of the coverage allows for.

    Args:
        real: `(n, d)`, from `standardize`.
        synthetic: `(m, d)`, from there.
        rng: chooses the rows of a draw.
        k: neighbours, below n and m.
        draws: how many are averaged; sets of one size need and get a single one.

    Raises:
        ValueError: other arrays, or a k outside [1, min(n, m) - 1].
    """
    real, synthetic = checked(real, synthetic)
    count = min(len(real), len(synthetic))
    if not 1 <= k < count:
        raise ValueError(f"PRDC takes a k from 1 to {count - 1} for sets of {count} rows. Received: k={k}")
    figures = [_prdc(*rows, k) for rows in _draws(real, synthetic, draws, rng)]
    return Neighbourhoods(*np.mean(figures, axis=0).tolist(), coverage_null(count, count, k), k, count, len(figures))


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


def vendi_ratio(real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, draws: int = 100) -> VendiRatio:
    """The ratio of the two sets' Vendi scores, at equal size, of rows `with_constant`.

    Args:
        real: `(n, d)`, from `standardize`.
        synthetic: `(m, d)`, from there.
        rng: chooses the rows of a draw: as many of the larger set as the smaller one has.
        draws: how many are averaged; sets of one size need and get a single one.

    Raises:
        ValueError: other arrays.
    """
    pairs = list(_draws(*(with_constant(rows) for rows in checked(real, synthetic)), draws, rng))
    scores = np.mean([[vendi_score(rows) for rows in pair] for pair in pairs], axis=0)
    return VendiRatio(float(scores[1] / scores[0]), *scores.tolist(), len(pairs[0][0]), len(pairs))


def _draws(
    real: np.ndarray, synthetic: np.ndarray, draws: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both sets at the size of the smaller, the larger one drawn without replacement."""
    count = min(len(real), len(synthetic))
    for _ in range(draws if len(real) != len(synthetic) else 1):
        yield tuple(
            rows if len(rows) == count else rng.choice(rows, count, replace=False) for rows in (real, synthetic)
        )


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
