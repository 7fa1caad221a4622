"""Does the set give a patient away: copies of real pairs, and membership of the training data.

Vessel trees are biometric, so masks count as much as images. The result is audited risk, with the patients at
hand. Differentially private training is no alternative here: at 28 images it would drown the signal (epsilon 349 at a
noise of 1, batches of 4 and 10,000 steps).
"""

from synthmed_tf.evaluation import copy_audit, membership_audit
from synthmed_tf.evaluation.context import EvaluationContext, PrivacyResult
from synthmed_tf.evaluation.privacy_results import Privacy


def evaluate(context: EvaluationContext) -> PrivacyResult:
    """Searches for copies, measures distances, and attacks.

    The score `copy_excess` of a pair is the largest of score minus threshold over the searches: 0 or more is a copy.
    """
    real = copy_audit.RealPairs.of(context)
    found = copy_audit.audit(context, real)
    members = membership_audit.audit(context, real, found)
    metrics = Privacy(
        synthetic=len(context.synthetic),
        train=len(context.train),
        holdout=len(context.holdout) if context.holdout is not None else 0,
        searches=found.searches,
        copies=found.copies,
        most_copies=copy_audit.most_copies(len(context.synthetic)),
        **dict(members.metrics),
    )
    return PrivacyResult(
        metrics,
        (found.verdict, members.verdict),
        {"copy_excess": found.excess},
        copy_scores=found.scores,
        nearest=found.nearest,
        roc=members.roc,
    )
