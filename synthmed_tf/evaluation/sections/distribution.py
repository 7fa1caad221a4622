"""How far the pairs are from real ones as a whole, and whether they are as various.

The detectors are figures that need no network: 15 of the mask, 28 of the photograph. A network trained on the training
patients knows these, and would fake a leak; one trained on other photographs would have to be downloaded.
"""

import math
from dataclasses import asdict

import numpy as np

from synthmed_tf.evaluation import features, kid_fid, prdc
from synthmed_tf.evaluation.context import Case, Figures, Outcome
from synthmed_tf.evaluation.diversity import Diversity, compare_diversity, in_real_spreads
from synthmed_tf.evaluation.repeats import Repeats, find_repeats
from synthmed_tf.evaluation.verdict import LIMITS, State, Verdict, between, worst

MASKS, PHOTOGRAPHS, PAIRS = "geometry", "appearance", "handcrafted"
MANY_ROWS = 50
"""From so many rows on, PRDC looks at five neighbours, below at three."""

LEAST_PAIRS = 3

_LIMIT = (
    f"masks or photographs less than {LIMITS.diversity} times as various as those of as many patients, or fewer "
    f"different masks or pairs than {LIMITS.diversity} times the number of pairs in the set, with the whole interval"
)


class Kid(Figures):
    """The kernel inception distance; the figures of `evaluation.distribution.KernelDistance`.

    Attributes:
        value: unbiased MMD^2; about 0 for sets of one distribution.
        standard_error: by the jackknife over patients and synthetic pairs.
        p: by permutation of patients.
        p_rows: how many rows of each set gave p.
    """

    value: float
    standard_error: float
    p: float
    p_rows: tuple[int, int]


