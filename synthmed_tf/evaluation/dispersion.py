"""Dispersion, as in the paper: how the grey levels of two sets of images are spread, by the KL divergence.

It is blind to structure: pixels of an image in any other order have the same histogram, so noise of the right
colours is perfect by this metric. It is there for a comparison with the paper's value; no verdict rests on it.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from synthmed_tf.evaluation.context import DispersionResult, EvaluationContext
from synthmed_tf.evaluation.kid_fid import numbered
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.results import Dispersion, Divergence

LABEL = "blind to structure"
BINS = 64
"""Bins of a histogram, each of four grey levels."""

SMOOTHING = 1e-3
"""How much of the even distribution is mixed in, so that no bin is empty and the divergences are finite."""


def evaluate(context: EvaluationContext) -> DispersionResult:
    """Compares the mean histograms of the synthetic images and of those that the generator was trained on."""
    real, synthetic = (_histograms(context, pairs) for pairs in (context.train, context.synthetic))
    metrics = Dispersion(
        label=LABEL,
        real_photographs=len(real),
        real_patients=len(set(context.train.patients)),
        synthetic_images=len(synthetic),
        divergences=dispersion(real, synthetic, context.rng("dispersion"), context.train.patients),
    )
    return DispersionResult(metrics, real=real.mean(axis=0), synthetic=synthetic.mean(axis=0))


def histogram(image: np.ndarray, fov: np.ndarray) -> np.ndarray:
    """The shares of the grey levels 0 to 3, 4 to 7, ... 252 to 255 inside the field of view.

    Args:
        image: `(height, width, 3)`, uint8.
        fov: `(height, width)`, bool, not empty.

    Returns:
        `(3, 64)`, float64; each row sums to 1.

    Raises:
        ValueError: another shape or dtype, or an empty field of view.
    """
    if image.dtype != np.uint8 or image.shape != (*fov.shape, 3) or fov.dtype != np.bool_ or not fov.any():
        raise ValueError(
            "Expected an image of uint8 with 3 channels and a field of view of bool, of its size and not empty. "
            f"Received: {image.dtype} {image.shape} and {fov.dtype} {fov.shape} with {fov.sum()} pixels"
        )
    bins = image[fov] // (256 // BINS)
    return np.stack([np.bincount(channel, minlength=BINS) for channel in bins.T]) / len(bins)


def divergences(p: np.ndarray, q: np.ndarray, smoothing: float = SMOOTHING) -> dict[str, np.ndarray]:
    """Kullback-Leibler divergences both ways, and that of Jensen and Shannon, in nats.

    Both distributions are smoothed: p becomes (1 - l) p + l / bins.

    Args:
        p, q: `(..., bins)`, not negative, sums of 1; p is the real one.
        smoothing: l, in (0, 1).

    Returns:
        Each `(...)`: `real_to_synthetic`, sum p log(p / q); `synthetic_to_real`, sum q log(q / p); `jensen_shannon`,
        the mean of what both diverge from (p + q) / 2, at most log 2.
    """
    p, q = ((1 - smoothing) * shares + smoothing / shares.shape[-1] for shares in (p, q))
    middle = (p + q) / 2
    return {
        "real_to_synthetic": _kl(p, q),
        "synthetic_to_real": _kl(q, p),
        "jensen_shannon": (_kl(p, middle) + _kl(q, middle)) / 2,
    }


def dispersion(
    real: np.ndarray,
    synthetic: np.ndarray,
    rng: np.random.Generator,
    patients: Sequence[Hashable] | None = None,
    splits: int = 200,
) -> tuple[Divergence, ...]:
    """Compares the mean histograms of two sets, with two halves of the real set as the reference.

    The fewer images, the further apart are two sets of one kind, so the ratio compares at equal size: each split
    takes one half of the real patients against the other half, and against as many synthetic images. Where these
    are fewer than the other half, both are cut to their number.

    Args:
        real: `(n, 3, 64)`, from `histogram`.
        synthetic: `(m, 3, 64)`, from there.
        rng: splits the patients and chooses synthetic images.
        patients: `(n,)`, the patient of each real photograph; None makes each photograph a patient.
        splits: how many.

    Returns:
        The three of `divergences`, in that order.

    Raises:
        ValueError: sets of other shapes, labels of another number, or fewer than two patients.
    """
    if real.shape[1:] != (3, BINS) or synthetic.shape[1:] != (3, BINS) or not len(synthetic):
        raise ValueError(f"Expected histograms (n, 3, {BINS}). Received: {real.shape} and {synthetic.shape}")
    patients = numbered(patients, len(real))
    if patients.max(initial=0) < 1:
        raise ValueError(f"Expected two patients or more. Received: {len(patients)} labels of 1 patients")
    whole = divergences(real.mean(axis=0), synthetic.mean(axis=0))
    pairs = [_compare_halves(real, synthetic, patients, rng) for _ in range(splits)]
    found = []
    for name, channels in whole.items():
        null, between = np.median([[part[name].mean() for part in pair] for pair in pairs], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(between / null)
        whole_sets = {"value": float(channels.mean()), "channels": channels.tolist()}
        halves = {"at_equal_size": float(between), "null_median": float(null), "ratio": ratio}
        found.append(Divergence(name=name, **whole_sets, **halves))
    return tuple(found)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.sum(p * np.log(p / q), axis=-1)


def _compare_halves(
    real: np.ndarray, synthetic: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One half of the real patients against the other half, and against as many synthetic images."""
    order = rng.permutation(patients.max() + 1)
    is_other = np.isin(patients, order[: len(order) // 2])
    half, other = real[~is_other], real[is_other]
    count = min(len(other), len(synthetic))
    other, chosen = (rng.choice(rows, count, replace=False).mean(axis=0) for rows in (other, synthetic))
    return divergences(half.mean(axis=0), other), divergences(half.mean(axis=0), chosen)


def _histograms(context: EvaluationContext, pairs: Pairs) -> np.ndarray:
    """`(pairs, 3, 64)`."""
    return context.measured(pairs, "histograms", {"version": 1, "bins": BINS}, _measure)["histograms"]


def _measure(block: Block) -> dict[str, np.ndarray]:
    pairs = zip(block.images, block.fields, strict=True)
    return {"histograms": np.stack([histogram(image, field) for image, field in pairs])}
