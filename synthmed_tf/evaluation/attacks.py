"""What an attacker who has the set can tell about whose images the generator was trained on, and the control that
says whether such an attack means anything.

Scores come from `membership` and, where a network is at hand, from `network_attacks`; here they are judged together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from synthmed_tf.evaluation import membership
from synthmed_tf.evaluation.nearest_neighbours import Closeness, compare, copying_score
from synthmed_tf.evaluation.two_sample_tests import holm
from synthmed_tf.evaluation.verdict import LIMITS, State

LEVEL = 0.05
FAR_BELOW = -3.0
"""C_T below which a set is far too near to train: one chance in 700."""

_PERMUTATIONS = 9999
_MOST_PERMUTED = 500
_DRAWS, _MOST_COMPARED = 5, 2000
_LEAST_PERMUTATIONS = 999


def distance_scores(
    what: str, to_synthetic: np.ndarray, to_reference: np.ndarray | None
) -> Iterator[tuple[str, np.ndarray]]:
    """The attacks that need nothing but the set, by name.

    Args:
        what: kind of image, for the names.
        to_synthetic: `(n, synthetic)`: distances of the real images to the synthetic ones.
        to_reference: `(n, reference)`: to images of other eyes, by another camera; None leaves that attack out.
    """
    yield f"nearest {what}", membership.nearest_score(to_synthetic)
    yield f"{what}s nearby (Monte Carlo)", membership.monte_carlo_score(to_synthetic)
    if to_reference is not None:
        yield f"nearest {what}, calibrated", membership.calibrated_score(to_synthetic, to_reference)


@dataclass(frozen=True)
class Roc:
    """The curve of an attack over patients, from (0, 0) to (1, 1); `(k,)` each.

    Attributes:
        fpr: share of the unseen patients taken for members, rising.
        tpr: share of the train patients found then.
    """

    fpr: np.ndarray
    tpr: np.ndarray


def roc(score: np.ndarray, member: np.ndarray, patients: np.ndarray) -> Roc:
    """The ROC curve of an attack.

    Args:
        score, member, patients: as for `membership.judge`.
    """
    members, others = membership.by_patient(score, member, patients)
    limits = np.concatenate([[np.inf], np.unique(np.concatenate([members, others]))[::-1]])
    rates = ((part >= limits[:, None]).mean(axis=1) for part in (others, members))
    return Roc(*rates)


@dataclass(frozen=True)
class Nearness:
    """How near the set is to train.

    Attributes:
        closeness: at equal sizes of train and holdout.
        z: C_T; far below 0 the set copies. Of each unseen patient one image counts.
    """

    closeness: Closeness
    z: float

    @property
    def shown(self) -> bool:
        """Whether C_T is far below 0; `closeness.p` says whether unseen patients explain it."""
        return self.z < FAR_BELOW


def nearness(
    to_real: np.ndarray,
    holdout_to_train: np.ndarray,
    member: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    permutations: int,
) -> Nearness:
    """Compares the distances to train and to holdout.

    Args:
        to_real: `(n, m)`: distances of synthetic images to real ones. Of more than 2,000 some are drawn.
        holdout_to_train: `(holdout, train)`: distances among the real ones, in their order.
        member: `(m,)`, bool: which are train.
        patients: `(m,)`: whose they are.
        rng: draws.
        permutations: of the null of the share nearer to train; 999 at least, for Holm among a dozen tests.
    """
    one_each = np.unique(patients[~member], return_index=True)[1]
    held = holdout_to_train[one_each].min(axis=1)
    some = rng.permutation(len(to_real))[:_MOST_COMPARED]
    drawn = to_real[some]
    closest = drawn[:, member].min(axis=1)
    z = copying_score(closest, held, drawn[:, member].argmin(axis=1), holdout_to_train[one_each].argmin(axis=1))
    return Nearness(compare(drawn, member, patients, rng, _DRAWS, max(permutations, _LEAST_PERMUTATIONS)), z)


def judge_all(
    scores: Mapping[str, np.ndarray], member: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> dict[str, membership.Attack]:
    """Each attack over patients, by name, as `membership.judge`."""
    count = len(np.unique(patients))
    permutations = _PERMUTATIONS if count <= _MOST_PERMUTED else _PERMUTATIONS // 10
    return {
        name: membership.judge(score, member, patients, rng, permutations=permutations)
        for name, score in scores.items()
    }


def corrected(attacks: Mapping[str, membership.Attack], near: Mapping[str, Nearness]) -> dict[str, float]:
    """All p values by name, adjusted for their number (Holm 1979)."""
    p = {name: attack.p for name, attack in attacks.items()} | {name: one.closeness.p for name, one in near.items()}
    return dict(zip(p, map(float, holm(np.array(list(p.values())))), strict=True))


def leaks(
    attacks: Mapping[str, membership.Attack], near: Mapping[str, Nearness], p_holm: Mapping[str, float]
) -> list[str]:
    """What shows a leak: an attack that is better than a guess after correction, whose interval lies above one half and
    not inside the limit; or a set much nearer to train than unseen patients explain."""
    shown = [
        name
        for name, attack in attacks.items()
        if p_holm[name] < LEVEL and attack.auc_low > 0.5 and attack.auc_high > LIMITS.membership
    ]
    return shown + [name for name, one in near.items() if one.shown and p_holm[name] < LEVEL]


def state(attacks: Mapping[str, membership.Attack], leaking: list[str]) -> State:
    """FAIL where something leaks; PASS where each attack's interval lies within the limit, and so many patients would
    have shown an attack at the limit; else CANNOT TELL.

    Without the second condition one guess in ten passes at 20 and 8 patients: an AUC of 0.35 by bad luck.
    """
    if leaking:
        return State.FAIL
    passed = [
        attack.auc_high <= LIMITS.membership
        and membership.detectable_auc(attack.members, attack.others) <= LIMITS.membership
        for attack in attacks.values()
    ]
    return State.PASS if passed and all(passed) else State.CANNOT_TELL


@dataclass(frozen=True)
class Control:
    """Can train be told from holdout without the generator.

    Attributes:
        auc: of a classifier of patients that was trained on the others; about one half where they are alike.
        p: how probable so large an AUC is where train and holdout are drawn again from all patients.
    """

    auc: float
    p: float

    @property
    def fired(self) -> bool:
        """Whether the two differ by themselves, so that an attack on the generator would mean nothing."""
        return self.p <= LEVEL


def control(
    features: np.ndarray, member: np.ndarray, patients: np.ndarray, rng: np.random.Generator, permutations: int
) -> Control:
    """A ridge regression of membership on the features of real pairs, each patient left out once.

    The predictions of the patient left out need no refit: (y' - h y) / (1 - h) with the hat matrix's diagonal h, so
    that all permutations are one product. The penalty is the number of patients, features in standard deviations.

    Args:
        features: `(n, d)`, of real pairs; nothing of the generator in them.
        member, patients: `(n,)`, as for `membership.judge`.
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
    areas = np.array(
        [membership.auc(row[label > 0], row[label == 0]) for row, label in zip(predicted, labels, strict=True)]
    )
    return Control(float(areas[0]), float(np.mean(areas >= areas[0] - 1e-12)))