class Neighbourhoods(Figures):
    """PRDC at equal size; the figures of `evaluation.variety.Neighbourhoods`.

    Attributes:
        precision, recall, density, coverage: means over the draws.
        coverage_null: the coverage expected of two sets of one distribution.
        coverage_excess: coverage minus that.
        k: neighbours.
        count: rows of each set in a draw.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    coverage_null: float
    coverage_excess: float
    k: int
    count: int


class Variety(Figures):
    """The ratio of the Vendi scores; the figures of `evaluation.diversity.Diversity`.

    Attributes:
        ratio, low, high: synthetic to real at equal size, with its interval of 95 percent.
        real, synthetic: the scores.
        count: rows of each set in a draw, one of each patient.
    """

    ratio: float
    low: float
    high: float
    real: float
    synthetic: float
    count: int


class Repeated(Figures):
    """How often the synthetic set repeats itself; the figures of `evaluation.repeats.Repeats`.

    Attributes:
        couples: of synthetic rows that are alike.
        repeated: share of synthetic rows that are alike with another one.
        images, low, high: how many different ones the generator can draw, with its interval of 95 percent; infinite
            (null in JSON) where no rows are alike.
    """

    couples: int
    repeated: float
    images: float
    low: float
    high: float


class Frechet(Figures):
    """The Frechet distance.

    Attributes:
        value: the distance.
        note: that it is not a verdict, and why.
    """

    value: float
    note: str


class Detector(Figures):
    """The figures by one detector.

    Attributes:
        name: `geometry` (15 figures of the mask), `appearance` (28 of the photograph), or `handcrafted` (both).
        features: columns; more than figures where some are missing.
        n, m: real and synthetic rows.
        kid, prdc, vendi, repeats, frechet: the figures; the first two are None for fewer than three synthetic pairs,
            and the Vendi scores then are NaN.
    """

    name: str
    features: int
    n: int
    m: int
    kid: Kid | None
    prdc: Neighbourhoods | None
    vendi: Variety
    repeats: Repeated
    frechet: Frechet


class Distribution(Figures):
    """The section's figures.

    Attributes:
        real_patients: how many, all trained on.
        detectors: a row for each.
        left_out: detectors that were not used, and why.
    """

    real_patients: int
    detectors: tuple[Detector, ...]
    left_out: dict[str, str]


def judge(case: Case) -> Outcome:
    """Measures all pairs (masks as for the geometry, photographs some 10 ms each) and compares them with train.

    Beside the measuring it takes seconds for hundreds of pairs; time grows with the square of their number.
    """
    sets = [(features.trees(case, pairs), features.photographs(case, pairs)) for pairs in (case.train, case.synthetic)]
    figures = compare(case, *sets)
    return Outcome(figures, (answer(figures),))


def compare(case: Case, real: tuple[np.ndarray, np.ndarray], synthetic: tuple[np.ndarray, np.ndarray]) -> Distribution:
    """The figures of measured pairs.

    Args:
        case: whose settings, random numbers and patients are used.
        real, synthetic: `(pairs, 15)` and `(pairs, 28)` each, from `features.trees` and `features.photographs`.
    """
    rows = {MASKS: (real[0], synthetic[0]), PHOTOGRAPHS: (real[1], synthetic[1])}
    rows[PAIRS] = (np.hstack(real), np.hstack(synthetic))
    return Distribution(
        real_patients=len(set(case.train.patients)),
        detectors=tuple(_detector(case, name, *features.comparable(*sets)) for name, sets in rows.items()),
        left_out={"network": "one that was trained on the training patients alone would fake a leak"},
    )


def answer(figures: Distribution) -> Verdict:
    """The verdict that follows from the figures."""
    found = {detector.name: detector for detector in figures.detectors}
    various = [found[name].vendi for name in (MASKS, PHOTOGRAPHS)]
    fewest = min((found[name] for name in (MASKS, PAIRS)), key=lambda detector: detector.repeats.high)
    pairs = fewest.m
    repeats = between(fewest.repeats.low, fewest.repeats.high, LIMITS.diversity * pairs, "below")
    states = [between(one.low, one.high, LIMITS.diversity, "below") for one in various]
    state = worst([repeats, *states])
    sentence = f"{_various(*various)} {_different(fewest)}{_covered(found[PAIRS].prdc)}"
    needed = _needed(figures.real_patients, various, repeats) if state is State.CANNOT_TELL else None
    return Verdict(question="diversity", state=state, sentence=sentence, limit=_LIMIT, needed=needed)


def _detector(case: Case, name: str, real: np.ndarray, synthetic: np.ndarray) -> Detector:
    patients, rng = case.train.patients, case.rng(f"distribution {name}")
    frechet = kid_fid.frechet(real, synthetic)
    return Detector(
        name=name,
        features=real.shape[1],
        n=len(real),
        m=len(synthetic),
        kid=_kid(real, synthetic, patients, rng, case.settings.permutations),
        prdc=_prdc(real, synthetic, rng),
        vendi=Variety(**asdict(_vendi(real, synthetic, patients, rng))),
        repeats=_repeats(find_repeats(real, synthetic, patients)),
        frechet=Frechet(value=frechet.value, note=frechet.note),
    )


def _kid(
    real: np.ndarray, synthetic: np.ndarray, patients: tuple[str, ...], rng: np.random.Generator, permutations: int
) -> Kid | None:
    if len(synthetic) < LEAST_PAIRS:
        return None
    found = kid_fid.kid(real, synthetic, rng, patients, permutations=permutations)
    return Kid(value=found.value, standard_error=found.standard_error, p=found.p, p_rows=found.p_rows)


def _prdc(real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator) -> Neighbourhoods | None:
    if len(synthetic) < LEAST_PAIRS:
        return None
    count = min(len(real), len(synthetic))
    found = prdc.prdc(real, synthetic, rng, 5 if count >= MANY_ROWS else min(3, count - 1))
    figures = {name: value for name, value in asdict(found).items() if name != "draws"}
    return Neighbourhoods(**figures, coverage_excess=found.coverage_excess)


def _vendi(real: np.ndarray, synthetic: np.ndarray, patients: tuple[str, ...], rng: np.random.Generator) -> Diversity:
    if len(synthetic) < LEAST_PAIRS:
        return Diversity(*(math.nan,) * 5, 0)
    return compare_diversity(*in_real_spreads(real, synthetic), patients, rng)


def _repeats(found: Repeats) -> Repeated:
    return Repeated(**{name: value for name, value in asdict(found).items() if name != "radius"})


def _various(masks: Variety, photographs: Variety) -> str:
    if math.isnan(masks.ratio):
        return "So few pairs cannot show how various they are."
    both = f"Masks are {_ratio(masks)} and photographs {_ratio(photographs)}"
    return f"{both} times as various as those of as many patients."


def _ratio(found: Variety) -> str:
    return f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"


def _different(fewest: Detector) -> str:
    what, found = {MASKS: "masks", PAIRS: "pairs"}[fewest.name], fewest.repeats
    if not found.couples:
        return f"None of the {fewest.m} {what} repeats another."
    high = "any number" if math.isinf(found.high) else f"{found.high:,.0f}"
    return (
        f"{found.repeated:.0%} of the {fewest.m} {what} repeat another, as if drawn from {found.images:,.0f} "
        f"different ones ({found.low:,.0f} to {high})."
    )


def _covered(prdc: Neighbourhoods | None) -> str:
    if prdc is None:
        return ""
    return f" They cover {prdc.coverage:.0%} of the real pairs, where {prdc.coverage_null:.0%} is expected."


def _needed(patients: int, various: list[Variety], repeats: State) -> str:
    """The interval of a set that is as various as real ones shrinks with the root of the number of rows."""
    if repeats is State.CANNOT_TELL:
        return "More synthetic pairs, to count those that repeat."
    if any(math.isnan(one.ratio) for one in various):
        return f"{LEAST_PAIRS} synthetic pairs or more."
    reach = max(math.log(one.ratio / one.low) for one in various) / -math.log(LIMITS.diversity)
    count = max(patients + 1, math.ceil(various[0].count * reach**2))
    return (
        f"More real patients: here are {patients}; about {count}, and as many synthetic pairs or more, would show it "
        "if the pairs are as various as real ones."
    )
