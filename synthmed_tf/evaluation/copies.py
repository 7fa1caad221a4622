"""Finds copies: every synthetic mask against every real one, whole, by halves and by quarters; and their photographs.

`shortlist` correlates all with all, coarsely. Of each kind of window the five likeliest real masks of every synthetic
one are placed by FFT correlation at 128 x 128, aligned along the centre lines to a fraction of a degree and of a pixel,
and scored at full size (`overlap`). Photographs segmented again can be searched like masks.

Cost, measured on one core with AVX-512 and masks of 512 x 512: 80 microseconds of each pair for each of `flips`, and a
third of a second of each synthetic mask at full size. By these, 10,000 against 500 with two flips take 1 h 10 min.
Memory grows with the number of real masks times the batch, not with the synthetic set, apart from the result.

Of 24 moved copies, 24 spliced halves and 24 spliced quarters of real masks and phantoms all were found among 100, with
scores of 0.97 or more; pairs of different patients reached 0.33 whole, 0.39 in a half and 0.41 in a quarter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import fft

from synthmed_tf.data.alignment import correlation, detail
from synthmed_tf.evaluation.overlap import Tree, agreement, refined, tree_of
from synthmed_tf.evaluation.shortlist import KINDS, REACH, SIDE, WINDOWS, likeness, poses, reduced
from synthmed_tf.evaluation.transforms import Transform

_KEPT = 256
_GUMBEL_SPREAD = np.sqrt(6) / np.pi
_LEAST_TILE = 0.25
_ANGLES, _ZOOMS = (0.0, -5 / 3, 5 / 3), (0.0, -0.1 / 3, 0.1 / 3)


@dataclass(frozen=True)
class Match:
    """The real mask that a synthetic one is nearest to, in windows of one kind.

    Attributes:
        real: its index.
        window: a key of `WINDOWS`: the part of the synthetic mask that was compared.
        transform: from the real mask to the synthetic one.
        likeness: correlation in the coarse comparison, at most 1.
        dice: of the aligned masks at full size in the window, in [0, 1].
        skeleton_f1: of their centre lines, in [0, 1].
    """

    real: int
    window: str
    transform: Transform
    likeness: float
    dice: float
    skeleton_f1: float

    @property
    def score(self) -> float:
        """The mean of Dice and F1 in [0, 1]; 1 for an exact copy. Dice sees calibres, F1 does not."""
        return (self.dice + self.skeleton_f1) / 2


def search(
    synthetic: np.ndarray,
    real: np.ndarray,
    flips: Sequence[tuple[bool, bool]] = ((False, False),),
    skip: np.ndarray | None = None,
    candidates: int = 5,
    batch: int = 1024,
) -> dict[str, list[Match]]:
    """Finds the nearest real mask of each synthetic one.

    Args:
        synthetic: `(n, side, side)`, two-valued: vessel where above 0.
        real: `(m, side, side)`, likewise.
        flips: (left for right, top for bottom) that the training may have used; without a flip must be named too.
        skip: `(n, m)`, bool: pairs that are not compared, such as masks of one patient when `synthetic` is real.
        candidates: how many real masks of each kind of window are scored at full size.
        batch: synthetic masks that are compared at once; the matches do not depend on it.

    Returns:
        For each key of `KINDS` ("whole", "half", "quarter") one match for each synthetic mask: the one of the highest
        score.

    Raises:
        ValueError: sets of other shapes, or a synthetic mask for which all real ones are skipped.
    """
    synthetic, real, skip = _checked(synthetic, real, skip)
    prepared = lru_cache(_KEPT)(lambda index: _prepare(real[index]))
    turns = poses(flips)
    matches: dict[str, list[Match]] = {kind: [] for kind in KINDS}
    for start in range(0, len(synthetic), batch):
        block = np.asarray(synthetic[start : start + batch]) > 0
        found, best = likeness(block, real, turns)
        found[:, skip[start : start + batch]] = -np.inf
        for i, mask in enumerate(block):
            drawn = _prepare(mask)
            for kind, windows in KINDS.items():
                part = _Part(found[windows, i], best[windows, i], list(WINDOWS)[windows], turns)
                rated = [_rate(part, int(index), drawn, prepared(int(index))) for index in part.first(candidates)]
                matches[kind].append(max(rated, key=lambda match: match.score))
    return matches


def threshold(scores: Sequence[float], count: int, margin: float = 0.05, level: float = 0.05) -> float:
    """The score from which on a synthetic mask is a copy, from real masks of different patients.

    The largest of a few real scores is not enough: one in m + 1 honest masks exceeds the largest of m, and there are
    many synthetic ones. So it is the larger of that maximum plus a margin and of the score that `count` honest masks
    all stay below with probability 1 - level. Their nearest scores are maxima, so they are taken for a Gumbel variable
    (by moments), after Fisher's z = artanh(score), which has no upper end.

    Args:
        scores: for each real mask, the score of its nearest match among other patients (`search` with `skip`), of one
            kind of window; two or more.
        count: how many synthetic masks there are.
        margin: added to the largest score.
        level: probability of a false alarm over all of them, in (0, 1).

    Returns:
        A score. At 1 or more not even an exact copy could be told.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or len(values) < 2 or count < 1:
        raise ValueError(f"Expected two scores and one mask at least. Received: shape={values.shape}, count={count}")
    z = np.arctanh(np.clip(values, 0, 1 - 1e-6))
    spread = z.std(ddof=1) * _GUMBEL_SPREAD
    extreme = z.mean() - np.euler_gamma * spread + spread * (np.log(count) - np.log(-np.log1p(-level)))
    return float(max(values.max() + margin, np.tanh(extreme)))


