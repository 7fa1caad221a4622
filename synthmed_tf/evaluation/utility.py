"""Is the set as useful as real pairs: segmenters trained on either find vessels in photographs of unseen patients."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import comparison, segmenters
from synthmed_tf.evaluation.context import Arrays, EvaluationContext, UtilityResult
from synthmed_tf.evaluation.pairs import ArrayPairs, Block, Pairs, ReducedPairs
from synthmed_tf.evaluation.results import ArmDifference, ArmScore, TrainedArm, Utility
from synthmed_tf.evaluation.segmenters import MOST_PAIRS, Arm, real_arm
from synthmed_tf.evaluation.verdict import LIMITS, LeftOut, State, Verdict, between, cannot_tell
from synthmed_tf.exporting import artifact
from synthmed_tf.metrics import segmentation

REAL, SYNTHETIC, MIXED, STAGE2_ON_REAL_MASKS, PLAIN, SHUFFLED = (
    "real",
    "synthetic",
    "mixed",
    "stage2_on_real_masks",
    "real_unaugmented",
    "shuffled",
)

MEANINGS = {
    REAL: "the real training pairs (TRTR), augmented as all arms are",
    SYNTHETIC: "the synthetic set (TSTR)",
    MIXED: "real and synthetic pairs, half of each batch each",
    STAGE2_ON_REAL_MASKS: "images that Stage-II generates from the real masks, so that only they differ from TRTR",
    PLAIN: "the real training pairs without augmentation",
    SHUFFLED: "real photographs with the masks of other patients: the floor, from which nothing can be learnt",
}

HOLDOUT, OTHER = "holdout", "other"

LEAST_ABOVE_FLOOR = 0.1
"""By how much Dice real pairs must be better than shuffled ones, otherwise the segmenters have learnt nothing."""

_QUICK = (REAL, SYNTHETIC, MIXED, SHUFFLED)
_COMPARED = (
    (SYNTHETIC, REAL),
    (MIXED, REAL),
    (STAGE2_ON_REAL_MASKS, REAL),
    (SYNTHETIC, STAGE2_ON_REAL_MASKS),
    (PLAIN, REAL),
    (SYNTHETIC, SHUFFLED),
    (REAL, SHUFFLED),
)
_LIMIT = (
    f"a mean Dice more than {LIMITS.utility} below that of segmenters trained on real pairs, "
    "on photographs of patients whom the generator never saw"
)
_AVERAGED = ("dice", "cl_dice", "auc", "mcc")
_SHOWN_FOR_FIELD = 64
_AT_ONCE = 16


@dataclass(frozen=True)
class Segmented:
    """The vessels that one segmenter found.

    Attributes:
        threshold: of the segmenter.
        on: `segmentation.image_scores` of each test set, by its name.
    """

    threshold: float
    on: dict[str, Arrays]


Scored = Mapping[str, Sequence[Segmented]]
"""The segmenters of each arm, one for each seed."""


def evaluate(context: EvaluationContext) -> UtilityResult:
    """Trains the arms' segmenters, or takes them from the cache, and compares what they find."""
    found, left_out = arms_of(context)
    if not _tests(context):
        reason = "there are no real pairs to test segmenters on"
        found, left_out = (), tuple(LeftOut(name=name, reason=reason) for name in MEANINGS)
    scored = {arm.name: tuple(_scored(context, arm, seed) for seed in range(context.settings.seeds)) for arm in found}
    return assess(context, found, left_out, scored)


def assess(
    context: EvaluationContext, found: Sequence[Arm], left_out: Sequence[LeftOut], scored: Scored
) -> UtilityResult:
    """Metrics and verdict from what the segmenters found.

    Args:
        context: whose pairs they were.
        found, left_out: as `arms_of` gives them.
        scored: of each arm in `found`.
    """
    tests = _tests(context)
    metrics = Utility(
        steps=context.settings.segmenter_steps,
        seeds=context.settings.seeds,
        arms=[_trained_arm(arm, scored[arm.name]) for arm in found],
        left_out=left_out,
        results=[_score(name, test, tests[test], scored[name]) for test in tests for name in scored],
        compared=[row for test, pairs in tests.items() for row in _compared(context, test, pairs, scored)],
    )
    dice = {test: {arm: np.stack([seed.on[test]["dice"] for seed in scored[arm]]) for arm in scored} for test in tests}
    return UtilityResult(metrics, (_verdict(context, metrics.compared, metrics.results),), dice=dice)


