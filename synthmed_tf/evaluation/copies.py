"""Finds copies: compares every synthetic mask with every real one, whole, by halves and by quarters.

`copy_candidates` correlates all with all, coarsely. For each kind of window the five best real masks of every synthetic
one are placed by FFT correlation at 64 x 64, aligned along the centre lines to a fraction of a degree and of a pixel,
and scored at full size (`alignment`). The vessels segmented in images can be searched like masks.

Time grows with the pairs of masks times `flips`, and with the number of synthetic masks for the work at full size.
Memory grows with the real masks (86 kB each for each of the flips) and the batch; with the synthetic set only by the
result.

Of 24 moved copies, 24 spliced halves and 24 spliced quarters of real masks and phantoms all were found among 100, with
scores of 0.97 or more; pairs of different patients reached 0.33 whole, 0.39 in a half and 0.41 in a quarter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import fft
from scipy.optimize import brentq

from synthmed_tf.data.alignment import correlation
from synthmed_tf.evaluation.alignment import Tree, agreement, refined, tree_of
from synthmed_tf.evaluation.copy_candidates import KINDS, REACH, WINDOWS, halved, posed, poses, reduced, similarity
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.generation.stream import parallel

_KEPT = 256
_MARGIN = 0.05
_SAMPLES, _BATCH = 20_000, 1_000
_ANGLES, _ZOOMS = (0.0, -5 / 3, 5 / 3), (0.0, -0.1 / 3, 0.1 / 3)


@dataclass(frozen=True)
class Match:
    """The most similar real mask of a synthetic one, in windows of one kind.

    Attributes:
        real: its index.
        window: a key of `WINDOWS`: the part of the synthetic mask that was compared.
        transform: from the real mask to the synthetic one.
        similarity: correlation in the coarse comparison, at most 1.
        dice: of the aligned masks at full size in the window, in [0, 1].
        skeleton_f1: of their centre lines, in [0, 1].
    """

    real: int
    window: str
    transform: Transform
    similarity: float
    dice: float
    skeleton_f1: float

    @property
    def score(self) -> float:
        """The mean of Dice and F1 in [0, 1]; 1 for an exact copy. Dice sees calibres, F1 does not."""
        return (self.dice + self.skeleton_f1) / 2


class Gallery:
    """Real masks, prepared once for any number of searches.

    Attributes:
        masks: `(m, side, side)`, bool.
        turns: the coarse poses in which they are compared.
        poses: `(m, turns, 32, 32)`, float32: the masks in these poses.
    """

    def __init__(self, real: np.ndarray, flips: Sequence[tuple[bool, bool]] = ((False, False),)):
        """Prepares masks.

        Args:
            real: `(m, side, side)`, two-valued: vessel where above 0.
            flips: (left for right, top for bottom) that the training may have used; no flip must be listed too.

        Raises:
            ValueError: an array of another shape, or without a mask.
        """
        if real.ndim != 3 or not len(real) or real.shape[1] != real.shape[2]:
            raise ValueError(f"Expected masks (m, side, side), m >= 1. Received: {real.shape}")
        self.masks, self.turns = real > 0, poses(flips)
        self.poses = posed(self.masks, self.turns)
        self.prepared = lru_cache(_KEPT)(lambda index: _prepare(self.masks[index]))


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        matches: for each key of `KINDS` ("whole", "half", "quarter") one match for each synthetic mask: the one of the
            highest score.
        similarity: `(n, m)`, float32, at most 1: how like the whole masks are in the coarse comparison, at best.
    """

    matches: dict[str, list[Match]]
    similarity: np.ndarray


def search(
    synthetic: np.ndarray,
    real: np.ndarray | Gallery,
    flips: Sequence[tuple[bool, bool]] = ((False, False),),
    skip: np.ndarray | None = None,
    candidates: int = 5,
    batch: int = 1024,
) -> SearchResult:
    """Finds the most similar real mask of each synthetic one.

    Args:
        synthetic: `(n, side, side)`, two-valued: vessel where above 0.
        real: `(m, side, side)`, likewise; or these as a `Gallery`, which has its own flips.
        flips: as for `Gallery`.
        skip: `(n, m)`, bool: pairs that are not compared, such as masks of one patient when `synthetic` is real.
        candidates: how many real masks of each kind of window are scored at full size.
        batch: synthetic masks that are compared at once; the matches do not depend on it.

    Raises:
        ValueError: sets of other shapes, or a synthetic mask for which all real ones are skipped.
    """
    gallery = real if isinstance(real, Gallery) else Gallery(real, flips)
    skip = _checked(synthetic, gallery.masks, skip)
    matches: dict[str, list[Match]] = {kind: [] for kind in KINDS}
    alike = np.zeros(skip.shape, np.float32)
    for start in range(0, len(synthetic), batch):
        block = np.asarray(synthetic[start : start + batch]) > 0
        found, best = similarity(block, gallery.poses)
        alike[start : start + batch] = found[0]
        found[:, skip[start : start + batch]] = -np.inf
        for row in _rated(block, found, best, gallery, candidates):
            for kind, match in row.items():
                matches[kind].append(match)
    return SearchResult(matches, alike)


