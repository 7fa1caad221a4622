"""Is the set as useful as real pairs: segmenters trained on either find vessels in photographs of unseen patients."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from synthmed_tf.evaluation import comparison, segmenters, training_arms, utility
from synthmed_tf.evaluation.cache import Arrays
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.segmenters import Arm
from synthmed_tf.evaluation.training_arms import MIXED, PLAIN, REAL, REDRAWN, SHUFFLED, SYNTHETIC
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict, between

HOLDOUT, OTHER = "holdout", "other"

LEAST_ABOVE_FLOOR = 0.1
"""By how much Dice real pairs must be better than shuffled ones, else the segmenters have learnt nothing."""

_COMPARED = (
    (SYNTHETIC, REAL),
    (MIXED, REAL),
    (REDRAWN, REAL),
    (SYNTHETIC, REDRAWN),
    (PLAIN, REAL),
    (SYNTHETIC, SHUFFLED),
    (REAL, SHUFFLED),
)
_LIMIT = (
    f"a mean Dice more than {LIMITS.utility} below that of segmenters trained on real pairs, "
    "on photographs of patients whom the generator never saw"
)
_AVERAGED = ("dice", "cl_dice", "auc", "mcc")


@dataclass(frozen=True)
class Segmented:
    """What one segmenter found.

    Attributes:
        threshold: of the segmenter.
        on: `utility.image_scores` of each test set, by its name.
    """

    threshold: float
    on: dict[str, Arrays]


Scored = Mapping[str, Sequence[Segmented]]
"""The segmenters of each arm, one for each seed."""


class ArmFigures(Figures):
    """One kind of segmenter.

    Attributes:
        name: of the arm.
        meaning: what it was trained on.
        pairs: how many pairs there are of it; a segmenter sees `segmenters.MOST_PAIRS` at most.
        thresholds: one for each seed, chosen on training pairs.
    """

    name: str
    meaning: str
    pairs: int
    thresholds: tuple[float, ...]


class Result(Figures):
    """What the segmenters of an arm find in a test set, inside the field of view.

    Attributes:
        arm, test: which; the test set is `holdout` (unseen patients) or `other` (another camera).
        images, patients: of the test set.
        dice, cl_dice, auc, mcc: means over images and seeds.
        dice_sd: standard deviation of the mean Dice over seeds; NaN for one seed.
        pooled_dice: Dice of the pixels of all images together, mean over seeds.
        macro_f1: mean of the vessels' and the background's pooled F1; comparable to the paper, and no headline.
    """

    arm: str
    test: str
    images: int
    patients: int
    dice: float
    dice_sd: float
    cl_dice: float
    auc: float
    mcc: float
    pooled_dice: float
    macro_f1: float


class Compared(Figures):
    """The difference of two arms in mean Dice.

    Attributes:
        arm, reference: the first minus the second.
        test: the test set.
        unit: `patient`, or `image` for a comparison that takes two eyes of a patient for independent.
        units: how many.
        mean, low, high: of the differences, with its interval of 95 percent; NaN for one unit.
        sd: standard deviation of the units' differences; NaN for one unit.
        p: two-sided, of sign flips.
        least_p: the smallest p that so many units can give.
    """

    arm: str
    reference: str
    test: str
    unit: str
    units: int
    mean: float
    low: float
    high: float
    sd: float
    p: float
    least_p: float


class Utility(Figures):
    """The section's figures.

    Attributes:
        steps, seeds: of each segmenter, and segmenters of each arm.
        arms: what was trained.
        left_out: why, for each arm that was not.
        results: a row for each arm and test set.
        compared: a row for each two arms, test set and unit.
    """

    steps: int
    seeds: int
    arms: tuple[ArmFigures, ...]
    left_out: dict[str, str]
    results: tuple[Result, ...]
    compared: tuple[Compared, ...]


def judge(case: Case) -> Outcome:
    """Trains the arms' segmenters, or takes them from the cache, and compares what they find."""
    found, left_out = training_arms.arms_of(case)
    if not _tests(case):
        found, left_out = (), dict.fromkeys(training_arms.MEANINGS, "there are no real pairs to test segmenters on")
    scored = {arm.name: tuple(_scored(case, arm, seed) for seed in range(case.settings.seeds)) for arm in found}
    return assess(case, found, left_out, scored)


def assess(case: Case, found: Sequence[Arm], left_out: dict[str, str], scored: Scored) -> Outcome:
    """Figures and verdict of what the segmenters found.

    The outcome's array `dice` holds by test set and arm `(seeds, images)`: the Dice of each image.

    Args:
        case: whose pairs they were.
        found, left_out: as `arms.arms_of` gives them.
        scored: of each arm in `found`.
    """
    tests = _tests(case)
    figures = Utility(
        steps=case.settings.segmenter_steps,
        seeds=case.settings.seeds,
        arms=tuple(_arm_figures(arm, scored[arm.name]) for arm in found),
        left_out=left_out,
        results=tuple(_result(name, test, tests[test], scored[name]) for test in tests for name in scored),
        compared=tuple(row for test, pairs in tests.items() for row in _compared(case, test, pairs, scored)),
    )
    dice = {test: {arm: np.stack([seed.on[test]["dice"] for seed in scored[arm]]) for arm in scored} for test in tests}
    return Outcome(figures, (_verdict(case, figures.compared, figures.results),), arrays={"dice": dice})


