"""Do the images show their masks: a segmenter trained on real pairs looks for the vessels in them."""

import functools
import math

import numpy as np

from synthmed_tf.evaluation import comparison, segmenters
from synthmed_tf.evaluation.context import Arrays, EvaluationContext, FidelityResult
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.results import Fidelity, VesselsFound
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict, between, cannot_tell
from synthmed_tf.metrics import segmentation

LEAST_ON_UNSEEN = 0.5
"""Mean Dice that the segmenter must reach on unseen real photographs before it can test others."""

_LIMIT = f"a mean Dice more than {LIMITS.fidelity} below that of real photographs of unseen patients"


def evaluate(context: EvaluationContext) -> FidelityResult:
    """Segments the synthetic images and, to compare, those of unseen patients."""
    model = functools.cache(lambda: segmenters.on_real(context))
    threshold = segmenters.threshold(context, segmenters.real_arm(context), 0)
    key = segmenters.key_on_real(context) | {"threshold": threshold}

    def measured(pairs: Pairs, name: str) -> Arrays:
        return context.measured(pairs, name, key, lambda block: _found(model(), block, threshold))

    synthetic, train = measured(context.synthetic, "fidelity"), measured(context.train, "fidelity of train")
    unseen = None if context.holdout is None else measured(context.holdout, "fidelity of unseen patients")
    return assess(context, threshold, synthetic, train, unseen)


def assess(
    context: EvaluationContext, threshold: float, synthetic: Arrays, train: Arrays, unseen: Arrays | None
) -> FidelityResult:
    """Metrics and verdict from what the segmenter found.

    Args:
        context: whose pairs they were.
        threshold: of the segmenter.
        synthetic, train, unseen: `dice` and `cl_dice` of each pair of the set, of `train` and of the holdout.
    """
    difference = None
    if unseen is not None:
        by_patient = comparison.per_patient(unseen["dice"], context.holdout.patients)
        difference = comparison.unpaired(synthetic["dice"], by_patient)
    metrics = Fidelity(
        steps=context.settings.segmenter_steps,
        threshold=threshold,
        synthetic=_summary(synthetic, context.synthetic),
        unseen=None if unseen is None else _summary(unseen, context.holdout),
        train=_summary(train, context.train),
        difference=difference,
    )
    dice = None if unseen is None else unseen["dice"]
    return FidelityResult(metrics, (answer(metrics),), scores=synthetic, unseen=dice)


def answer(metrics: Fidelity) -> Verdict:
    """The verdict that follows from the metrics."""
    difference = metrics.difference
    if difference is None:
        return cannot_tell(
            "fidelity",
            _LIMIT,
            f"The segmenter finds the masks with a mean Dice of {metrics.synthetic.dice:.3f}, but there are no real "
            "photographs of patients whom it never saw to compare that with.",
            "real pairs of unseen patients (--holdout or --holdout-patients)",
        )
    if metrics.unseen.dice < LEAST_ON_UNSEEN:
        return cannot_tell(
            "fidelity",
            _LIMIT,
            f"The segmenter finds the vessels of unseen real photographs with a mean Dice of only "
            f"{metrics.unseen.dice:.3f} (at least {LEAST_ON_UNSEEN} is required), so it cannot test others.",
            "more steps for the segmenter, or more training pairs",
            invalid=True,
        )
    state = between(difference.low, difference.high, -LIMITS.fidelity, "below")
    interval = f"95 % interval {difference.low:+.3f} to {difference.high:+.3f}"
    said = "one patient gives no interval" if math.isnan(difference.low) else interval
    return Verdict(
        question="fidelity",
        state=state,
        sentence="A segmenter trained on real pairs finds the masks in the synthetic images with a mean Dice of "
        f"{metrics.synthetic.dice:.3f}, and in real photographs of {metrics.unseen.patients} unseen patients with "
        f"{metrics.unseen.dice:.3f}: a difference of {difference.mean:+.3f} ({said}).",
        limit=_LIMIT,
        needed=comparison.patients_needed(difference, LIMITS.fidelity, metrics.unseen.patients)
        if state == State.CANNOT_TELL
        else None,
        evidence=[difference.evidence("mean Dice minus that of unseen patients")],
    )


def _found(model, block: Block, threshold: float) -> Arrays:
    found = segmenters.find(model, block) >= threshold
    rows = list(zip(block.masks, found, block.fields, strict=True))
    return {
        "dice": np.array([segmentation.f1(*row) for row in rows]),
        "cl_dice": np.array([segmentation.cl_dice(*row) for row in rows]),
    }


def _summary(found: Arrays, pairs: Pairs) -> VesselsFound:
    low, middle = np.percentile(found["dice"], [5, 50])
    return VesselsFound(
        images=len(pairs),
        patients=len(set(pairs.patients)),
        dice=float(found["dice"].mean()),
        cl_dice=float(found["cl_dice"].mean()),
        dice_p05=float(low),
        dice_p50=float(middle),
    )
