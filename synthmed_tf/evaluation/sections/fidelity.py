"""Do the photographs show their masks: a segmenter trained on real pairs looks for the vessels in them."""

import functools
import math

import numpy as np

from synthmed_tf.evaluation import comparison, segmenters
from synthmed_tf.evaluation.cache import Arrays
from synthmed_tf.evaluation.comparison import Difference
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict, between
from synthmed_tf.metrics import segmentation

LEAST_ON_UNSEEN = 0.5
"""Mean Dice that the segmenter must reach on unseen real photographs: one that misses them cannot accuse others."""

_LIMIT = f"a mean Dice more than {LIMITS.fidelity} below that of real photographs of unseen patients"


class Found(Figures):
    """What the segmenter finds in one kind of photographs.

    Attributes:
        photographs, patients: how many; each synthetic pair counts as a patient.
        dice, cl_dice: means over photographs.
        dice_p05, dice_p50: the 5th and 50th percentile of the photographs' Dice.
    """

    photographs: int
    patients: int
    dice: float
    cl_dice: float
    dice_p05: float
    dice_p50: float


class Fidelity(Figures):
    """The section's figures; Dice and clDice are of the vessels found against each photograph's own mask.

    Attributes:
        steps, threshold: of the segmenter; the threshold is chosen on the real training patients.
        synthetic: of the set.
        unseen: of the holdout; None without one.
        train: of the pairs that the segmenter was trained on, to see how much of its skill is memory.
        mean, low, high: mean Dice of the set minus that of unseen patients, with Welch's interval of 95 percent over
            pairs and patients; NaN where there is none.
    """

    steps: int
    threshold: float
    synthetic: Found
    unseen: Found | None
    train: Found
    mean: float
    low: float
    high: float


def judge(case: Case) -> Outcome:
    """Segments the synthetic photographs and, to compare, those of unseen patients."""
    model = functools.cache(lambda: segmenters.on_real(case))
    threshold = segmenters.threshold(case, segmenters.real_arm(case), 0)
    key = segmenters.key_on_real(case) | {"threshold": threshold}

    def measured(pairs: Pairs, name: str) -> Arrays:
        return case.measured(pairs, name, key, lambda block: _found(model(), block, threshold))

    synthetic, train = measured(case.synthetic, "fidelity"), measured(case.train, "fidelity of train")
    unseen = None if case.holdout is None else measured(case.holdout, "fidelity of unseen patients")
    return assess(case, threshold, synthetic, train, unseen)


def assess(case: Case, threshold: float, synthetic: Arrays, train: Arrays, unseen: Arrays | None) -> Outcome:
    """Figures and verdict of what the segmenter found.

    The outcome's arrays `train` and `unseen` (where there is a holdout) hold the Dice of each real pair.

    Args:
        case: whose pairs they were.
        threshold: of the segmenter.
        synthetic, train, unseen: `dice` and `cl_dice` of each pair of the set, of `train` and of the holdout.
    """
    difference = None
    if unseen is not None:
        by_patient = comparison.per_patient(unseen["dice"], case.holdout.patients)
        difference = comparison.unpaired(synthetic["dice"], by_patient)
    figures = Fidelity(
        steps=case.settings.segmenter_steps,
        threshold=threshold,
        synthetic=_summary(synthetic, case.synthetic),
        unseen=None if unseen is None else _summary(unseen, case.holdout),
        train=_summary(train, case.train),
        mean=math.nan if difference is None else difference.mean,
        low=math.nan if difference is None else difference.low,
        high=math.nan if difference is None else difference.high,
    )
    arrays = {name: found["dice"] for name, found in (("train", train), ("unseen", unseen)) if found is not None}
    return Outcome(figures, (_verdict(figures, difference),), scores=synthetic, arrays=arrays)


def _found(model, block: Block, threshold: float) -> Arrays:
    found = segmenters.find(model, block) >= threshold
    rows = list(zip(block.masks, found, block.fields, strict=True))
    return {
        "dice": np.array([segmentation.f1(*row) for row in rows]),
        "cl_dice": np.array([segmentation.cl_dice(*row) for row in rows]),
    }


def _summary(found: Arrays, pairs: Pairs) -> Found:
    low, middle = np.percentile(found["dice"], [5, 50])
    return Found(
        photographs=len(pairs),
        patients=len(set(pairs.patients)),
        dice=float(found["dice"].mean()),
        cl_dice=float(found["cl_dice"].mean()),
        dice_p05=float(low),
        dice_p50=float(middle),
    )


def _verdict(figures: Fidelity, difference: Difference | None) -> Verdict:
    if difference is None:
        return _cannot_tell(
            f"The segmenter finds the masks with a mean Dice of {figures.synthetic.dice:.3f}, but there are no real "
            "photographs of patients whom it never saw to hold that against.",
            "real pairs of unseen patients (--holdout or --holdout-patients)",
        )
    if figures.unseen.dice < LEAST_ON_UNSEEN:
        return _cannot_tell(
            f"The segmenter finds the vessels of unseen real photographs with a mean Dice of only "
            f"{figures.unseen.dice:.3f} (at least {LEAST_ON_UNSEEN} is asked for), so it cannot judge others.",
            "more steps for the segmenter, or more training pairs",
            invalid=True,
        )
    state = between(difference.low, difference.high, -LIMITS.fidelity, "below")
    interval = f"95 % interval {difference.low:+.3f} to {difference.high:+.3f}"
    said = "one patient gives no interval" if math.isnan(difference.low) else interval
    return Verdict(
        question="fidelity",
        state=state,
        sentence="A segmenter trained on real pairs finds the masks in the synthetic photographs with a mean Dice of "
        f"{figures.synthetic.dice:.3f}, and in real photographs of {figures.unseen.patients} unseen patients with "
        f"{figures.unseen.dice:.3f}: a difference of {difference.mean:+.3f} ({said}).",
        limit=_LIMIT,
        needed=_needed(difference, figures.unseen.patients) if state == State.CANNOT_TELL else None,
    )


def _cannot_tell(sentence: str, needed: str, invalid: bool = False) -> Verdict:
    return Verdict(
        question="fidelity",
        state=State.CANNOT_TELL,
        sentence=sentence,
        limit=_LIMIT,
        needed=needed,
        invalid=invalid,
    )


def _needed(difference: Difference, patients: int) -> str:
    count = comparison.units_needed(abs(difference.mean + LIMITS.fidelity), difference.sd)
    if count is None:
        return "more unseen patients"
    return f"about {max(count, patients + 1)} unseen patients in all, if mean and spread stay as they are"