def arms_of(context: EvaluationContext) -> tuple[tuple[Arm, ...], tuple[LeftOut, ...]]:
    """The arms that can be trained, and why each of the others is left out."""
    made = {
        REAL: lambda: real_arm(context),
        SYNTHETIC: lambda: Arm(SYNTHETIC, (context.synthetic,)),
        MIXED: lambda: Arm(MIXED, (context.train, context.synthetic)),
        PLAIN: lambda: Arm(PLAIN, (context.train,), augmented=False),
        STAGE2_ON_REAL_MASKS: lambda: Arm(STAGE2_ON_REAL_MASKS, (_stage2_on_real_masks(context),)),
        SHUFFLED: lambda: Arm(SHUFFLED, (shuffled(context.train),)),
    }
    arms, left_out = [], []
    for name, make in made.items():
        if context.settings.quick and name not in _QUICK:
            left_out.append(LeftOut(name=name, reason="not part of a quick look"))
        elif name == STAGE2_ON_REAL_MASKS and context.artifact is None:
            left_out.append(LeftOut(name=name, reason="the artifact was not given (--artifact)"))
        else:
            try:
                arms.append(make())
            except SynthMedError as error:
                left_out.append(LeftOut.failed(name, error))
    return tuple(arms), tuple(left_out)


def shuffled(pairs: Pairs) -> ArrayPairs:
    """The same photographs, each with the mask of another patient: pairs in which there is nothing to learn.

    Sorted by patient, masks move on by the largest number of images of one patient, so that none stays with its own.

    Raises:
        SynthMedError: one patient has more than half of all images.
    """
    block, order = pairs.all(), np.argsort(pairs.patients, kind="stable")
    patient = max(set(pairs.patients), key=pairs.patients.count)
    most = pairs.patients.count(patient)
    if 2 * most > len(pairs):
        raise SynthMedError(
            f"Masks cannot be exchanged between patients: {patient} has {most} of {len(pairs)} images; "
            "add images of others."
        )
    masks = np.empty_like(block.masks)
    masks[order] = np.roll(block.masks[order], most, axis=0)
    return ArrayPairs(Block(block.images, masks, block.fields), pairs.names, pairs.patients)