@dataclass(frozen=True)
class PhotographMatch:
    """How alike two photographs are once they are aligned.

    Attributes:
        whole: correlation within both fields of view, in [-1, 1].
        tiles: `(3, 3)`, float64: the same in each tile; NaN where less than a quarter of a tile lies in both fields.
    """

    whole: float
    tiles: np.ndarray


def photograph_likeness(
    synthetic: np.ndarray,
    real: np.ndarray,
    synthetic_field: np.ndarray,
    real_field: np.ndarray,
    transform: Transform,
) -> PhotographMatch:
    """Correlates the green channels, freed of uneven light, where the masks were found to lie on each other.

    Args:
        synthetic, real: `(side, side, 3)`, uint8, RGB.
        synthetic_field, real_field: `(side, side)`, bool: the fields of view.
        transform: a match's.

    Returns:
        The correlations; 0 where one photograph is flat.
    """
    drawn = detail(synthetic[..., 1].astype(np.float32), synthetic_field)
    other = transform.warp(detail(real[..., 1].astype(np.float32), real_field))
    field = synthetic_field & transform.warp(real_field)
    edges = np.linspace(0, len(field), 4).round().astype(int)
    tiles = np.full((3, 3), np.nan)
    for row, column in np.ndindex(3, 3):
        tile = np.s_[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        if field[tile].mean() >= _LEAST_TILE:
            tiles[row, column] = _pearson(drawn[tile][field[tile]], other[tile][field[tile]])
    return PhotographMatch(_pearson(drawn[field], other[field]), tiles)


@dataclass(frozen=True)
class _Part:
    """The coarse figures of one synthetic mask in the windows of one kind, `(windows, m)` each."""

    found: np.ndarray
    best: np.ndarray
    windows: list[str]
    turns: list[Transform]

    def first(self, count: int) -> np.ndarray:
        """The real masks of the highest likeness."""
        peaks = self.found.max(axis=0)
        order = np.argsort(-peaks, kind="stable")[:count]
        return order[np.isfinite(peaks[order])]


def _prepare(mask: np.ndarray) -> tuple[np.ndarray, Tree]:
    mask = np.asarray(mask) > 0
    return reduced(mask[None])[0], tree_of(mask)


def _rate(part: _Part, index: int, drawn: tuple[np.ndarray, Tree], real: tuple[np.ndarray, Tree]) -> Match:
    row = int(np.argmax(part.found[:, index]))
    window = part.windows[row]
    quarters = WINDOWS[window]
    start = _placed(part.turns[part.best[row, index]], drawn[0], real[0], quarters)
    transform = refined(start, real[1], drawn[1], quarters)
    return Match(
        index, window, transform, float(part.found[row, index]), *agreement(transform, real[1], drawn[1], quarters)
    )


def _placed(turn: Transform, drawn: np.ndarray, real: np.ndarray, quarters: tuple[int, ...]) -> Transform:
    """Turns and scales by thirds of the coarse steps and shifts within the reach, where the window correlates best."""
    window = drawn * np.kron(np.isin(np.arange(4), quarters).reshape(2, 2), np.ones((SIDE // 2, SIDE // 2), np.float32))
    shares = fft.fftfreq(SIDE)
    near = np.abs(shares) <= REACH
    best, place = -np.inf, turn
    for angle, zoom in product(_ANGLES, _ZOOMS):
        tried = replace(turn, rotation=turn.rotation + angle, scale=turn.scale + zoom)
        peaks = np.where(near[:, None] & near, correlation(window, tried.warp(real)), -np.inf)
        row, column = np.unravel_index(int(np.argmax(peaks)), peaks.shape)
        if peaks[row, column] > best:
            best, place = peaks[row, column], replace(tried, right=float(shares[column]), down=float(shares[row]))
    return place


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    length = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / length) if length else 0.0


def _checked(
    synthetic: np.ndarray, real: np.ndarray, skip: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if (
        synthetic.ndim != 3
        or real.ndim != 3
        or not synthetic.shape[1] == synthetic.shape[2] == real.shape[1] == real.shape[2]
        or not len(real)
    ):
        raise ValueError(f"Expected masks (n, side, side) of one side. Received: {synthetic.shape} and {real.shape}")
    skip = np.zeros((len(synthetic), len(real)), bool) if skip is None else np.asarray(skip, bool)
    if skip.shape != (len(synthetic), len(real)):
        raise ValueError(f"Expected pairs {(len(synthetic), len(real))} to skip. Received: {skip.shape}")
    if skip.all(axis=1).any():
        raise ValueError(f"Synthetic mask {int(skip.all(axis=1).argmax())} has no real one to be compared with.")
    return synthetic, real > 0, skip
