"""How far the pairs are from real ones as a whole, and how diverse they are.

The detectors are handcrafted features that need no network: 15 of the mask, 28 of the image. A network trained on
the training patients knows these, and would fake a leak; one trained on other photographs would have to be downloaded.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from synthmed_tf.evaluation import features, kid_fid, prdc
from synthmed_tf.evaluation.context import EvaluationContext, SectionResult
from synthmed_tf.evaluation.kid_fid import IQR_OF_GAUSSIAN, blocks, checked, numbered
from synthmed_tf.evaluation.prdc import vendi_score, with_constant
from synthmed_tf.evaluation.results import Detector, Distribution, Diversity, KernelDistance, Neighbourhoods, Repeats
from synthmed_tf.evaluation.verdict import LIMITS, Evidence, LeftOut, State, Verdict, between, worst

MASKS, IMAGES, PAIRS = "geometry", "appearance", "handcrafted"
MANY_ROWS = 50
"""From so many rows on, PRDC looks at five neighbours, below at three."""

LEAST_PAIRS = 3
NEARNESS = 0.25
"""Two synthetic images are alike where their distance is below this share of that of the two nearest patients."""

_LIMIT = (
    f"masks or images less than {LIMITS.diversity} times as diverse as those of as many patients, or fewer "
    f"different masks or pairs than {LIMITS.diversity} times the number of pairs in the set, with the whole interval"
)
_JACKKNIFE_PARTS = 20
_FAR = 3.0
"""Spreads of the real set at which values are clipped: one feature with wild values is not diversity."""


def evaluate(context: EvaluationContext) -> SectionResult[Distribution]:
    """Measures all pairs (masks as for the geometry, images some 10 ms each) and compares them with train.

    In addition to the measuring it takes seconds for hundreds of pairs; time grows with the square of their number.
    """
    sets = [
        (features.trees(context, pairs), features.images(context, pairs))
        for pairs in (context.train, context.synthetic)
    ]
    metrics = compare(context, *sets)
    return SectionResult(metrics, (answer(metrics),))


def compare(
    context: EvaluationContext, real: tuple[np.ndarray, np.ndarray], synthetic: tuple[np.ndarray, np.ndarray]
) -> Distribution:
    """The metrics of measured pairs.

    Args:
        context: whose settings, random numbers and patients are used.
        real, synthetic: `(pairs, 15)` and `(pairs, 28)` each, from `features.trees` and `features.images`.
    """
    rows = {MASKS: (real[0], synthetic[0]), IMAGES: (real[1], synthetic[1])}
    rows[PAIRS] = (np.hstack(real), np.hstack(synthetic))
    return Distribution(
        real_patients=len(set(context.train.patients)),
        detectors=tuple(_detector(context, name, *features.comparable(*sets)) for name, sets in rows.items()),
        left_out=(LeftOut(name="network", reason="trained on the training patients alone, it would fake a leak"),),
    )


def answer(metrics: Distribution) -> Verdict:
    """The verdict that follows from the metrics."""
    named = {detector.name: detector for detector in metrics.detectors}
    diverse = [named[name].vendi for name in (MASKS, IMAGES)]
    fewest = min((named[name] for name in (MASKS, PAIRS)), key=lambda detector: detector.repeats.high)
    pairs = fewest.m
    repeats = between(fewest.repeats.low, fewest.repeats.high, LIMITS.diversity * pairs, "below")
    states = [between(one.low, one.high, LIMITS.diversity, "below") for one in diverse]
    state = worst([repeats, *states])
    sentence = f"{_diverse(*diverse)} {_different(fewest)}{_covered(named[PAIRS].prdc)}"
    needed = _needed(metrics.real_patients, diverse, repeats) if state is State.CANNOT_TELL else None
    evidence = [
        Evidence(name=f"Vendi score of the {name}, ratio to real", value=one.ratio, low=one.low, high=one.high)
        for name, one in zip(("masks", "images"), diverse, strict=True)
    ]
    found = fewest.repeats
    evidence.append(Evidence(name="different images", value=found.images, low=found.low, high=found.high))
    return Verdict(
        question="diversity",
        state=state,
        sentence=sentence,
        limit=_LIMIT,
        needed=needed,
        evidence=evidence,
    )


def _detector(context: EvaluationContext, name: str, real: np.ndarray, synthetic: np.ndarray) -> Detector:
    patients, rng = context.train.patients, context.rng(f"distribution {name}")
    return Detector(
        name=name,
        features=real.shape[1],
        n=len(real),
        m=len(synthetic),
        kid=_kid(real, synthetic, patients, rng, context.settings.permutations),
        prdc=_prdc(real, synthetic, rng),
        vendi=_vendi(real, synthetic, patients, rng),
        repeats=find_repeats(real, synthetic, patients),
        frechet=kid_fid.frechet(real, synthetic),
    )


def _kid(
    real: np.ndarray, synthetic: np.ndarray, patients: tuple[str, ...], rng: np.random.Generator, permutations: int
) -> KernelDistance | None:
    if len(synthetic) < LEAST_PAIRS:
        return None
    return kid_fid.kid(real, synthetic, rng, patients, permutations=permutations)


def _prdc(real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator) -> Neighbourhoods | None:
    if len(synthetic) < LEAST_PAIRS:
        return None
    count = min(len(real), len(synthetic))
    return prdc.prdc(real, synthetic, rng, 5 if count >= MANY_ROWS else min(3, count - 1))


def _vendi(real: np.ndarray, synthetic: np.ndarray, patients: tuple[str, ...], rng: np.random.Generator) -> Diversity:
    if len(synthetic) < LEAST_PAIRS:
        return Diversity(**dict.fromkeys(("ratio", "low", "high", "real", "synthetic"), math.nan), count=0)
    return compare_diversity(*in_real_spreads(real, synthetic), patients, rng)


def _diverse(masks: Diversity, images: Diversity) -> str:
    if math.isnan(masks.ratio):
        return "So few pairs cannot show how diverse they are."
    both = f"Masks are {_ratio(masks)} and images {_ratio(images)}"
    return f"{both} times as diverse as those of as many patients."


def _ratio(found: Diversity) -> str:
    return f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"


def _different(fewest: Detector) -> str:
    what, found = {MASKS: "masks", PAIRS: "pairs"}[fewest.name], fewest.repeats
    if not found.couples:
        return f"None of the {fewest.m} {what} repeats another."
    high = "any number" if math.isinf(found.high) else f"{found.high:,.0f}"
    return (
        f"{found.repeated:.0%} of the {fewest.m} {what} repeat another, as if chosen from {found.images:,.0f} "
        f"different ones ({found.low:,.0f} to {high})."
    )


def _covered(prdc: Neighbourhoods | None) -> str:
    if prdc is None:
        return ""
    return f" They cover {prdc.coverage:.0%} of the real pairs, where {prdc.coverage_null:.0%} is expected."


def _needed(patients: int, diverse: list[Diversity], repeats: State) -> str:
    """The interval of a set that is as diverse as real ones shrinks with the root of the number of rows."""
    if repeats is State.CANNOT_TELL:
        return "More synthetic pairs, to count those that repeat."
    if any(math.isnan(one.ratio) for one in diverse):
        return f"{LEAST_PAIRS} synthetic pairs or more."
    reach = max(math.log(one.ratio / one.low) for one in diverse) / -math.log(LIMITS.diversity)
    count = max(patients + 1, math.ceil(diverse[0].count * reach**2))
    return (
        f"More real patients: here are {patients}; about {count}, and as many synthetic pairs or more, would show it "
        "if the pairs are as diverse as real ones."
    )


def in_real_spreads(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres each set on its own median and measures it in the spread of the real one, so that diversity alone counts.

    In a common scale of both, a set that lies far away would make the real rows look alike and its own, however alike,
    diverse. The spread is the interquartile range as that of a Gaussian, or else the standard deviation, or 1.

    Args:
        real: `(n, d)`, floating point, finite.
        synthetic: `(m, d)`, in the same units.

    Returns:
        Both, float64, in [-3, 3].
    """
    real, synthetic = checked(real, synthetic)
    lower, upper = np.percentile(real, [25, 75], axis=0)
    deviation = np.where(np.ptp(real, axis=0) > 0, real.std(axis=0), 1.0)
    unit = np.where(upper > lower, (upper - lower) / IQR_OF_GAUSSIAN, deviation)
    return tuple(np.clip((rows - np.median(rows, axis=0)) / unit, -_FAR, _FAR) for rows in (real, synthetic))


