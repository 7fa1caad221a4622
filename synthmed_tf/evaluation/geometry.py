"""Are the vessel trees like real ones: 15 features of each mask, one by one and all together."""

import math
from collections.abc import Sequence

import numpy as np

from synthmed_tf.evaluation import features, two_sample_tests
from synthmed_tf.evaluation.context import EvaluationContext, GeometryResult
from synthmed_tf.evaluation.results import Energy, FeatureDifference, Geometry, TreeFeature
from synthmed_tf.evaluation.verdict import LIMITS, Evidence, State, Verdict, between, worst

ALPHA = 0.05
"""A feature fails only with a p value below this, adjusted for the number of features."""

LEAST_PERMUTATIONS = 999
"""Also of a quick look: with 15 features, Holm's smallest p value is below 0.05 from 300 permutations on."""

MOST_FOR_ENERGY = 2000
"""Synthetic masks in the energy test, which holds the distances of all of them."""

HIGH_TO_CHANCE = 3.5
"""The upper end of the interval over the distance by chance, for the largest of 15 features without any difference."""

PLAIN = {
    "density": "vessel density",
    "calibre_mean": "mean calibre",
    "calibre_p10": "calibre of the thinnest vessels",
    "calibre_p90": "calibre of the widest vessels",
    "tortuosity_mean": "mean tortuosity",
    "tortuosity_median": "median tortuosity",
    "curvature": "curvature",
    "fractal_dimension": "fractal dimension",
    "angle_mean": "mean branching angle",
    "angle_sd": "spread of the branching angles",
    "endpoints": "vessel ends",
    "junctions": "junctions",
    "components": "components (separate pieces)",
    "largest_share": "share of the largest component",
    "loops": "loops",
}
"""The features in words, in order."""

OF_ANY = {
    "density": "density",
    "calibre_mean": "mean width",
    "calibre_p10": "width of the thinnest parts",
    "calibre_p90": "width of the widest parts",
    "components": "components (separate pieces)",
    "largest_share": "share of the largest component",
    "loops": "holes",
}
"""The same of masks of other structures than vessels (`features.OF_ANY`)."""

_LIMIT = (
    "a feature whose distance from the real ones is above {} standard deviations of these, with its whole interval, at "
    "p < {} adjusted for {} features"
)
LEAST_UNUSUAL = 3.0
"""Standard deviations from the median that are not yet unusual, however alike a few real masks are."""

_DETAILED = 5


def evaluate(context: EvaluationContext) -> GeometryResult:
    """Measures all masks and compares the synthetic with the real ones that the generator was trained on.

    Measuring takes some 0.15 s a mask and core, regardless of its size (1,000 masks: 150 s of one core); the tests take
    seconds in addition. The score `atypicality` of a pair is that of its most unusual feature, `most_unusual`: 1 is as
    unusual as the most atypical real mask.
    """
    real, synthetic = features.trees(context, context.train), features.trees(context, context.synthetic)
    holdout = features.trees(context, context.holdout) if context.holdout is not None else None
    metrics = compare(context, real, synthetic, holdout)
    unusual = atypicality(real, synthetic)
    names = np.array(list(_words(context)))
    scores = {"atypicality": unusual.max(axis=1), "most_unusual": names[unusual.argmax(axis=1)]}
    return GeometryResult(metrics, (answer(metrics),), scores, real=real, synthetic=synthetic)


def compare(
    context: EvaluationContext, real: np.ndarray, synthetic: np.ndarray, holdout: np.ndarray | None
) -> Geometry:
    """The metrics of measured masks.

    Args:
        context: whose settings, random numbers and patients are used.
        real, synthetic, holdout: `(masks, features)`, from `features.trees`; the holdout may be None.
    """
    patients, repeats = context.train.patients, max(context.settings.permutations, LEAST_PERMUTATIONS)
    found = two_sample_tests.compare(real, synthetic, patients, context.rng("geometry"), repeats)
    of_holdout, energy_holdout, atypical_holdout = [math.nan] * len(found), None, math.nan
    if holdout is not None:
        rng = context.rng("geometry holdout")
        of_holdout = [one.wasserstein for one in two_sample_tests.compare(real, holdout, patients, rng, 1)]
        energy_holdout = _energy(context, real, holdout, "energy holdout")
        atypical_holdout = _atypical(real, holdout)
    return Geometry(
        real_masks=len(real),
        real_patients=len(set(patients)),
        synthetic_masks=len(synthetic),
        features=_features(_words(context), real, synthetic, found, of_holdout),
        energy=_energy(context, real, synthetic, "energy"),
        energy_holdout=energy_holdout,
        atypical=_atypical(real, synthetic),
        atypical_holdout=atypical_holdout,
    )


