"""Can an attacker tell whose images a generator was trained on: attacks, their AUC, and the power of few patients.

The unit is the patient, not the image, since two eyes of one patient are not independent. The score of a patient is the
mean over the images. A control says whether such attacks mean anything.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, rankdata

from synthmed_tf.evaluation.nearest_neighbours import compare, copying_score
from synthmed_tf.evaluation.privacy_results import Attack, Control, Nearness
from synthmed_tf.evaluation.two_sample_tests import holm
from synthmed_tf.evaluation.verdict import LIMITS, State
from synthmed_tf.metrics import segmentation

DISCRIMINATORS = {"stage1": "discriminator of Stage-I", "stage2": "discriminator of Stage-II"}
RECONSTRUCTION = "reconstruction by Stage-II"
VELOCITIES = "velocities of Stage-II"
"""Attacks that need weights: the reconstruction those of an artifact, the others those in a run."""

LEVEL = 0.05
FAR_BELOW = -3.0
"""C_T below which a set is far too near to train: one chance in 700."""

_MOST_PATIENTS = 10**7
_EDGE = 1e-9
_PERMUTATIONS = 9999
_MOST_PERMUTED = 500
_SUBSAMPLES, _MOST_COMPARED = 5, 2000
_LEAST_PERMUTATIONS = 999


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


def attack(
    name: str,
    score: np.ndarray,
    member: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    fpr: float = 0.01,
    confidence: float = 0.95,
    permutations: int = 9999,
) -> Attack:
    """AUC, p and the true positive rate at a low false positive rate of an attack, over patients.

    The synthetic set stays fixed; only membership is permuted. The intervals of the rates are those of Clopper and
    Pearson at the threshold that was chosen; with 8 other patients a false positive rate of 0 may be as much as 0.37.

    Args:
        name: of the attack.
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
    low, high = auc_interval(area, len(members), len(others), confidence)
    return Attack(
        name=name,
        members=len(members),
        others=len(others),
        auc=area,
        auc_low=low,
        auc_high=high,
        p=permuted_p(members, others, rng, permutations),
        **_rate("fpr", others > threshold, confidence),
        **_rate("tpr", members > threshold, confidence),
    )


