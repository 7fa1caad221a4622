"""What attacks and distances say about membership, in plain words."""

from collections.abc import Mapping

from synthmed_tf.evaluation import membership
from synthmed_tf.evaluation.attacks import Control, Nearness
from synthmed_tf.evaluation.attacks import state as state_of
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict

_LIMIT = (
    "an attack that is better than a guess, corrected for the number of attacks; to pass, no AUC may be above "
    f"{LIMITS.membership}, with its whole interval"
)


def verdict(
    judged: Mapping[str, membership.Attack],
    near: Mapping[str, Nearness],
    p_holm: Mapping[str, float],
    leaking: list[str],
    control: Control,
) -> Verdict:
    """What attacks and distances come to.

    Args:
        judged: attacks by name, one at least.
        near: distances by name.
        p_holm: the adjusted p of both.
        leaking: which of them show a leak, as `attacks.leaks` has it.
        control: whether train and holdout differ by themselves; then nothing else counts.
    """
    strongest = max(judged, key=lambda name: judged[name].auc)
    best = judged[strongest]
    found = (
        f"Of {len(judged)} attacks the strongest ({strongest}) reaches an AUC of {best.auc:.2f} (95 % interval "
        f"{best.auc_low:.2f} to {best.auc_high:.2f}; a guess has 0.50)"
    )
    if control.fired:
        return Verdict(
            question="membership",
            state=State.CANNOT_TELL,
            sentence="The test means nothing: train and holdout can be told apart without the generator (AUC "
            f"{control.auc:.2f}, p = {control.p:.3f}), so an attack may find that "
            "difference and no member.",
            limit=_LIMIT,
            needed="unseen patients who were photographed and labelled as those of the training",
            invalid=True,
        )
    state = state_of(judged, leaking)
    if state is State.FAIL:
        reasons = "; ".join(_reason(name, judged, near, p_holm) for name in leaking)
        return Verdict(
            question="membership",
            state=state,
            sentence=f"It can be told who was in the training: {reasons}.",
            limit=_LIMIT,
        )
    if state is State.PASS:
        return Verdict(question="membership", state=state, sentence=f"{found}; none is above the limit.", limit=_LIMIT)
    return Verdict(
        question="membership",
        state=state,
        sentence=f"{found}; with {best.members} patients in train and {best.others} unseen ones that neither shows nor "
        "excludes a leak.",
        limit=_LIMIT,
        needed=_power(best.members, best.others),
    )


def _reason(
    name: str, judged: Mapping[str, membership.Attack], near: Mapping[str, Nearness], p_holm: Mapping[str, float]
) -> str:
    if name in judged:
        one = judged[name]
        return f"{name} has an AUC of {one.auc:.2f} ({one.auc_low:.2f} to {one.auc_high:.2f}; p = {p_holm[name]:.4f})"
    one = near[name]
    return (
        f"{name}s are nearer to train than those of unseen patients (C_T = {one.z:.1f}; {one.closeness.share:.0%} "
        f"nearer to train at equal sizes, p = {p_holm[name]:.4f})"
    )


def _power(members: int, others: int) -> str:
    detectable = membership.detectable_auc(members, others)
    more = membership.more_others(LIMITS.membership, members, others)
    seen = f"{others} unseen patients: a leak below an AUC of {detectable:.2f} would usually be missed; "
    if more is None:
        return seen + (
            f"to show one of {LIMITS.membership}, no number of unseen patients is enough beside {members} in train."
        )
    if more == 0:
        return seen + f"they are enough to show a leak of {LIMITS.membership}, but not to exclude every one."
    return seen + f"about {more:,} more are needed to show one of {LIMITS.membership}."


def without_holdout(members: int) -> Verdict:
    """That nothing can be said, and how many unseen patients would do, with so many patients in train."""
    more = membership.more_others(LIMITS.membership, members, 1)
    if more is None:
        least = membership.detectable_auc(members, members)
        wanted = f"as many as in train ({members}) would show a leak of an AUC of {least:.2f} or more"
    else:
        wanted = f"about {more + 1:,} would show a leak of an AUC of {LIMITS.membership}"
    return Verdict(
        question="membership",
        state=State.CANNOT_TELL,
        sentence="There are no real pairs of patients whom the generator never saw, so nobody can be told from them.",
        limit=_LIMIT,
        needed=f"pairs of unseen patients (--holdout or --holdout-patients); {wanted}",
    )
