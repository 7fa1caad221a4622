"""Two sets of scores compared over the units that are independent: differences with interval and p."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import t as student

from synthmed_tf.evaluation.kid_fid import numbered
from synthmed_tf.evaluation.results import Difference

FEWEST_FOR_BOOTSTRAP = 20
"""Units below which intervals are Student's and sign flips are counted out: the percentile bootstrap covers too little
there."""

_CONFIDENCE = 0.95
_RESAMPLES = 9999
_MOST_UNITS = 10_000
_TIE = 1e-12


def per_patient(values: np.ndarray, patients: Sequence[Hashable]) -> np.ndarray:
    """Means over each patient's images, `(patients,)`, in the order in which patients first appear.

    Args:
        values: `(n,)`, floating point.
        patients: of n images.

    Raises:
        ValueError: other numbers of values and patients.
    """
    if np.shape(values) != (len(patients),):
        raise ValueError(f"Expected a patient for each value. Received: {np.shape(values)} and {len(patients)}")
    rows = numbered(patients, len(patients))
    return np.bincount(rows, weights=values) / np.bincount(rows)


def paired(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> Difference:
    """Compares two scores of the same units.

    Below 20 units the interval is Student's and p counts all sign flips (Fisher 1935), so that p is 2 / 2^n at least;
    from there on the interval is that of the percentile bootstrap, and p is of 9,999 random sign flips.

    Args:
        first, second: `(units,)`, floating point, of the same units in one order; at least one.
        rng: for resamples and signs.

    Raises:
        ValueError: other shapes.
    """
    if np.ndim(first) != 1 or not len(first) or np.shape(first) != np.shape(second):
        raise ValueError(f"Expected scores of the same units. Received: {np.shape(first)} and {np.shape(second)}")
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    units, mean = len(differences), float(differences.mean())
    if units < FEWEST_FOR_BOOTSTRAP:
        low, high = _student(mean, _error(differences), units - 1)
        p, least_p = _all_signs_p(differences), min(1.0, 2.0 / 2.0**units)
    else:
        means = differences[rng.integers(units, size=(_RESAMPLES, units))].mean(axis=1)
        low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        p, least_p = _random_signs_p(differences, rng), 1.0 / (_RESAMPLES + 1)
    interval = {"low": float(low), "high": float(high)}
    return Difference(units=units, mean=mean, **interval, sd=_sd(differences), p=p, least_p=least_p)


def unpaired(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compares the means of two groups of units by Welch's interval (Welch 1947).

    Args:
        first, second: `(n,)` and `(m,)`, floating point, at least one each.
    """
    mean, units = float(np.mean(first) - np.mean(second)), min(len(first), len(second))
    variances = np.array([_error(first), _error(second)]) ** 2
    if not variances.sum() > 0:
        freedom = units - 1.0
    else:
        freedom = variances.sum() ** 2 / np.sum(variances**2 / (np.array([len(first), len(second)]) - 1.0))
    low, high = _student(mean, float(np.sqrt(variances.sum())), freedom)
    return Difference(units=units, mean=mean, low=low, high=high, sd=_sd(second), p=math.nan, least_p=math.nan)


def units_needed(distance: float, sd: float) -> int | None:
    """With how many units an interval would no longer reach a limit, if mean and spread stayed as they are.

    Args:
        distance: from the mean to the limit, not negative.
        sd: of the units.

    Returns:
        At least 2; None where 10,000 would not do, or there is no spread to go by.
    """
    counts = np.arange(2, _MOST_UNITS + 1)
    clear = student.ppf((1 + _CONFIDENCE) / 2, counts - 1) * sd / np.sqrt(counts) <= distance
    return int(counts[np.argmax(clear)]) if clear.any() else None


def patients_needed(found: Difference, limit: float, patients: int) -> str:
    """In words, how many unseen patients would bring a verdict.

    Args:
        found: the difference, whose interval holds the limit.
        limit: how much it may lie below zero.
        patients: how many there are.
    """
    count = units_needed(abs(found.mean + limit), found.sd)
    if count is None:
        return "more unseen patients"
    return f"about {max(count, patients + 1)} unseen patients in all, if mean and spread stay as they are"


def _sd(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _error(values: np.ndarray) -> float:
    return _sd(values) / len(values) ** 0.5


def _student(mean: float, error: float, freedom: float) -> tuple[float, float]:
    half = student.ppf((1 + _CONFIDENCE) / 2, freedom) * error if freedom > 0 else math.nan
    return float(mean - half), float(mean + half)


def _all_signs_p(differences: np.ndarray) -> float:
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums - value, sums + value])
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - _TIE))


def _random_signs_p(differences: np.ndarray, rng: np.random.Generator) -> float:
    signs = rng.integers(0, 2, (_RESAMPLES, len(differences))) * 2 - 1
    reached = np.count_nonzero(np.abs(signs @ differences) >= abs(differences.sum()) - _TIE)
    return float((reached + 1) / (_RESAMPLES + 1))
