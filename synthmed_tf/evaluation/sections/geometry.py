"""Are the vessel trees like real ones: 15 figures of each mask, one by one and all together."""

import math

import numpy as np

from synthmed_tf.evaluation import features, two_sample_tests
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.plausibility import atypicality
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict, between, worst

ALPHA = 0.05
"""A figure fails only with a p value below this, adjusted for the number of figures."""

LEAST_PERMUTATIONS = 999
"""Also of a quick look: with 15 figures, Holm's smallest p value is below 0.05 from 300 permutations on."""

MOST_FOR_ENERGY = 2000
"""Synthetic masks in the energy test, which holds the distances of all of them."""

HIGH_TO_CHANCE = 3.5
"""The upper end of the interval over the distance by chance, for the largest of 15 figures without any difference."""

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
"""The figures in words, in order."""

_LIMIT = (
    f"a figure whose distance from the real ones is above {LIMITS.geometry} standard deviations of these, with its "
    f"whole interval, at p < {ALPHA} adjusted for {len(PLAIN)} figures"
)
_DETAILED = 5


class Feature(Figures):
    """One figure of the trees (`evaluation.geometry.Geometry` says what each is and its unit).

    Attributes:
        name: as in `Geometry`.
        words: the same in plain words.
        real_count, synthetic_count: masks that have it.
        real_mean, real_sd, synthetic_mean: over these, in its unit.
        wasserstein: its distance (W1), in standard deviations of the real values.
        low, high: the distance's interval of 95 percent.
        chance: the distance expected without any difference.
        ks: Kolmogorov-Smirnov statistic.
        p, p_holm: of the distance, by permutation of patients, and adjusted for the number of figures.
        holdout: the holdout's distance from the real values, for comparison; NaN without a holdout.
        state: what follows for this figure.
    """

    name: str
    words: str
    real_count: int
    synthetic_count: int
    real_mean: float
    real_sd: float
    synthetic_mean: float
    wasserstein: float
    low: float
    high: float
    chance: float
    ks: float
    p: float
    p_holm: float
    holdout: float
    state: State


class Energy(Figures):
    """One test of all figures together; the figures of `evaluation.samples.EnergyTest`.

    Attributes:
        distance: the energy distance of the robust z-scores.
        chance: the distance expected without any difference.
        p: by permutation of patients.
        count: masks that it saw beside the real ones.
    """

    distance: float
    chance: float
    p: float
    count: int


class Geometry(Figures):
    """The section's figures.

    Attributes:
        real_masks, real_patients, synthetic_masks: how many were compared; the real ones are those trained on.
        features: a row for each figure.
        energy: of the synthetic masks.
        energy_holdout: of the holdout's, for comparison, or None.
        atypical: share of the synthetic masks that are more unusual than the most atypical real mask.
        atypical_holdout: share of the holdout's, NaN without one.
    """

    real_masks: int
    real_patients: int
    synthetic_masks: int
    features: tuple[Feature, ...]
    energy: Energy
    energy_holdout: Energy | None
    atypical: float
    atypical_holdout: float


def judge(case: Case) -> Outcome:
    """Measures all masks and compares the synthetic with the real ones that the generator was trained on.

    Measuring costs some 0.15 s a mask and core, whatever its size (1,000 masks: 150 s of one core); the tests take
    seconds beside it. The score `atypicality` of a pair is that of its most unusual figure: 1 is as unusual as the most
    atypical real mask. The arrays are `real`, `(r, 15)`, and `synthetic`, `(n, 15)`, NaN where missing, with `names`.
    """
    real, synthetic = features.trees(case, case.train), features.trees(case, case.synthetic)
    holdout = features.trees(case, case.holdout) if case.holdout is not None else None
    figures, unusual = compare(case, real, synthetic, holdout)
    arrays = {"real": real, "synthetic": synthetic, "names": features.TREE}
    return Outcome(figures, (answer(figures),), {"atypicality": unusual}, arrays)


def compare(
    case: Case, real: np.ndarray, synthetic: np.ndarray, holdout: np.ndarray | None
) -> tuple[Geometry, np.ndarray]:
    """The figures of measured masks, and how unusual each synthetic one is.

    Args:
        case: whose settings, random numbers and patients are used.
        real, synthetic, holdout: `(masks, 15)`, from `features.trees`; the holdout may be None.
    """
    patients, repeats = case.train.patients, max(case.settings.permutations, LEAST_PERMUTATIONS)
    found = two_sample_tests.compare(real, synthetic, patients, case.rng("geometry"), repeats)
    unusual, beside, unusual_beside, energy_beside = (
        atypicality(real, synthetic).max(axis=1),
        None,
        None,
        None,
    )
    if holdout is not None:
        beside = two_sample_tests.compare(real, holdout, patients, case.rng("geometry holdout"), 1).wasserstein
        unusual_beside = atypicality(real, holdout).max(axis=1)
        energy_beside = _energy(case, real, holdout, "energy holdout")
    figures = Geometry(
        real_masks=len(real),
        real_patients=len(set(patients)),
        synthetic_masks=len(synthetic),
        features=_features(real, synthetic, found, beside),
        energy=_energy(case, real, synthetic, "energy"),
        energy_holdout=energy_beside,
        atypical=float(np.mean(unusual > 1)),
        atypical_holdout=float(np.mean(unusual_beside > 1)) if unusual_beside is not None else math.nan,
    )
    return figures, unusual


