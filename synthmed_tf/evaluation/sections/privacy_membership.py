"""The half of the privacy section that asks whether it can be told who was in the training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import (
    attacks,
    copies,
    copy_candidates,
    features,
    membership,
    membership_verdict,
    nearest_neighbours,
)
from synthmed_tf.evaluation.cache import Arrays
from synthmed_tf.evaluation.context import Case, Figures
from synthmed_tf.evaluation.copy_audit import FLIPS
from synthmed_tf.evaluation.sections.privacy_copies import Audit, Real
from synthmed_tf.evaluation.two_sample_tests import robust_scores
from synthmed_tf.evaluation.verdict import LIMITS, Verdict

VERSION = 1


class NearnessFigures(Figures):
    """Whether the set is nearer to train than to the holdout; the figures of `evaluation.closeness.Closeness` and C_T.

    Attributes:
        what: what is compared, `mask` or `photograph`.
        dcr_train, dcr_holdout: median distance from a synthetic image to the closest record.
        nndr_train, nndr_holdout: median of the ratio of the two least distances, in [0, 1].
        share: of synthetic images nearer to train than to holdout, at equal sizes; 0.5 where nothing leaks.
        null_low, null_high: the central 95 percent of the shares with train and holdout drawn again from all patients.
        p: how probable so large a share is then, one-sided.
        p_holm: p adjusted for all attacks and distances.
        z: C_T, far below 0 where the set copies.
    """

    what: str
    dcr_train: float
    dcr_holdout: float
    nndr_train: float
    nndr_holdout: float
    share: float
    null_low: float
    null_high: float
    p: float
    p_holm: float
    z: float


class AttackFigures(Figures):
    """What an attack came to, over patients; the figures of `evaluation.membership.Attack`.

    Attributes:
        name: of the attack.
        members, others: patients in train, and not.
        auc, auc_low, auc_high: area under the ROC curve with its interval, in [0, 1]; 0.5 is a guess.
        p: how probable so large an AUC is where membership is drawn again, one-sided.
        p_holm: p adjusted for all attacks and distances.
        fpr, fpr_low, fpr_high: share of the others that the attack takes for members, with its interval.
        tpr, tpr_low, tpr_high: share of the members that it finds then, with its interval.
    """

    name: str
    members: int
    others: int
    auc: float
    auc_low: float
    auc_high: float
    p: float
    p_holm: float
    fpr: float
    fpr_low: float
    fpr_high: float
    tpr: float
    tpr_low: float
    tpr_high: float


class ControlFigures(Figures):
    """Can train be told from holdout without the generator; the figures of `evaluation.attacks.Control`.

    Attributes:
        auc: of a classifier of patients that was trained on the others; about one half where they are alike.
        p: how probable so large an AUC is where train and holdout are drawn again from all patients.
        fired: whether the two differ by themselves, so that the attacks mean nothing.
    """

    auc: float
    p: float
    fired: bool


@dataclass(frozen=True)
class Membership:
    """What the attacks came to; all but the verdict as `PrivacyFigures` has it."""

    verdict: Verdict
    nearness: list[NearnessFigures] = field(default_factory=list)
    attacks: list[AttackFigures] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    leaking: list[str] = field(default_factory=list)
    detectable_auc: float | None = None
    more_patients: int | None = None
    control: ControlFigures | None = None
    arrays: Arrays = field(default_factory=dict)


def attack(case: Case, real: Real, audit: Audit) -> Membership:
    """Makes all attacks that what is at hand allows."""
    if case.holdout is None:
        return Membership(membership_verdict.without_holdout(len(set(case.train.patients))))
    looks = _Looks(case, real)
    distances = {"mask": _away(audit.likeness), "photograph": looks.to_real}
    among = {"mask": _away(audit.among_real), "photograph": looks.among_real}
    near = {
        what: attacks.nearness(
            to_real,
            among[what][np.ix_(~real.member, real.member)],
            real.member,
            real.patients,
            case.rng(f"nearness {what}"),
            case.settings.permutations,
        )
        for what, to_real in distances.items()
    }
    left_out: dict[str, str] = {}
    scores = {}
    references = _references(case, real, looks, left_out)
    for what, to_real in distances.items():
        scores |= dict(attacks.distance_scores(what, to_real.T, references.get(what)))
    scores |= _network_scores(case, real, left_out)
    judged = attacks.judge_all(scores, real.member, real.patients, case.rng("attacks"))
    control = attacks.control(
        looks.control_features, real.member, real.patients, case.rng("control"), case.settings.permutations
    )
    return _summed_up(judged, near, control, left_out, _arrays(scores, real, distances, among))


class _Looks:
    """Distances between photographs by what they look like, and between real masks by their vessels' share.

    Attributes:
        to_real: `(n, m)`: of the synthetic photographs to the real ones, features in common units.
        among_real: `(m, m)`: of the real ones.
        to_other: `(m, o)`: of the real ones to those of the other camera; None where there are none.
        control_features: `(m, 29)`: of the real photographs, and the share of vessel in the field of view.
    """

    def __init__(self, case: Case, real: Real):
        synthetic = features.photographs(case, case.synthetic)
        ours = np.concatenate([features.photographs(case, pairs) for pairs in (case.train, case.holdout)])
        scaled, drawn = robust_scores(ours, synthetic)
        self.to_real = nearest_neighbours.vector_distances(drawn, scaled)
        self.among_real = nearest_neighbours.vector_distances(scaled, scaled)
        self.to_other = None
        if case.other is not None:
            self.to_other = nearest_neighbours.vector_distances(
                *robust_scores(ours, features.photographs(case, case.other))
            )
        vessels = real.block.masks.sum(axis=(1, 2)) / real.block.fields.sum(axis=(1, 2))
        self.control_features = np.column_stack([ours, vessels])


def _away(likeness: np.ndarray) -> np.ndarray:
    """Distances between masks: 1 less their correlation where they lie on each other best."""
    return np.clip(1.0 - likeness.astype(np.float64), 0, None)


def _references(case: Case, real: Real, looks: _Looks, left_out: dict[str, str]) -> dict[str, np.ndarray]:
    """Distances of the real pairs to those of the other camera, which the calibrated attacks need."""
    if case.other is None:
        left_out["calibrated attacks"] = "no real pairs of another camera were given (--other)"
        return {}
    key = {"version": VERSION, "sets": [pairs.fingerprint for pairs in (case.train, case.holdout, case.other)]}

    def compute() -> Arrays:
        others = copies.Gallery(case.other.all().masks, FLIPS)
        return {"likeness": copy_candidates.likeness(real.block.masks, others.poses)[0][0]}

    return {
        "mask": _away(case.cache.arrays("likeness to the other camera", key, compute)["likeness"]),
        "photograph": looks.to_other,
    }


def _network_scores(case: Case, real: Real, left_out: dict[str, str]) -> dict[str, np.ndarray]:
    """Attacks by the generator's networks, as far as these are at hand."""
    from synthmed_tf.evaluation import network_attacks

    made: dict[str, Callable[[], np.ndarray]] = {}
    for stage, name in membership.DISCRIMINATORS.items():
        if case.run is None:
            left_out[name] = "the run was not given (--run)"
        else:
            made[name] = lambda stage=stage: network_attacks.logits(case.run, stage, real.block)
    if case.artifact is None:
        left_out[membership.RECONSTRUCTION] = "the artifact was not given (--artifact)"
    else:
        made[membership.RECONSTRUCTION] = lambda: network_attacks.reconstruction(
            case.artifact, real.block, case.settings.seed
        )
    scores = {}
    for name, compute in made.items():
        try:
            scores[name] = compute()
        except SynthMedError as error:
            left_out[name] = str(error)
    return scores