def atypicality(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """How unusual each feature of each synthetic row is, in units of the most atypical real row.

    The distance of a feature from the real median is divided by the largest that a real row has, or by three standard
    deviations of the real rows if that is more, or by three if all real rows are alike. Each feature has its own unit:
    otherwise one real mask that is very unusual in one of them would excuse all synthetic masks in all.

    Args:
        real: `(n, features)`, floating point, NaN where missing.
        synthetic: `(m, features)`, alike.

    Returns:
        `(m, features)`, 0 or more, 0 where missing: 1 is as unusual as the most atypical real row. The largest of a
        row's features says how unusual the row is.
    """
    scores = np.zeros(synthetic.shape)
    for column, others, score in zip(real.T, synthetic.T, scores.T, strict=True):
        known = column[~np.isnan(column)]
        if known.size:
            middle, spread = np.median(known), known.std() if np.ptp(known) else 1.0
            unit = max(np.abs(known - middle).max(), LEAST_UNUSUAL * spread)
            score[:] = np.nan_to_num(np.abs(others - middle) / unit)
    return scores


def answer(metrics: Geometry) -> Verdict:
    """The verdict that follows from the metrics."""
    state = worst(feature.state for feature in metrics.features)
    together = f" All features together: p = {metrics.energy.p:.3f}."
    largest = max(metrics.features, key=lambda feature: np.nan_to_num(feature.high, nan=math.inf))
    of_state, needed = _of_state(metrics, state), None
    what = "vessel trees" if len(metrics.features) == len(PLAIN) else "masks"
    if state is State.FAIL:
        sentence = f"The {what} differ from real ones in {_listed(of_state)}."
    elif state is State.PASS:
        of_state = [largest]
        sentence = f"All {len(metrics.features)} features of the {what} are like real ones; the furthest is "
        sentence += f"{_described(largest)}."
    else:
        needed = _needed(metrics, largest)
        sentence = f"No feature is shown to differ, but {len(of_state)} of {len(metrics.features)} may: "
        sentence += f"{_listed(of_state)}."
    return Verdict(
        question="geometry",
        state=state,
        sentence=sentence + together,
        limit=_LIMIT.format(LIMITS.geometry, ALPHA, len(metrics.features)),
        needed=needed,
        evidence=[_evidence(feature) for feature in of_state],
    )


def _words(context: EvaluationContext) -> dict[str, str]:
    return PLAIN if context.kind.structures == "vessels" else OF_ANY


def _evidence(feature: TreeFeature) -> Evidence:
    name = f"distance of the {feature.words}, standard deviations"
    return Evidence(name=name, value=feature.wasserstein, low=feature.low, high=feature.high)


def _features(
    words: dict[str, str],
    real: np.ndarray,
    synthetic: np.ndarray,
    found: Sequence[FeatureDifference],
    holdout: Sequence[float],
) -> list[TreeFeature]:
    columns = zip(words.items(), real.T, synthetic.T, found, holdout, strict=True)
    rows = []
    for (name, plain), ours, theirs, difference, of_holdout in columns:
        ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
        state = between(difference.low, difference.high, LIMITS.geometry, "above")
        if state is State.FAIL and not difference.p_holm < ALPHA:
            state = State.CANNOT_TELL
        rows.append(
            TreeFeature(
                name=name,
                words=plain,
                real_mean=float(ours.mean()) if ours.size else math.nan,
                real_sd=float(ours.std(ddof=1)) if ours.size > 1 else math.nan,
                synthetic_mean=float(theirs.mean()) if theirs.size else math.nan,
                holdout=of_holdout,
                state=state,
                **difference.model_dump(),
            )
        )
    return rows


def _atypical(real: np.ndarray, others: np.ndarray) -> float:
    """The share of the others that are more unusual than the most atypical real row."""
    return float(np.mean(atypicality(real, others).max(axis=1) > 1))


def _energy(context: EvaluationContext, real: np.ndarray, others: np.ndarray, purpose: str) -> Energy:
    rng = context.rng(purpose)
    some = others[rng.choice(len(others), min(len(others), MOST_FOR_ENERGY), replace=False)]
    return two_sample_tests.energy_test(real, some, context.train.patients, rng, context.settings.permutations)


def _of_state(metrics: Geometry, state: State) -> list[TreeFeature]:
    """The furthest first."""
    chosen = (feature for feature in metrics.features if feature.state is state)
    return sorted(chosen, key=lambda feature: (-np.nan_to_num(feature.low), -np.nan_to_num(feature.wasserstein)))


def _listed(found: list[TreeFeature]) -> str:
    """The first few with their values, the others by name."""
    first = "; ".join(_described(feature) for feature in found[:_DETAILED])
    others = ", ".join(feature.words for feature in found[_DETAILED:])
    return f"{first}; and {others}" if others else first


def _described(feature: TreeFeature) -> str:
    if math.isnan(feature.wasserstein):
        return f"{feature.words} (not measurable: {feature.real_count} real, {feature.synthetic_count} synthetic masks)"
    return (
        f"{feature.words} (mean {feature.real_mean:.3g} in real, {feature.synthetic_mean:.3g} in synthetic masks; "
        f"{feature.wasserstein:.2f} SD apart, {feature.low:.2f} to {feature.high:.2f})"
    )


def _needed(metrics: Geometry, largest: TreeFeature) -> str:
    """How many would show it: sampling errors shrink with the root of the numbers.

    A feature with rare outliers needs more than the median feature, but how many more is not known from few masks.
    """
    if not math.isfinite(largest.high):
        return f"More real patients: {largest.words} is the same in all real masks here, or cannot be measured."
    patients, masks = metrics.real_patients, metrics.synthetic_masks
    reach = HIGH_TO_CHANCE * np.nanmedian([feature.chance for feature in metrics.features]) / LIMITS.geometry
    count = math.ceil(2 * reach**2 / (1 / patients + 1 / masks))
    return (
        f"More real patients: here are {patients}, with {masks} synthetic masks; some {count} of each, or more, would "
        "show it if the trees are like real ones."
    )