def attack_all(
    scores: Mapping[str, np.ndarray], member: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> list[Attack]:
    """Each attack over patients, as `attack`; with many patients fewer permutations suffice."""
    count = len(np.unique(patients))
    permutations = _PERMUTATIONS if count <= _MOST_PERMUTED else _PERMUTATIONS // 10
    return [attack(name, score, member, patients, rng, permutations=permutations) for name, score in scores.items()]


def by_patient(score: np.ndarray, member: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean score of each patient: of the members, and of the others.

    Args:
        score, member, patients: as for `attack`, which raises the same.
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
    """How probably a member scores above another, equal scores by half: `segmentation.auc` of two samples."""
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
    """The one-sided p value of the AUC, by permutation of membership.

    Args:
        members, others: the scores of either kind, one of a patient.
        rng: permutes.
        permutations: 1 or more.

    Returns:
        (1 + as many as reach it) / (1 + permutations), which is never 0.
    """
    ranks = rankdata(np.concatenate([members, others]))
    observed = ranks[: len(members)].sum()
    permuted = np.array([rng.permutation(ranks)[: len(members)].sum() for _ in range(permutations)])
    return float((1 + np.count_nonzero(permuted >= observed - 1e-9)) / (1 + permutations))


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


def distance_scores(
    what: str, to_synthetic: np.ndarray, to_reference: np.ndarray | None
) -> Iterator[tuple[str, np.ndarray]]:
    """The attacks that need nothing but the set, by name.

    Args:
        what: kind of image, for the names.
        to_synthetic: `(n, synthetic)`: distances of the real images to the synthetic ones.
        to_reference: `(n, reference)`: to images of other eyes, by another camera; None leaves that attack out.
    """
    yield f"nearest {what}", nearest_score(to_synthetic)
    yield f"{what}s nearby (Monte Carlo)", monte_carlo_score(to_synthetic)
    if to_reference is not None:
        yield f"nearest {what}, calibrated", calibrated_score(to_synthetic, to_reference)


def roc(score: np.ndarray, member: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The ROC curve of an attack over patients, from (0, 0) to (1, 1).

    Args:
        score, member, patients: as for `attack`.

    Returns:
        `(2, k)`: the share of the unseen patients taken for members, rising; and that of the train patients found then.
    """
    members, others = by_patient(score, member, patients)
    limits = np.concatenate([[np.inf], np.unique(np.concatenate([members, others]))[::-1]])
    return np.stack([(part >= limits[:, None]).mean(axis=1) for part in (others, members)])


def nearness(
    what: str,
    to_real: np.ndarray,
    holdout_to_train: np.ndarray,
    member: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    permutations: int,
) -> Nearness:
    """Compares the distances to train and to holdout.

    Args:
        what: kind of image, `mask` or `image`.
        to_real: `(n, m)`: distances of synthetic images to real ones. Of more than 2,000 some are chosen.
        holdout_to_train: `(holdout, train)`: distances among the real ones, in their order.
        member: `(m,)`, bool: which are train.
        patients: `(m,)`: whose they are.
        rng: chooses them, and subsamples.
        permutations: of the null of the share nearer to train; 999 at least, for Holm among a dozen tests.
    """
    one_each = np.unique(patients[~member], return_index=True)[1]
    held = holdout_to_train[one_each].min(axis=1)
    some = to_real[rng.permutation(len(to_real))[:_MOST_COMPARED]]
    closest = some[:, member].min(axis=1)
    z = copying_score(closest, held, some[:, member].argmin(axis=1), holdout_to_train[one_each].argmin(axis=1))
    closeness = compare(some, member, patients, rng, _SUBSAMPLES, max(permutations, _LEAST_PERMUTATIONS))
    return Nearness(what=what, z=z, **closeness.model_dump())


def adjusted(attacks: Sequence[Attack], near: Sequence[Nearness]) -> tuple[tuple[Attack, ...], tuple[Nearness, ...]]:
    """Both with `p_holm`: the p values adjusted for their number (Holm 1979)."""
    found = [*attacks, *near]
    p_holm = holm(np.array([one.p for one in found])).tolist()
    made = [one.model_copy(update={"p_holm": p}) for one, p in zip(found, p_holm, strict=True)]
    return tuple(made[: len(attacks)]), tuple(made[len(attacks) :])


def leaks(attacks: Sequence[Attack], near: Sequence[Nearness]) -> tuple[str, ...]:
    """What shows a leak, of what `adjusted` returned.

    An attack does that is better than a guess after correction, and whose interval lies above one half and not inside
    the limit; and so does a set much nearer to train than unseen patients explain.
    """
    shown = [
        one.name for one in attacks if one.p_holm < LEVEL and one.auc_low > 0.5 and one.auc_high > LIMITS.membership
    ]
    return (*shown, *(one.what for one in near if one.z < FAR_BELOW and one.p_holm < LEVEL))


def state(attacks: Sequence[Attack], leaking: Sequence[str]) -> State:
    """FAIL where something leaks; PASS where each attack's interval lies within the limit, and so many patients would
    have shown an attack at the limit; else CANNOT TELL.

    Without the second condition one guess in ten passes at 20 and 8 patients: an AUC of 0.35 by bad luck.
    """
    if leaking:
        return State.FAIL
    passed = [
        one.auc_high <= LIMITS.membership and detectable_auc(one.members, one.others) <= LIMITS.membership
        for one in attacks
    ]
    return State.PASS if passed and all(passed) else State.CANNOT_TELL


def control(
    features: np.ndarray, member: np.ndarray, patients: np.ndarray, rng: np.random.Generator, permutations: int
) -> Control:
    """A ridge regression of membership on the features of real pairs, each patient left out once.

    The predictions of the patient left out need no refit: (y' - h y) / (1 - h) with the hat matrix's diagonal h, so
    that all permutations are one product. The penalty is the number of patients, features in standard deviations.

    Args:
        features: `(n, d)`, of real pairs; nothing of the generator in them.
        member, patients: `(n,)`, as for `attack`.
        rng: permutes patients.
        permutations: 1 or more.
    """
    names, owner = np.unique(patients, return_inverse=True)
    means = np.stack([features[owner == number].mean(axis=0) for number in range(len(names))])
    unit = means.std(axis=0)
    rows = (means - means.mean(axis=0)) / np.where(unit > 0, unit, 1)
    rows = rows[:, unit > 0]
    hat = rows @ np.linalg.solve(rows.T @ rows + len(rows) * np.eye(rows.shape[1]), rows.T) + 1 / len(rows)
    truth = np.bincount(owner, weights=member) > 0
    labels = np.stack([truth, *(rng.permutation(truth) for _ in range(permutations))]).astype(np.float64)
    predicted = (labels @ hat - labels * np.diag(hat)) / (1 - np.diag(hat))
    areas = np.array([auc(row[label > 0], row[label == 0]) for row, label in zip(predicted, labels, strict=True)])
    p = float(np.mean(areas >= areas[0] - 1e-12))
    return Control(auc=float(areas[0]), p=p, fired=p <= LEVEL)


def _rate(name: str, hits: np.ndarray, confidence: float) -> dict[str, float]:
    """The share of true values with the interval of Clopper and Pearson, by its fields."""
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(confidence, "exact")
    return {name: float(np.mean(hits)), f"{name}_low": float(found.low), f"{name}_high": float(found.high)}