def _tests(case: Case) -> dict[str, Pairs]:
    return {name: pairs for name, pairs in ((HOLDOUT, case.holdout), (OTHER, case.other)) if pairs is not None}


def _scored(case: Case, arm: Arm, seed: int) -> Segmented:
    threshold = segmenters.threshold(case, arm, seed)
    model = functools.cache(lambda: segmenters.kept(case, arm, seed))

    def measure(block: Block) -> Arrays:
        return utility.image_scores(block.masks, segmenters.find(model(), block), block.fields, threshold)

    key = segmenters.key(case, arm, seed) | {"threshold": threshold}
    tests = _tests(case).items()
    return Segmented(
        threshold, {name: case.measured(pairs, f"utility on {name}", key, measure) for name, pairs in tests}
    )


def _arm_figures(arm: Arm, seeds: Sequence[Segmented]) -> ArmFigures:
    return ArmFigures(
        name=arm.name,
        meaning=training_arms.MEANINGS[arm.name],
        pairs=sum(len(pairs) for pairs in arm.sets),
        thresholds=tuple(seed.threshold for seed in seeds),
    )


def _result(arm: str, test: str, pairs: Pairs, seeds: Sequence[Segmented]) -> Result:
    dice = np.array([seed.on[test]["dice"].mean() for seed in seeds])
    pooled = [utility.pooled(*(seed.on[test][name].sum() for name in utility.COUNTS)) for seed in seeds]
    return Result(
        arm=arm,
        test=test,
        images=len(pairs),
        patients=len(set(pairs.patients)),
        dice_sd=float(dice.std(ddof=1)) if len(dice) > 1 else math.nan,
        pooled_dice=float(np.mean([both[0] for both in pooled])),
        macro_f1=float(np.mean([both[1] for both in pooled])),
        **{name: float(np.mean([seed.on[test][name] for seed in seeds])) for name in _AVERAGED},
    )


def _compared(case: Case, test: str, pairs: Pairs, scored: Scored) -> list[Compared]:
    rows = []
    for arm, reference in _COMPARED:
        if arm in scored and reference in scored:
            by_image = [np.mean([seed.on[test]["dice"] for seed in scored[name]], axis=0) for name in (arm, reference)]
            by_patient = [comparison.per_patient(values, pairs.patients) for values in by_image]
            for unit, both in (("patient", by_patient), ("image", by_image)):
                found = comparison.paired(*both, case.rng(f"{arm} {reference} {test} {unit}"))
                names = {"arm": arm, "reference": reference, "test": test, "unit": unit}
                rows.append(Compared(**names, **asdict(found)))
    return rows


def _verdict(case: Case, compared: Sequence[Compared], results: Sequence[Result]) -> Verdict:
    if case.holdout is None:
        return _cannot_tell(
            "There are no pairs of patients whom the generator never saw, so nothing shows what a segmenter trained on "
            "the set is worth to them.",
            "real pairs of unseen patients (--holdout or --holdout-patients)",
        )
    by_patient = {(row.arm, row.reference): row for row in compared if row.test == HOLDOUT and row.unit == "patient"}
    floor, answer = by_patient.get((REAL, SHUFFLED)), by_patient[SYNTHETIC, REAL]
    if floor is not None and not (floor.mean >= LEAST_ABOVE_FLOOR and not floor.low <= 0):
        return _cannot_tell(
            f"Segmenters trained on real pairs are hardly better than those trained on shuffled ones ({_said(floor)} "
            "mean Dice), so a comparison with them means nothing.",
            "more steps for each segmenter, or more training pairs",
            invalid=True,
        )
    dice = {row.arm: row.dice for row in results if row.test == HOLDOUT}
    return Verdict(
        question="utility",
        state=between(answer.low, answer.high, -LIMITS.utility, "below"),
        sentence=f"On photographs of {answer.units} unseen patients a segmenter trained on the set reaches a mean Dice "
        f"of {dice[SYNTHETIC]:.3f}, one trained on real pairs {dice[REAL]:.3f}: a difference of {_said(answer)}.",
        limit=_LIMIT,
        needed=_needed(answer),
    )


def _cannot_tell(sentence: str, needed: str, invalid: bool = False) -> Verdict:
    return Verdict(
        question="utility",
        state=State.CANNOT_TELL,
        sentence=sentence,
        limit=_LIMIT,
        needed=needed,
        invalid=invalid,
    )


def _said(row: Compared) -> str:
    if math.isnan(row.low):
        return f"{row.mean:+.3f} (one patient gives no interval)"
    return f"{row.mean:+.3f} (95 % interval {row.low:+.3f} to {row.high:+.3f})"


def _needed(row: Compared) -> str | None:
    if between(row.low, row.high, -LIMITS.utility, "below") != State.CANNOT_TELL:
        return None
    count = comparison.units_needed(abs(row.mean + LIMITS.utility), row.sd)
    if count is None:
        return "more unseen patients"
    return f"about {max(count, row.units + 1)} unseen patients in all, if mean and spread stay as they are"
