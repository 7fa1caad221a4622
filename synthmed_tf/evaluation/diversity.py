"""Whether synthetic pairs are as various as patients are: the ratio of the Vendi scores with its interval."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from synthmed_tf.evaluation.groups import numbered
from synthmed_tf.evaluation.kid_fid import IQR_OF_GAUSSIAN, checked
from synthmed_tf.evaluation.prdc import vendi_score, with_constant

_PARTS = 20
_FAR = 3.0
"""Spreads of the real set beyond which a row is as far as it can be: one figure that runs wild is no variety."""


@dataclass(frozen=True)
class Diversity:
    """The ratio of two Vendi scores, synthetic to real.

    Attributes:
        ratio: about 1 for sets of one distribution, less where the synthetic set is less various.
        low, high: its interval.
        real, synthetic: the scores, geometric means over the draws; they grow with `count` and mean little alone.
        count: rows of each set in a draw.
    """

    ratio: float
    low: float
    high: float
    real: float
    synthetic: float
    count: int


def in_real_spreads(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres each set on its own median and measures it in the spread of the real one, so that variety alone counts.

    In a common scale of both, a set that lies far away would make the real rows look alike and its own, however alike,
    various. The spread is the interquartile range as that of a Gaussian, or else the standard deviation, or 1.

    Args:
        real: `(n, d)`, floating point, finite.
        synthetic: `(m, d)`, in the same units.

    Returns:
        Both, float64, in [-3, 3].
    """
    real, synthetic = checked(real, synthetic)
    lower, upper = np.percentile(real, [25, 75], axis=0)
    deviation = np.where(np.ptp(real, axis=0) > 0, real.std(axis=0), 1.0)
    unit = np.where(upper > lower, (upper - lower) / IQR_OF_GAUSSIAN, deviation)
    return tuple(np.clip((rows - np.median(rows, axis=0)) / unit, -_FAR, _FAR) for rows in (real, synthetic))


def compare_diversity(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    draws: int = 50,
    confidence: float = 0.95,
) -> Diversity:
    """Compares how various two sets are, patient by patient.

    A draw takes one row of each patient, and as many synthetic rows: two eyes of a patient are like each other, and
    would make the real set look less various than as many synthetic rows that are drawn one by one. If there are fewer
    synthetic rows than patients, it takes as many patients.

    The interval is Student's, on a log scale. The variance of a draw is that of the jackknife, which leaves out a
    twentieth of the rows at a time, or one where there are 20 or fewer. For the mean over draws of k from m rows it
    counts k / m times, the bound of Hoeffding (1948, theorem 5.2).

    Args:
        real: `(n, d)`, from `in_real_spreads`.
        synthetic: `(m, d)`, from there.
        patients: n labels, three different ones or more: whose each real row is.
        rng: chooses the rows.
        draws: how many are averaged. Defaults to 50.
        confidence: of the interval, in (0, 1). Defaults to 0.95.

    Raises:
        ValueError: other arrays, labels of another number, or fewer than three patients or synthetic rows.
    """
    real, synthetic = checked(real, synthetic)
    owners = numbered(patients, len(real))
    total = int(owners.max(initial=-1)) + 1
    count = min(total, len(synthetic))
    if count < 3:
        raise ValueError(f"Expected three patients and synthetic rows. Received: {total} and {len(synthetic)}")
    real, synthetic = with_constant(real), with_constant(synthetic)
    ours = [_log_score(real[_one_of_each(owners, count, rng)]) for _ in range(draws)]
    theirs = [_log_score(synthetic[rng.choice(len(synthetic), count, replace=False)]) for _ in range(draws)]
    (one, one_variance), (other, other_variance) = np.mean(ours, axis=0), np.mean(theirs, axis=0)
    error = np.sqrt(one_variance * count / total + other_variance * count / len(synthetic))
    margin = stats.t.ppf((1 + confidence) / 2, min(count, _PARTS) - 1) * error
    ratios = np.exp(other - one + np.array([0, -margin, margin]))
    return Diversity(*ratios.tolist(), float(np.exp(one)), float(np.exp(other)), count)


def _one_of_each(owners: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`(count,)`: the number of one row of each of so many patients."""
    order = rng.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return rng.permutation(order[first])[:count]


def _log_score(rows: np.ndarray) -> tuple[float, float]:
    """The logarithm of the Vendi score, and its variance by the jackknife."""
    parts = np.array_split(np.arange(len(rows)), min(len(rows), _PARTS))
    left = [np.log(vendi_score(np.delete(rows, part, axis=0))) for part in parts]
    return float(np.log(vendi_score(rows))), float((len(parts) - 1) * np.var(left))
