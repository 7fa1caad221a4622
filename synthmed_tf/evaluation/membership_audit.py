"""The audit of membership: whether an attacker can tell who was in the training data, with all attacks together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import copies, copy_candidates, features, membership, nearest_neighbours
from synthmed_tf.evaluation.context import Arrays, EvaluationContext
from synthmed_tf.evaluation.copy_audit import FLIPS, CopyAudit, RealPairs
from synthmed_tf.evaluation.privacy_results import Attack, Control, Membership, Nearness
from synthmed_tf.evaluation.two_sample_tests import robust_scores
from synthmed_tf.evaluation.verdict import LIMITS, Evidence, LeftOut, State, Verdict

VERSION = 2
_LIMIT = (
    "an attack that is better than a guess, corrected for the number of attacks; to pass, no AUC may be above "
    f"{LIMITS.membership}, with its whole interval"
)


@dataclass(frozen=True)
class MembershipAudit:
    """The result of the attacks, the verdict, and the ROC curves."""

    verdict: Verdict
    metrics: Membership = Membership()
    roc: Arrays = field(default_factory=dict)


def audit(context: EvaluationContext, real: RealPairs, found: CopyAudit) -> MembershipAudit:
    """Makes all attacks that the context allows; the search for copies gives the distances between masks."""
    if context.holdout is None:
        return MembershipAudit(without_holdout(len(set(context.train.patients))))
    appearance = _Appearance(context, real)
    distances = {"mask": _away(found.similarity), "image": appearance.to_real}
    among = {"mask": _away(found.among_real), "image": appearance.among_real}
    who, permutations = (real.member, real.patients), context.settings.permutations
    between = np.ix_(~real.member, real.member)
    near = [
        membership.nearness(what, to_real, among[what][between], *who, context.rng(f"nearness {what}"), permutations)
        for what, to_real in distances.items()
    ]
    left_out: list[LeftOut] = []
    scores: Arrays = {}
    references = _references(context, real, appearance, left_out)
    for what, to_real in distances.items():
        scores |= dict(membership.distance_scores(what, to_real.T, references.get(what)))
    scores |= _network_scores(context, left_out)
    made = membership.attack_all(scores, *who, context.rng("attacks"))
    control = membership.control(appearance.control_features, *who, context.rng("control"), permutations)
    attacks, near = membership.adjusted(made, near)
    one = attacks[0]
    metrics = Membership(
        nearness=near,
        attacks=attacks,
        left_out=tuple(left_out),
        leaking=membership.leaks(attacks, near),
        detectable_auc=membership.detectable_auc(one.members, one.others),
        more_patients=membership.more_others(LIMITS.membership, one.members, one.others),
        control=control,
    )
    roc = {name: membership.roc(score, *who) for name, score in scores.items()}
    return MembershipAudit(answer(attacks, near, control), metrics, roc)


def answer(attacks: Sequence[Attack], near: Sequence[Nearness], control: Control) -> Verdict:
    """The verdict on membership.

    Args:
        attacks: one at least, with p adjusted for their number.
        near: distances, likewise.
        control: whether train and holdout differ by themselves; then nothing else counts.
    """
    best = max(attacks, key=lambda one: one.auc)
    evidence = [
        Evidence(
            name=f"AUC of the strongest attack, {best.name}", value=best.auc, low=best.auc_low, high=best.auc_high
        ),
        Evidence(name="AUC of the control", value=control.auc),
    ]
    found = (
        f"Of {len(attacks)} attacks the strongest ({best.name}) reaches an AUC of {best.auc:.2f} (95 % interval "
        f"{best.auc_low:.2f} to {best.auc_high:.2f}; a guess has 0.50)"
    )
    leaking = membership.leaks(attacks, near)
    state, needed = membership.state(attacks, leaking), None
    if control.fired:
        state = State.CANNOT_TELL
        sentence = (
            "The test means nothing: train and holdout can be told apart without the generator (AUC "
            f"{control.auc:.2f}, p = {control.p:.3f}), so an attack may find that difference rather than members."
        )
        needed = "unseen patients who were photographed and labelled as those of the training"
    elif state is State.FAIL:
        reasons = "; ".join(_reason(one) for one in (*attacks, *near) if _name(one) in leaking)
        sentence = f"An attacker can tell who was in the training data: {reasons}."
    elif state is State.PASS:
        sentence = f"{found}; none is above the limit."
    else:
        sentence = f"{found}; with {best.members} patients in train and {best.others} unseen ones that neither shows "
        sentence += "nor excludes a leak."
        needed = _power(best.members, best.others)
    return Verdict(
        question="membership",
        state=state,
        sentence=sentence,
        limit=_LIMIT,
        needed=needed,
        invalid=control.fired,
        evidence=evidence,
    )


def without_holdout(members: int) -> Verdict:
    """That nothing can be said, and how many unseen patients would do, with so many patients in train."""
    more = membership.more_others(LIMITS.membership, members, 1)
    if more is None:
        least = membership.detectable_auc(members, members)
        wanted = f"as many as in train ({members}) would show a leak with an AUC of {least:.2f} or more"
    else:
        wanted = f"about {more + 1:,} would show a leak with an AUC of {LIMITS.membership}"
    return Verdict(
        question="membership",
        state=State.CANNOT_TELL,
        sentence="There are no real pairs of patients whom the generator never saw, so nothing can be compared.",
        limit=_LIMIT,
        needed=f"pairs of unseen patients (--holdout or --holdout-patients); {wanted}",
    )


class _Appearance:
    """Distances between images by their features, and features of the real pairs for the control.

    Attributes:
        to_real: `(n, m)`: of the synthetic images to the real ones, features in common units.
        among_real: `(m, m)`: of the real ones.
        to_other: `(m, o)`: of the real ones to those of the other camera; None where there are none.
        control_features: `(m, 29)`: of the real photographs, and the share of vessel in the field of view.
    """

    def __init__(self, context: EvaluationContext, real: RealPairs):
        synthetic = features.images(context, context.synthetic)
        ours = np.concatenate([features.images(context, pairs) for pairs in (context.train, context.holdout)])
        scaled, theirs = robust_scores(ours, synthetic)
        self.to_real = nearest_neighbours.vector_distances(theirs, scaled)
        self.among_real = nearest_neighbours.vector_distances(scaled, scaled)
        self.to_other = None
        if context.other is not None:
            self.to_other = nearest_neighbours.vector_distances(
                *robust_scores(ours, features.images(context, context.other))
            )
        vessels = real.block.masks.sum(axis=(1, 2)) / real.block.fields.sum(axis=(1, 2))
        self.control_features = np.column_stack([ours, vessels])


def _away(similarity: np.ndarray) -> np.ndarray:
    """Distances between masks: 1 less their correlation where they lie on each other best."""
    return np.clip(1.0 - similarity.astype(np.float64), 0, None)


def _references(
    context: EvaluationContext, real: RealPairs, appearance: _Appearance, left_out: list[LeftOut]
) -> dict[str, np.ndarray]:
    """Distances of the real pairs to those of the other camera, which the calibrated attacks need."""
    if context.other is None:
        left_out.append(
            LeftOut(name="calibrated attacks", reason="no real pairs of another camera were given (--other)")
        )
        return {}
    key = {"version": VERSION, "sets": [pairs.fingerprint for pairs in (context.train, context.holdout, context.other)]}

    def compute() -> Arrays:
        others = copies.Gallery(context.other.all().masks, FLIPS)
        return {"similarity": copy_candidates.similarity(real.block.masks, others.poses)[0][0]}

    return {
        "mask": _away(context.cache.arrays("similarity to the other camera", key, compute)["similarity"]),
        "image": appearance.to_other,
    }


def _network_scores(context: EvaluationContext, left_out: list[LeftOut]) -> dict[str, np.ndarray]:
    """Attacks by the generator's networks, as far as these are at hand."""
    from synthmed_tf.evaluation import network_attacks

    made: dict[str, Callable[[], np.ndarray]] = {}
    block = RealPairs.at_full_size(context).block
    if context.run is None:
        names = (*membership.DISCRIMINATORS.values(), membership.VELOCITIES)
        left_out.extend(LeftOut(name=name, reason="the run was not given (--run)") for name in names)
    else:
        for stage, name in membership.DISCRIMINATORS.items():
            made[name] = lambda stage=stage: network_attacks.logits(context.run, stage, block)
        made[membership.VELOCITIES] = lambda: network_attacks.velocities(context.run, block, context.settings.seed)
    if context.artifact is None:
        left_out.append(LeftOut(name=membership.RECONSTRUCTION, reason="the artifact was not given (--artifact)"))
    else:
        made[membership.RECONSTRUCTION] = lambda: network_attacks.reconstruction(
            context.artifact, block, context.settings.seed
        )
    scores = {}
    for name, compute in made.items():
        try:
            scores[name] = compute()
        except SynthMedError as error:
            left_out.append(LeftOut.failed(name, error))
    return scores


def _name(one: Attack | Nearness) -> str:
    return one.name if isinstance(one, Attack) else one.what


def _reason(one: Attack | Nearness) -> str:
    if isinstance(one, Attack):
        interval = f"{one.auc_low:.2f} to {one.auc_high:.2f}"
        return f"{one.name} has an AUC of {one.auc:.2f} ({interval}; p = {one.p_holm:.4f})"
    return (
        f"{one.what}s are nearer to train than those of unseen patients (C_T = {one.z:.1f}; {one.share:.0%} nearer to "
        f"train at equal sizes, p = {one.p_holm:.4f})"
    )


def _power(members: int, others: int) -> str:
    detectable = membership.detectable_auc(members, others)
    more = membership.more_others(LIMITS.membership, members, others)
    seen = f"{others} unseen patients: a leak below an AUC of {detectable:.2f} would usually be missed; "
    if more is None:
        return seen + (
            f"to show one of {LIMITS.membership}, no number of unseen patients is enough with {members} in train."
        )
    if more == 0:
        return seen + f"they are enough to show a leak of {LIMITS.membership}, but not to exclude every one."
    return seen + f"about {more:,} more are needed to show one of {LIMITS.membership}."
