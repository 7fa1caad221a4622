"""Tests of whether two samples of features differ, those of real and of synthetic masks: one by one, and all at once.

The rows of one patient are not independent, so they stay together: permutations and resamples move whole patients.
Synthetic rows are independent. With one row for each patient the p values of `compare` are exact; with several rows
they are conservative, since a permuted group then has fewer rows than the real one, or varies more.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from synthmed_tf.evaluation.kid_fid import IQR_OF_GAUSSIAN, numbered
from synthmed_tf.evaluation.results import Energy, FeatureDifference

_CHUNK = 100
_TIES = 1e-9


def compare(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    repeats: int = 999,
    confidence: float = 0.95,
) -> tuple[FeatureDifference, ...]:
    """Compares two samples feature by feature.

    Sampling alone drives samples apart, and resampling does so once more: for two samples of one distribution the
    percentile interval lies above 0. So the interval ends on the safe side of both. Its upper end is the quantile q of
    the distances between resamples. Its lower end is sqrt(2 d^2 - q^2) for the distance d, or 0, since the squares of
    such errors add up. It held in about 95 % of simulations or more for shifts from 0 to 1 standard deviation and 10 to
    100 patients, where the percentile and the basic interval fail on one side or the other.

    Args:
        real: `(n, features)`, floating point; NaN where a row has no such value.
        synthetic: `(m, features)`, alike.
        patients: n labels: whose each real row is.
        rng: for permutations and resamples.
        repeats: how many of each. Defaults to 999.
        confidence: of the intervals, in (0, 1). Defaults to 0.95.

    Returns:
        The differences, in the order of the features.

    Raises:
        ValueError: other shapes, an empty sample, or infinite values.
    """
    owners = _check(real, synthetic, patients)
    columns = [
        _compare_one(_Column.of(ours, theirs, owners), rng, repeats, confidence)
        for ours, theirs in zip(real.T, synthetic.T, strict=True)
    ]
    counts = [np.count_nonzero(~np.isnan(rows), axis=0).tolist() for rows in (real, synthetic)]
    adjusted = holm(np.array([column[-1] for column in columns])).tolist()
    names = ("wasserstein", "low", "high", "chance", "ks", "p")
    return tuple(
        FeatureDifference(real_count=n, synthetic_count=m, **dict(zip(names, column, strict=True)), p_holm=p_holm)
        for n, m, column, p_holm in zip(*counts, columns, adjusted, strict=True)
    )


def energy_test(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    repeats: int = 999,
) -> Energy:
    """Tests whether two samples have one distribution, over all features at once (Szekely, Rizzo 2004).

    Features are scaled by `robust_scores`. The distances between all rows are held: 8 (n + m)^2 bytes.

    Args:
        real, synthetic, patients, rng, repeats: as for `compare`.

    Raises:
        ValueError: as for `compare`.
    """
    owners = _check(real, synthetic, patients)
    pooled = np.concatenate(robust_scores(real, synthetic))
    distances = cdist(pooled, pooled)
    units = np.concatenate([owners, owners.max() + 1 + np.arange(len(synthetic))])
    is_real = np.arange(units.max() + 1) <= owners.max()
    observed = _energy(distances, is_real[None, units])[0]
    permuted = []
    for start in range(0, repeats, _CHUNK):
        labels = [rng.permutation(is_real)[units] for _ in range(min(_CHUNK, repeats - start))]
        permuted.append(_energy(distances, np.array(labels)))
    permuted = np.concatenate(permuted)
    p = _p_value(observed, permuted)
    return Energy(distance=float(observed), chance=float(permuted.mean()), p=p, count=len(synthetic))


def robust_scores(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales features by the median and the interquartile range of the real ones, as if these were normal.

    Where the quartiles are equal, the standard deviation takes their place, and 1 where that is 0. A missing value
    becomes 0, and each feature that is missing somewhere adds a column that is 1 where it is, so that a set in which
    more values are missing differs.

    Args:
        real: `(n, features)`, floating point, NaN where missing.
        synthetic: `(m, features)`, alike.

    Returns:
        `(n, columns)` and `(m, columns)`, float64.
    """
    pooled = np.concatenate([real, synthetic]).astype(np.float64)
    scored = np.zeros_like(pooled)
    for column, scores in zip(pooled.T, scored.T, strict=True):
        known = column[: len(real)][~np.isnan(column[: len(real)])]
        if known.size:
            low, middle, high = np.percentile(known, (25, 50, 75))
            spread = high - low if high - low > _TIES * max(abs(low), abs(high)) else 0.0
            scores[:] = (column - middle) / (spread / IQR_OF_GAUSSIAN or known.std() or 1.0)
    missing = np.isnan(pooled)
    scored = np.hstack([np.where(missing, 0.0, scored), missing[:, missing.any(axis=0)]])
    return scored[: len(real)], scored[len(real) :]


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusts p values for their number by Holm's method (1979), which bounds the chance of any false alarm.

    Args:
        p: `(tests,)`, in [0, 1]; NaN is no test.

    Returns:
        `(tests,)`, in [0, 1]; NaN where it was.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted


