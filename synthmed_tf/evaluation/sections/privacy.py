"""Does the set give a patient away: copies of real pairs, and whether it can be told who was in the training.

Vessel trees are biometric, so masks count as much as photographs. What is found is audited risk, with the patients at
hand. Differentially private training is not offered in its place: at 28 images it would drown the signal (epsilon 349
at a noise of 1, batches of 4 and 10,000 steps).
"""

from synthmed_tf.evaluation import copy_audit
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.sections.privacy_copies import Copy, SearchFigures, audit, gathered
from synthmed_tf.evaluation.sections.privacy_membership import AttackFigures, ControlFigures, NearnessFigures, attack


class Privacy(Figures):
    """The section's figures.

    Attributes:
        synthetic, train, holdout: numbers of pairs.
        searches: each way of searching for copies, what it is worth, and how many it found.
        copies: every copy that was confirmed, the surest first; those of the holdout too, which should have none.
        most_copies: share of copies that so many pairs without any do not exclude, with 95 percent confidence.
        nearness: whether the set is nearer to train than to the holdout; empty without a holdout.
        attacks: each membership attack, over patients; empty without a holdout.
        left_out: attacks that were not made, with the reason.
        leaking: names of the attacks, and of the distances, that show a leak.
        detectable_auc: the least AUC that so many patients would show in four cases of five; None without a holdout.
        more_patients: unseen patients beyond those at hand that would show an AUC at the limit; None where no number
            would, since those in train are too few, and without a holdout.
        control: whether train and holdout differ by themselves; None without a holdout.
    """

    synthetic: int
    train: int
    holdout: int
    searches: list[SearchFigures]
    copies: list[Copy]
    most_copies: float
    nearness: list[NearnessFigures]
    attacks: list[AttackFigures]
    left_out: dict[str, str]
    leaking: list[str]
    detectable_auc: float | None
    more_patients: int | None
    control: ControlFigures | None


def judge(case: Case) -> Outcome:
    """Searches for copies, measures distances, and attacks.

    The score `copy_excess` of a pair is the largest of score minus threshold over the searches: 0 or more is a copy.
    Arrays: `searches` (their names), `thresholds` `(searches,)`, `stranger scores`, `disguised scores` and `synthetic
    scores` `(pairs, searches)`; `nearest`, the ten nearest pairs, each as `Copy`; and with a holdout `roc`, by attack
    `(2, k)` of FPR and TPR, and the distances `mask to train`, `mask to holdout`, `holdout mask to train`, and the same
    of photographs.
    """
    real = gathered(case)
    found = audit(case, real)
    told = attack(case, real, found)
    figures = Privacy(
        synthetic=len(case.synthetic),
        train=len(case.train),
        holdout=len(case.holdout) if case.holdout is not None else 0,
        searches=found.searches,
        copies=found.copies,
        most_copies=copy_audit.most_copies(len(case.synthetic)),
        nearness=told.nearness,
        attacks=told.attacks,
        left_out=told.left_out,
        leaking=told.leaking,
        detectable_auc=told.detectable_auc,
        more_patients=told.more_patients,
        control=told.control,
    )
    return Outcome(
        figures, (found.verdict, told.verdict), {"copy_excess": found.excess}, {**found.arrays, **told.arrays}
    )