def _arrays(scores: Arrays, real: Real, distances: Arrays, among: Arrays) -> Arrays:
    """ROC curves by attack, and the distances to the nearest train and holdout pair."""
    arrays: dict = {"roc": {}}
    for name, score in scores.items():
        curve = attacks.roc(score, real.member, real.patients)
        arrays["roc"][name] = np.stack([curve.fpr, curve.tpr])
    for what, to_real in distances.items():
        arrays[f"{what} to train"] = to_real[:, real.member].min(axis=1)
        arrays[f"{what} to holdout"] = to_real[:, ~real.member].min(axis=1)
        arrays[f"holdout {what} to train"] = among[what][np.ix_(~real.member, real.member)].min(axis=1)
    return arrays


def _summed_up(
    judged: dict[str, membership.Attack],
    near: dict[str, attacks.Nearness],
    control: attacks.Control,
    left_out: dict[str, str],
    arrays: Arrays,
) -> Membership:
    p_holm = attacks.corrected(judged, near)
    leaking = attacks.leaks(judged, near, p_holm)
    one = next(iter(judged.values()))
    detectable = membership.detectable_auc(one.members, one.others)
    more = membership.more_others(LIMITS.membership, one.members, one.others)
    return Membership(
        membership_verdict.verdict(judged, near, p_holm, leaking, control),
        [NearnessFigures(what=name, **asdict(n.closeness), z=n.z, p_holm=p_holm[name]) for name, n in near.items()],
        [AttackFigures(name=name, **asdict(one), p_holm=p_holm[name]) for name, one in judged.items()],
        left_out,
        leaking,
        detectable,
        more,
        ControlFigures(auc=control.auc, p=control.p, fired=control.fired),
        arrays,
    )
