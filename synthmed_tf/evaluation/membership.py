"""Can an attacker tell whose image a generator was trained on: scores, their AUC, and what so few patients can show.

Patients are what is counted, not images: two eyes of one patient are not two witnesses. The score of a patient is the
mean over the images.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, rankdata

from synthmed_tf.metrics import segmentation

DISCRIMINATORS = {"stage1": "discriminator of Stage-I", "stage2": "discriminator of Stage-II"}
RECONSTRUCTION = "reconstruction by Stage-II"
"""Attacks that need weights: the first two those in a run, the last one an artifact."""

_MOST_PATIENTS = 10**7
_EDGE = 1e-9


@dataclass(frozen=True)
class Attack:
    """What an attack came to, over patients.

    Attributes:
        members, others: patients in train, and not.
        auc, auc_low, auc_high: area under the ROC curve with its interval, in [0, 1]; 0.5 is a guess.
        p: how probable so large an AUC is where membership is drawn again, one-sided, in (0, 1].
        fpr, fpr_low, fpr_high: share of the others that the attack takes for members, with its interval.
        tpr, tpr_low, tpr_high: share of the members that it finds then, with its interval.
    """

    members: int
    others: int
    auc: float
    auc_low: float
    auc_high: float
    p: float
    fpr: float
    fpr_low: float
    fpr_high: float
    tpr: float
    tpr_low: float
    tpr_high: float


def nearest_score(to_synthetic: np.ndarray) -> np.ndarray:
    """The plain attack: a real image is the more likely a member, the nearer a synthetic one comes.

    Args:
        to_synthetic: `(n, synthetic)`: distances, not negative.

    Returns:
        `(n,)`: the negative distance to the nearest one.
    """
    return -np.min(to_synthetic, axis=1)


def calibrated_score(to_synthetic: np.ndarray, to_reference: np.ndarray) -> np.ndarray:
    """The calibrated attack (Chen et al. 2020, GAN-Leaks): common images are near to anything.

    Args:
        to_synthetic: as in `nearest_score`.
        to_reference: `(n, reference)`: distances to images that have nothing to do with train or holdout.

    Returns:
        `(n,)`: how much nearer the nearest synthetic image is than the nearest reference.
    """
    return nearest_score(to_synthetic) - nearest_score(to_reference)


def monte_carlo_score(to_synthetic: np.ndarray) -> np.ndarray:
    """The Monte Carlo attack (Hilprecht et al. 2019): the share of synthetic images near a real one.

    Args:
        to_synthetic: `(n, synthetic)`: distances of all real images that are asked about, members and others.

    Returns:
        `(n,)` in [0, 1]: the share within the median, over the real images, of the distance to the nearest one.
    """
    radius = np.median(np.min(to_synthetic, axis=1))
    return np.mean(np.asarray(to_synthetic) <= radius, axis=1)


def judge(
    score: np.ndarray,
    member: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    fpr: float = 0.01,
    confidence: float = 0.95,
    permutations: int = 9999,
) -> Attack:
    """AUC, p and the true positive rate at a low false positive rate of an attack, over patients.

    The synthetic set stays fixed; only who is a member is permuted. The intervals of the rates are those of Clopper and
    Pearson at the threshold that was chosen; with 8 other patients a false positive rate of 0 may be as much as 0.37.

    Args:
        score: `(n,)`: of real images; larger is more likely a member.
        member: `(n,)`, bool: whether the generator was trained on it.
        patients: `(n,)`: whose image it is; wholly member or wholly not.
        rng: permutes.
        fpr: most that is allowed, in [0, 1).
        confidence: of the intervals, in (0, 1).
        permutations: 1 or more.

    Raises:
        ValueError: shapes differ, a score is not finite, a patient is both, or one of the two kinds is missing.
    """
    members, others = by_patient(score, member, patients)
    area = auc(members, others)
    threshold = np.sort(others)[::-1][int(fpr * len(others) + 1e-9)]
    rates = (_rate(values > threshold, confidence) for values in (others, members))
    p = permuted_p(members, others, rng, permutations)
    interval = auc_interval(area, len(members), len(others), confidence)
    return Attack(len(members), len(others), area, *interval, p, *next(rates), *next(rates))


def by_patient(score: np.ndarray, member: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean score of each patient: of the members, and of the others.

    Args:
        score, member, patients: as for `judge`, which raises the same.
    """
    score, member, patients = np.asarray(score, np.float64), np.asarray(member, bool), np.asarray(patients)
    if score.ndim != 1 or not score.shape == member.shape == patients.shape:
        received = f"{score.shape}, {member.shape} and {patients.shape}"
        raise ValueError(
            f"Expected scores, membership and patients as three vectors of one length. Received: {received}"
        )
    if not np.isfinite(score).all():
        raise ValueError("An attack needs finite scores. Received: a NaN or an infinity")
    names, owner, images = np.unique(patients, return_inverse=True, return_counts=True)
    share = np.bincount(owner, weights=member) / images
    if not np.isin(share, (0, 1)).all():
        raise ValueError(f"A patient is a member or is not. Received: {set(names[(share > 0) & (share < 1)])} as both")
    if share.min(initial=1) == share.max(initial=0):
        raise ValueError(f"An attack needs members and others. Received: {int(share.sum())} members of {len(names)}")
    means = np.bincount(owner, weights=score) / images
    return means[share == 1], means[share == 0]


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """How probably a member scores above another, equal scores by half: `scores.auc` of two samples."""
    truth = np.arange(len(members) + len(others)) < len(members)
    return segmentation.auc(truth, np.concatenate([members, others]).astype(np.float64), np.ones_like(truth))