def answer(figures: Geometry) -> Verdict:
    """The verdict that follows from the figures."""
    state = worst(feature.state for feature in figures.features)
    together = f" All figures together: p = {figures.energy.p:.3f}."
    failed = _of_state(figures, State.FAIL)
    if state is State.FAIL:
        sentence = f"The vessel trees differ from real ones in {_listed(failed)}.{together}"
        return Verdict(question="geometry", state=state, sentence=sentence, limit=_LIMIT)
    largest = max(figures.features, key=lambda feature: np.nan_to_num(feature.high, nan=math.inf))
    if state is State.PASS:
        sentence = f"All {len(figures.features)} figures of the vessel trees are like real ones; the furthest is "
        sentence += f"{_described(largest)}.{together}"
        return Verdict(question="geometry", state=state, sentence=sentence, limit=_LIMIT)
    unsettled = _of_state(figures, State.CANNOT_TELL)
    sentence = (
        f"No figure is shown to differ, but {len(unsettled)} of {len(figures.features)} may: {_listed(unsettled)}."
    )
    return Verdict(
        question="geometry", state=state, sentence=sentence + together, limit=_LIMIT, needed=_needed(figures, largest)
    )


def _features(
    real: np.ndarray, synthetic: np.ndarray, found: two_sample_tests.Differences, holdout: np.ndarray | None
) -> tuple[Feature, ...]:
    rows = []
    for i, (name, words) in enumerate(PLAIN.items()):
        ours, theirs = (column[~np.isnan(column)] for column in (real[:, i], synthetic[:, i]))
        state = between(found.low[i], found.high[i], LIMITS.geometry, "above")
        if state is State.FAIL and not found.p_holm[i] < ALPHA:
            state = State.CANNOT_TELL
        rows.append(
            Feature(
                name=name,
                words=words,
                real_mean=float(ours.mean()) if ours.size else math.nan,
                real_sd=float(ours.std(ddof=1)) if ours.size > 1 else math.nan,
                synthetic_mean=float(theirs.mean()) if theirs.size else math.nan,
                holdout=float(holdout[i]) if holdout is not None else math.nan,
                state=state,
                **{field: values[i].item() for field, values in vars(found).items()},
            )
        )
    return tuple(rows)


def _energy(case: Case, real: np.ndarray, others: np.ndarray, purpose: str) -> Energy:
    rng = case.rng(purpose)
    chosen = rng.choice(len(others), min(len(others), MOST_FOR_ENERGY), replace=False)
    found = two_sample_tests.energy_test(real, others[chosen], case.train.patients, rng, case.settings.permutations)
    return Energy(**vars(found), count=len(chosen))


def _of_state(figures: Geometry, state: State) -> list[Feature]:
    """The furthest first."""
    chosen = (feature for feature in figures.features if feature.state is state)
    return sorted(chosen, key=lambda feature: (-np.nan_to_num(feature.low), -np.nan_to_num(feature.wasserstein)))


def _listed(found: list[Feature]) -> str:
    """The first few with their figures, the others by name."""
    first = "; ".join(_described(feature) for feature in found[:_DETAILED])
    others = ", ".join(feature.words for feature in found[_DETAILED:])
    return f"{first}; and {others}" if others else first


def _described(feature: Feature) -> str:
    if math.isnan(feature.wasserstein):
        return f"{feature.words} (not measurable: {feature.real_count} real, {feature.synthetic_count} synthetic masks)"
    return (
        f"{feature.words} (mean {feature.real_mean:.3g} in real, {feature.synthetic_mean:.3g} in synthetic masks; "
        f"{feature.wasserstein:.2f} SD apart, {feature.low:.2f} to {feature.high:.2f})"
    )


def _needed(figures: Geometry, largest: Feature) -> str:
    """How many would show it: sampling errors shrink with the root of the numbers.

    A figure with rare outliers needs more than the median figure, but how many more is not known from few masks.
    """
    if not math.isfinite(largest.high):
        return f"More real patients: {largest.words} is the same in all real masks here, or cannot be measured."
    patients, masks = figures.real_patients, figures.synthetic_masks
    reach = HIGH_TO_CHANCE * np.nanmedian([feature.chance for feature in figures.features]) / LIMITS.geometry
    count = math.ceil(2 * reach**2 / (1 / patients + 1 / masks))
    return (
        f"More real patients: here are {patients}, with {masks} synthetic masks; some {count} of each, or more, would "
        "show it if the trees are like real ones."
    )