@dataclass(frozen=True)
class _Column:
    """One feature: both samples sorted together.

    Attributes:
        gaps: `(rows - 1,)`: from each value to the next.
        units: `(rows,)`, int: what is moved as one, patients first, then the synthetic rows.
        patients: number of patients.
        unit: what a distance is measured in.
    """

    gaps: np.ndarray
    units: np.ndarray
    patients: int
    unit: float

    @classmethod
    def of(cls, real: np.ndarray, synthetic: np.ndarray, owners: np.ndarray) -> "_Column | None":
        """None where one of the samples has no value."""
        owners, real, synthetic = owners[~np.isnan(real)], real[~np.isnan(real)], synthetic[~np.isnan(synthetic)]
        if not real.size or not synthetic.size:
            return None
        names, owners = np.unique(owners, return_inverse=True)
        pooled = np.concatenate([real, synthetic]).astype(np.float64)
        units = np.concatenate([owners, len(names) + np.arange(len(synthetic))])
        order = np.argsort(pooled)
        spread = float(real.std(ddof=1)) if np.ptp(real) else 0.0
        return cls(np.diff(pooled[order]), units[order], len(names), spread)

    def distances(self, real: np.ndarray, synthetic: np.ndarray) -> tuple[float, float]:
        """W1 and the Kolmogorov-Smirnov statistic, where each unit counts so often in each sample."""
        shares = [np.cumsum(counts[self.units]) for counts in (real, synthetic)]
        apart = np.abs(shares[0] / shares[0][-1] - shares[1] / shares[1][-1])[:-1]
        return float(apart @ self.gaps), float(np.max(apart, where=self.gaps > 0, initial=0.0))


def _compare_one(
    column: _Column | None, rng: np.random.Generator, repeats: int, confidence: float
) -> tuple[float, float, float, float, float, float]:
    if column is None:
        return (np.nan,) * 6
    patients, units = column.patients, int(column.units.max()) + 1
    is_real = np.arange(units) < patients
    wasserstein, ks = column.distances(is_real, ~is_real)
    permuted = np.empty(repeats)
    resampled = np.empty(repeats)
    for i in range(repeats):
        labels = rng.permutation(is_real)
        permuted[i] = column.distances(labels, ~labels)[0]
        ours = np.bincount(rng.integers(0, patients, patients), minlength=units)
        theirs = np.bincount(rng.integers(patients, units, units - patients), minlength=units)
        resampled[i] = column.distances(ours, theirs)[0]
    high = float(np.quantile(resampled, (1 + confidence) / 2))
    low = max(0.0, 2 * wasserstein**2 - high**2) ** 0.5
    lengths = (wasserstein, low, high, float(permuted.mean()))
    return (*(_ratio(length, column.unit) for length in lengths), ks, _p_value(wasserstein, permuted))


def _energy(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`(labellings,)`: the energy distance of the rows that are True from the others."""
    ours = labels.astype(np.float64)
    theirs = 1.0 - ours
    from_ours, from_theirs = ours @ distances, theirs @ distances
    n, m = ours.sum(axis=1), theirs.sum(axis=1)
    between = (from_ours * theirs).sum(axis=1) / (n * m)
    return 2 * between - (from_ours * ours).sum(axis=1) / n**2 - (from_theirs * theirs).sum(axis=1) / m**2


def _p_value(observed: float, permuted: np.ndarray) -> float:
    """The observed labelling counts as one of the permuted ones (Phipson, Smyth 2010); rounding does not break ties."""
    return float((1 + np.count_nonzero(permuted >= observed - _TIES * abs(observed))) / (1 + len(permuted)))


def _ratio(length: float, unit: float) -> float:
    return length / unit if unit else (np.inf if length else 0.0)


def _check(real: np.ndarray, synthetic: np.ndarray, patients: Sequence[Hashable]) -> np.ndarray:
    """`(n,)`, int: the number of the patient of each real row."""
    shaped = real.ndim == synthetic.ndim == 2 and real.shape[1:] == synthetic.shape[1:] and len(patients) == len(real)
    if not shaped or not real.size or not synthetic.size or np.isinf(real).any() or np.isinf(synthetic).any():
        raise ValueError(
            "Expected finite features (n, features) and (m, features), NaN allowed, and n patients. "
            f"Received: {real.shape}, {synthetic.shape} and {len(patients)}"
        )
    return numbered(patients, len(real))