def auc_interval(area: float, members: int, others: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of an AUC: all areas that the observed one would not refute (Newcombe 2006, method 5).

    At a handful of patients DeLong's interval and the bootstrap's are too narrow, and at an AUC of 1, where no score of
    the others reaches a member's, they have no width at all. This one takes the standard error that an area would have,
    not the observed scores', and keeps a width there.

    Args:
        area: the observed AUC, in [0, 1].
        members, others: how many of either kind, independent of each other.
        confidence: in (0, 1).
    """
    z = norm.ppf((1 + confidence) / 2)

    def excess(true: float) -> float:
        return abs(area - true) - z * np.sqrt(auc_variance(true, members, others))

    inner = min(max(area, _EDGE), 1 - _EDGE)  # at 0 and 1 themselves both terms vanish
    low = brentq(excess, 0.0, inner) if area > _EDGE else 0.0
    high = brentq(excess, inner, 1.0) if area < 1 - _EDGE else 1.0
    return low, high


def auc_variance(area: float, members: int, others: int) -> float:
    """The variance of an estimated AUC (Hanley, McNeil 1982, made symmetric by Newcombe 2006).

    At 0.5 it is (m + n + 1) / (12 m n), the exact one of the Mann-Whitney statistic without equal scores.
    """
    half = (members + others) / 2 - 1
    spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * spread / (members * others)


def permuted_p(members: np.ndarray, others: np.ndarray, rng: np.random.Generator, permutations: int = 9999) -> float:
    """How probable an AUC at least this large is where members are drawn again from all, one-sided.

    Args:
        members, others: the scores of either kind, one of a patient.
        rng: permutes.
        permutations: 1 or more.

    Returns:
        (1 + as many as reach it) / (1 + permutations), which is never 0.
    """
    ranks = rankdata(np.concatenate([members, others]))
    observed = ranks[: len(members)].sum()
    drawn = np.array([rng.permutation(ranks)[: len(members)].sum() for _ in range(permutations)])
    return float((1 + np.count_nonzero(drawn >= observed - 1e-9)) / (1 + permutations))


def detectable_auc(members: int, others: int, power: float = 0.8, level: float = 0.05) -> float:
    """The least AUC that so many patients would show.

    It solves A - 1/2 = z(1 - level) SE(1/2) + z(power) SE(A) with the normal approximation of `auc_variance`.

    Args:
        members, others: patients, 1 or more of either kind.
        power: how often it is to be found, in (0.5, 1).
        level: of the one-sided test, in (0, 0.5).

    Returns:
        In (0.5, 1]; 1 where not even a perfect attack would be found so often.
    """
    for name, count in (("members", members), ("others", others)):
        if count < 1:
            raise ValueError(f"The power needs {name} of 1 or more. Received: {name}={count}")
    need = norm.ppf(1 - level) * np.sqrt(auc_variance(0.5, members, others))

    def excess(area: float) -> float:
        return area - 0.5 - need - norm.ppf(power) * np.sqrt(auc_variance(area, members, others))

    return brentq(excess, 0.5, 1.0) if excess(1.0) > 0 else 1.0


def more_others(area: float, members: int, others: int, power: float = 0.8, level: float = 0.05) -> int | None:
    """About how many unseen patients more are needed to find a leak of this AUC, with the members as they are.

    Args:
        area: the AUC that is to be found, in (0.5, 1).
        members, others: patients at hand, 1 or more of either kind.
        power, level: as in `detectable_auc`.

    Returns:
        0 where those at hand suffice; None where no number would, since the members are too few.
    """
    if not 0.5 < area < 1:
        raise ValueError(f"The AUC must lie between 0.5 and 1. Received: area={area}")
    if detectable_auc(members, _MOST_PATIENTS, power, level) > area:
        return None
    low, high = others, _MOST_PATIENTS
    while low < high:
        middle = (low + high) // 2
        enough = detectable_auc(members, middle, power, level) <= area
        low, high = (low, middle) if enough else (middle + 1, high)
    return low - others


def _rate(hits: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The share of true values with the interval of Clopper and Pearson."""
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(confidence, "exact")
    return float(np.mean(hits)), float(found.low), float(found.high)