def threshold(scores: Sequence[float], count: int, level: float = 0.05, units: int | None = None) -> float:
    """The score from which on a synthetic mask is a copy, from real masks of different patients.

    The largest of a few real scores is not enough: one in m + 1 honest masks exceeds the largest of m, and there are
    many synthetic ones. So it is the score that `count` more honest masks all stay below with probability 1 - level,
    the upper end of a prediction interval, which is the wider the fewer scores it rests on. Nearest scores are maxima,
    so they are taken for a Gumbel variable, after Fisher's z = artanh(score), which has no upper end. It lies 0.05
    above the largest score at least.

    Args:
        scores: for each real mask, the score of its nearest match among other patients (`search` with `skip`), of one
            kind of window; two or more.
        count: how many synthetic masks there are.
        level: probability of a false alarm over all of them, in (0, 1).
        units: how many of the scores are independent, such as the number of patients; all where None.

    Returns:
        A score. At 1 or more not even an exact copy could be told.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or len(values) < 2 or count < 1:
        raise ValueError(f"Expected two scores and one mask at least. Received: shape={values.shape}, count={count}")
    z = np.arctanh(np.clip(values, 0, 1 - 1e-6))
    reach = _reach(min(units or len(z), len(z)), count, level)
    return float(max(values.max() + _MARGIN, np.tanh(z.mean() + reach * z.std(ddof=1))))


@lru_cache(_KEPT)
def _reach(units: int, count: int, level: float) -> float:
    """How many standard deviations above the mean of `units` Gumbel numbers the largest of `count` further ones stays
    with probability 1 - level.

    Mean and deviation are sampled; given these, the probability has a closed form.
    """
    rng, mean, deviation = np.random.default_rng(0), [], []
    for _ in range(_SAMPLES // _BATCH):
        sample = rng.gumbel(size=(_BATCH, max(2, units)))
        mean.append(sample.mean(axis=1))
        deviation.append(sample.std(axis=1, ddof=1))
    mean, deviation = np.concatenate(mean), np.concatenate(deviation)

    def excess(reach: float) -> float:
        return float(np.mean(-np.expm1(-count * np.exp(-(mean + reach * deviation))))) - level

    high = 2.0
    while excess(high) > 0:
        high *= 2
    return brentq(excess, 0.0, high) if excess(0.0) > 0 else 0.0


@dataclass(frozen=True)
class _Part:
    """The coarse scores of one synthetic mask in the windows of one kind, `(windows, m)` each."""

    found: np.ndarray
    best: np.ndarray
    windows: list[str]
    turns: list[Transform]

    def first(self, count: int) -> np.ndarray:
        """The real masks of the highest similarity."""
        peaks = self.found.max(axis=0)
        order = np.argsort(-peaks, kind="stable")[:count]
        return order[np.isfinite(peaks[order])]


def _rated(
    block: np.ndarray, found: np.ndarray, best: np.ndarray, gallery: Gallery, candidates: int
) -> Iterator[dict[str, Match]]:
    """The best match of each kind for each mask of a block; most of the work releases Python's lock."""

    def rate(i: int) -> dict[str, Match]:
        ours = _prepare(block[i])
        rows = {}
        for kind, windows in KINDS.items():
            part = _Part(found[windows, i], best[windows, i], list(WINDOWS)[windows], gallery.turns)
            rated = [_rate(part, int(index), ours, gallery.prepared(int(index))) for index in part.first(candidates)]
            rows[kind] = max(rated, key=lambda match: match.score)
        return rows

    return parallel(rate, range(len(block)))


def _prepare(mask: np.ndarray) -> tuple[np.ndarray, Tree]:
    mask = np.asarray(mask) > 0
    return halved(reduced(mask[None]))[0], tree_of(mask)


def _rate(part: _Part, index: int, ours: tuple[np.ndarray, Tree], real: tuple[np.ndarray, Tree]) -> Match:
    row = int(np.argmax(part.found[:, index]))
    window = part.windows[row]
    quarters = WINDOWS[window]
    start = _placed(part.turns[part.best[row, index]], ours[0], real[0], quarters)
    transform = refined(start, real[1], ours[1], quarters)
    return Match(
        index, window, transform, float(part.found[row, index]), *agreement(transform, real[1], ours[1], quarters)
    )


def _placed(turn: Transform, ours: np.ndarray, real: np.ndarray, quarters: tuple[int, ...]) -> Transform:
    """Turns and scales by thirds of the coarse steps and shifts within the reach, where the window correlates best."""
    side = len(ours)
    window = ours * np.kron(np.isin(np.arange(4), quarters).reshape(2, 2), np.ones((side // 2, side // 2), np.float32))
    tried = [
        replace(turn, rotation=turn.rotation + angle, scale=turn.scale + zoom)
        for angle, zoom in product(_ANGLES, _ZOOMS)
    ]
    shares = fft.fftfreq(side)
    near = np.flatnonzero(np.abs(shares) <= REACH)
    peaks = correlation(window, np.stack([pose.warp(real) for pose in tried]))[:, near[:, None], near]
    pose, row, column = np.unravel_index(int(np.argmax(peaks)), peaks.shape)
    return replace(tried[pose], right=float(shares[near[column]]), down=float(shares[near[row]]))


def _checked(synthetic: np.ndarray, real: np.ndarray, skip: np.ndarray | None) -> np.ndarray:
    if synthetic.ndim != 3 or synthetic.shape[1:] != real.shape[1:]:
        raise ValueError(f"Expected masks (n, side, side) of one side. Received: {synthetic.shape} and {real.shape}")
    skip = np.zeros((len(synthetic), len(real)), bool) if skip is None else np.asarray(skip, bool)
    if skip.shape != (len(synthetic), len(real)):
        raise ValueError(f"Expected pairs {(len(synthetic), len(real))} to skip. Received: {skip.shape}")
    if skip.all(axis=1).any():
        raise ValueError(f"Synthetic mask {int(skip.all(axis=1).argmax())} has no real one to be compared with.")
    return skip