class Stage2OnRealMasks(Pairs):
    """Images that Stage-II generates from the real masks, in enough styles for about as many pairs as the set.

    They are generated when they are read.
    """

    def __init__(self, context: EvaluationContext):
        """Opens the artifact.

        Raises:
            SynthMedError: there is none with a SavedModel.
        """
        self._model = artifact.open_artifact(context.artifact, "savedmodel")
        train = context.train.full
        self._masks, self._seed = train.all().masks, context.settings.seed
        styles = max(1, min(len(context.synthetic), MOST_PAIRS) // len(context.train))
        places = [(style, name) for style in range(styles) for name in context.train.names]
        self.names = tuple(f"{name}/{style}" for style, name in places)
        self.patients = context.train.patients * styles
        self.size = train.size
        self.fingerprint = f"stage2 {self._model.model_sha256} {train.fingerprint} {styles} {self._seed}"
        some = self._images(range(min(len(self), _SHOWN_FOR_FIELD)))
        self._field = some.max(axis=(0, 3)) > 0

    def read(self, rows):
        images = self._images(rows)
        fields = np.broadcast_to(self._field, images.shape[:3])
        return Block(images, self._masks[np.asarray(rows, int) % len(self._masks)] & fields, fields)

    def _images(self, rows: Sequence[int]) -> np.ndarray:
        rows = np.asarray(rows, np.int64)
        masks = self._masks[rows % len(self._masks), ..., None] * np.uint8(255)
        parts = [slice(start, start + _AT_ONCE) for start in range(0, len(rows), _AT_ONCE)]
        return np.concatenate(
            [self._model.translate(masks[part], np.full_like(rows[part], self._seed), rows[part]) for part in parts]
        )


def _stage2_on_real_masks(context: EvaluationContext) -> Pairs:
    """These images at the size of the evaluation."""
    pairs, size = Stage2OnRealMasks(context), context.train.size
    return pairs if pairs.size == size else ReducedPairs(pairs, size)


def _tests(context: EvaluationContext) -> dict[str, Pairs]:
    return {name: pairs for name, pairs in ((HOLDOUT, context.holdout), (OTHER, context.other)) if pairs is not None}


def _scored(context: EvaluationContext, arm: Arm, seed: int) -> Segmented:
    threshold = segmenters.threshold(context, arm, seed)
    model = functools.cache(lambda: segmenters.trained(context, arm, seed))

    def measure(block: Block) -> Arrays:
        return segmentation.image_scores(block.masks, segmenters.find(model(), block), block.fields, threshold)

    key = segmenters.key(context, arm, seed) | {"threshold": threshold}
    tests = _tests(context).items()
    return Segmented(
        threshold, {name: context.measured(pairs, f"utility on {name}", key, measure) for name, pairs in tests}
    )


def _trained_arm(arm: Arm, seeds: Sequence[Segmented]) -> TrainedArm:
    return TrainedArm(
        name=arm.name,
        meaning=MEANINGS[arm.name],
        pairs=sum(len(pairs) for pairs in arm.sets),
        thresholds=tuple(seed.threshold for seed in seeds),
    )


def _score(arm: str, test: str, pairs: Pairs, seeds: Sequence[Segmented]) -> ArmScore:
    dice = np.array([seed.on[test]["dice"].mean() for seed in seeds])
    pooled = [segmentation.pooled(*(seed.on[test][name].sum() for name in segmentation.COUNTS)) for seed in seeds]
    return ArmScore(
        arm=arm,
        test=test,
        images=len(pairs),
        patients=len(set(pairs.patients)),
        dice_sd=float(dice.std(ddof=1)) if len(dice) > 1 else math.nan,
        pooled_dice=float(np.mean([both[0] for both in pooled])),
        macro_f1=float(np.mean([both[1] for both in pooled])),
        **{name: float(np.mean([seed.on[test][name] for seed in seeds])) for name in _AVERAGED},
    )


def _compared(context: EvaluationContext, test: str, pairs: Pairs, scored: Scored) -> list[ArmDifference]:
    rows = []
    for arm, reference in _COMPARED:
        if arm in scored and reference in scored:
            by_image = [np.mean([seed.on[test]["dice"] for seed in scored[name]], axis=0) for name in (arm, reference)]
            by_patient = [comparison.per_patient(values, pairs.patients) for values in by_image]
            for unit, both in (("patient", by_patient), ("image", by_image)):
                found = comparison.paired(*both, context.rng(f"{arm} {reference} {test} {unit}"))
                names = {"arm": arm, "reference": reference, "test": test, "unit": unit}
                rows.append(ArmDifference(**names, **found.model_dump()))
    return rows


def _verdict(context: EvaluationContext, compared: Sequence[ArmDifference], results: Sequence[ArmScore]) -> Verdict:
    if context.holdout is None:
        return cannot_tell(
            "utility",
            _LIMIT,
            "There are no pairs of patients whom the generator never saw, so nothing shows what a segmenter trained on "
            "the set is worth to them.",
            "real pairs of unseen patients (--holdout or --holdout-patients)",
        )
    by_patient = {(row.arm, row.reference): row for row in compared if row.test == HOLDOUT and row.unit == "patient"}
    floor, answer = by_patient.get((REAL, SHUFFLED)), by_patient[SYNTHETIC, REAL]
    if floor is not None and not (floor.mean >= LEAST_ABOVE_FLOOR and not floor.low <= 0):
        return cannot_tell(
            "utility",
            _LIMIT,
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
        evidence=[answer.evidence("mean Dice of the synthetic arm minus that of the real arm")],
    )


def _said(row: ArmDifference) -> str:
    if math.isnan(row.low):
        return f"{row.mean:+.3f} (one patient gives no interval)"
    return f"{row.mean:+.3f} (95 % interval {row.low:+.3f} to {row.high:+.3f})"


def _needed(row: ArmDifference) -> str | None:
    if between(row.low, row.high, -LIMITS.utility, "below") != State.CANNOT_TELL:
        return None
    return comparison.patients_needed(row, LIMITS.utility, row.units)