def compare_diversity(
    real: np.ndarray,
    synthetic: np.ndarray,
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    subsamples: int = 50,
    confidence: float = 0.95,
) -> Diversity:
    """Compares how diverse two sets are, patient by patient.

    A subsample takes one row of each patient, and as many synthetic rows: two eyes of a patient are like each other,
    and would make the real set look less diverse than as many independent synthetic rows. If there are fewer synthetic
    rows than patients, it takes as many patients.

    The interval is Student's, on a log scale. The variance of a subsample is that of the jackknife, which leaves out a
    twentieth of the rows at a time, or one where there are 20 or fewer. For the mean over subsamples of k from m rows
    it is multiplied by k / m, the bound of Hoeffding (1948, theorem 5.2).

    Args:
        real: `(n, d)`, from `in_real_spreads`.
        synthetic: `(m, d)`, from there.
        patients: n labels, three different ones or more: whose each real row is.
        rng: chooses the rows.
        subsamples: how many are averaged. Defaults to 50.
        confidence: of the interval, in (0, 1). Defaults to 0.95.

    Raises:
        ValueError: other arrays, labels of another number, or fewer than three patients or synthetic rows.
    """
    real, synthetic = checked(real, synthetic)
    owners = numbered(patients, len(real))
    total = int(owners.max(initial=-1)) + 1
    count = min(total, len(synthetic))
    if count < 3:
        raise ValueError(f"Expected three patients and synthetic rows. Received: {total} and {len(synthetic)}")
    real, synthetic = with_constant(real), with_constant(synthetic)
    ours = [_log_score(real[_one_of_each(owners, count, rng)]) for _ in range(subsamples)]
    theirs = [_log_score(synthetic[rng.choice(len(synthetic), count, replace=False)]) for _ in range(subsamples)]
    (one, one_variance), (other, other_variance) = np.mean(ours, axis=0), np.mean(theirs, axis=0)
    error = np.sqrt(one_variance * count / total + other_variance * count / len(synthetic))
    margin = stats.t.ppf((1 + confidence) / 2, min(count, _JACKKNIFE_PARTS) - 1) * error
    ratios = np.exp(other - one + np.array([0, -margin, margin]))
    ratio, low, high = ratios.tolist()
    scores = {"real": float(np.exp(one)), "synthetic": float(np.exp(other))}
    return Diversity(ratio=ratio, low=low, high=high, **scores, count=count)


def _one_of_each(owners: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`(count,)`: the number of one row of each of so many patients."""
    order = rng.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return rng.permutation(order[first])[:count]


def _log_score(rows: np.ndarray) -> tuple[float, float]:
    """The logarithm of the Vendi score, and its variance by the jackknife."""
    parts = np.array_split(np.arange(len(rows)), min(len(rows), _JACKKNIFE_PARTS))
    left = [np.log(vendi_score(np.delete(rows, part, axis=0))) for part in parts]
    return float(np.log(vendi_score(rows))), float((len(parts) - 1) * np.var(left))


def find_repeats(
    real: np.ndarray, synthetic: np.ndarray, patients: Sequence[Hashable], confidence: float = 0.95
) -> Repeats:
    """Estimates how many different images a generator can generate: the birthday paradox.

    Among m pairs chosen evenly from N images, m (m - 1) / 2 N couples show the same image (Arora, Risteski, Zhang 2018,
    who look for any such couple; here they are counted). Images that are chosen unevenly count as fewer.

    Rows are alike where their distance is below a quarter of the least one between real images of different patients.
    For a generator whose images have the distribution of the patients', two rows are below that least distance once in
    as many couples as there are couples of patients, and below its quarter hardly ever where there are many features.

    The interval is that of a Poisson count of couples, or that of the jackknife over rows, whichever is wider: the
    first holds where couples are rare, the second where some images come up much oftener than others.

    Args:
        real: `(n, d)`, from `kid_fid.standardize`.
        synthetic: `(m, d)`, from there, m at least 2.
        patients: n labels, two different ones or more: whose each real row is.
        confidence: of the interval, in (0, 1). Defaults to 0.95.

    Raises:
        ValueError: labels of another number, or fewer than two patients.
    """
    owners = numbered(patients, len(real))
    if owners.max(initial=0) < 1:
        raise ValueError(f"Expected two patients or more. Received: {len(owners)} labels of 1 patients")
    radius = NEARNESS * cdist(real, real)[owners[:, None] != owners].min()
    m = len(synthetic)
    alike = np.concatenate([(cdist(synthetic[part], synthetic) <= radius).sum(axis=1) - 1 for part in blocks(m, m)])
    couples, possible = int(alike.sum()) // 2, m * (m - 1) // 2
    low, high = _couples_interval(couples, alike, confidence)
    with np.errstate(divide="ignore"):
        images, fewest, most = np.maximum(1.0, possible / np.array([couples, high, low], np.float64))
    estimate = {"images": float(images), "low": float(fewest), "high": float(most)}
    return Repeats(couples=couples, repeated=float(np.mean(alike > 0)), **estimate, radius=float(radius))


def _couples_interval(couples: int, alike: np.ndarray, confidence: float) -> tuple[float, float]:
    """The wider interval of the number of couples. A row has `alike` others; their mean is twice the couples by m."""
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * couples) / 2 if couples else 0.0
    high = stats.chi2.ppf(1 - tail, 2 * couples + 2) / 2
    margin = stats.norm.ppf(1 - tail) * alike.std() * np.sqrt(len(alike))
    return max(0.0, min(low, couples - margin)), max(high, couples + margin)
