"""Is any synthetic pair a copy of a real one: eight searches, the score from which on each speaks of a copy, and what
share of true copies each would have found.

A pair is searched for by its mask (`copies`), by its photograph where the masks were aligned (`photographs`), and by
the mask that a segmenter sees in the photograph, which finds a copied photograph under another mask. All flips are
searched, whatever the training used: a mirrored retina is still that patient's, and it is not on record what was done
to a set before it came here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.stats import binomtest

from synthmed_tf.evaluation.cache import Arrays
from synthmed_tf.evaluation.copies import Gallery, Match, search, threshold
from synthmed_tf.evaluation.copy_candidates import KINDS, WINDOWS
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.evaluation.photographs import flattened, photograph_likeness
from synthmed_tf.evaluation.transforms import Transform

FLIPS = tuple(product((False, True), repeat=2))
SEARCHES = (
    *(f"mask {kind}" for kind in KINDS),
    *(f"segmented {kind}" for kind in KINDS),
    "photograph whole",
    "photograph tile",
)
"""What is compared with the real pairs, in the order of all arrays here."""
REQUIRED = ("mask whole", "mask half", "mask quarter", "segmented whole")
"""Searches that must work before a set can pass. The others find more than these promise."""
LEAST_RECALL = 0.9
LEVEL = 0.05
"""How probable a false alarm is meant to be over all pairs and searches."""

_ROTATION, _ZOOM, _SHIFT, _COLOUR = 15.0, 0.1, 0.1, 0.2
_TILES = tuple(f"tile {row + 1}.{column + 1}" for row, column in np.ndindex(3, 3))
_PLACES = (*WINDOWS, *_TILES)
_KEPT = 64


class Reals:
    """Real pairs, prepared for any number of searches."""

    def __init__(self, block: Block):
        """Takes pairs; memory is theirs and 344 kB each."""
        self.gallery = Gallery(block.masks, FLIPS)
        self.flattened = lru_cache(_KEPT)(lambda row: flattened(block.photographs[row], block.fields[row]))


def hunt(block: Block, segmented: np.ndarray | None, reals: Reals, skip: np.ndarray | None = None) -> Arrays:
    """Searches for the nearest real pair of each pair of a block, in each way.

    Args:
        block: n pairs.
        segmented: `(n, size, size)`, bool: what a segmenter sees in the photographs; None leaves its searches out.
        reals: m pairs.
        skip: `(n, m)`, bool: what is not compared.

    Returns:
        score: `(n, searches)`, float64, in the order of `SEARCHES`; NaN where left out.
        real: `(n, searches)`, int32: the real pair; -1 where left out.
        place: `(n, searches)`, int16: the window or tile, as `place_name` has it.
        transform: `(n, searches, 6)`, float32, as `transform_of` reads it.
        likeness: `(n, m)`, float32: of the whole masks in the coarse comparison.
    """
    count, ways = len(block.masks), 1 if segmented is None else 2
    masks = block.masks if segmented is None else np.concatenate([block.masks, segmented])
    found = search(masks, reals.gallery, skip=None if skip is None else np.concatenate([skip] * ways))
    arrays = {
        "score": np.full((count, len(SEARCHES)), np.nan),
        "real": np.full((count, len(SEARCHES)), -1, np.int32),
        "place": np.zeros((count, len(SEARCHES)), np.int16),
        "transform": np.zeros((count, len(SEARCHES), 6), np.float32),
        "likeness": found.likeness[:count],
    }
    for row in range(count):
        by_mask = [part[row + way * count] for way in range(ways) for part in found.matches.values()]
        for column, match in enumerate(by_mask):
            _note(arrays, row, column, match.score, match, match.window)
        _hunt_photograph(arrays, row, block, reals, by_mask)
    return arrays


def place_name(place: int) -> str:
    """The window or the tile that an entry of `hunt`'s `place` stands for."""
    return _PLACES[place]


def transform_of(row: Sequence[float]) -> Transform:
    """The transform of an entry of `hunt`'s `transform`, from the real pair to the other."""
    flip_x, flip_y, *rest = (float(value) for value in row)
    return Transform((flip_x > 0.5, flip_y > 0.5), *rest)


def hidden(block: Block, rng: np.random.Generator) -> Block:
    """Pairs as a copy might be disguised, by which the recall is measured.

    Half are flipped in either direction; turned by up to 15 degrees, scaled by 0.9 to 1.1, shifted by up to a tenth of
    the side along each axis; gain of each channel and gamma of the photograph changed by up to a fifth.
    """
    photographs, masks, fields = (np.empty_like(part) for part in (block.photographs, block.masks, block.fields))
    for row in range(len(masks)):
        flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        angle, zoom, *shift = rng.uniform(-1, 1, 4) * (_ROTATION, _ZOOM, _SHIFT, _SHIFT)
        moved = Transform(flips, angle, 1 + zoom, *shift)
        masks[row], fields[row] = moved.warp(block.masks[row]), moved.warp(block.fields[row])
        gain, gamma = 1 + rng.uniform(-_COLOUR, _COLOUR, 3), np.exp(rng.uniform(-_COLOUR, _COLOUR))
        light = np.stack([moved.warp(block.photographs[row, ..., c] / 255.0) for c in range(3)], axis=-1)
        photographs[row] = np.rint(255 * np.clip(light**gamma * gain, 0, 1)) * fields[row, ..., None]
    return Block(photographs, masks & fields, fields)


@dataclass(frozen=True)
class Search:
    """What one way of searching is worth, and what it found.

    Attributes:
        name: one of `SEARCHES`.
        threshold: the score from which on a pair is a copy.
        strangers: how many real pairs were held against those of other patients.
        highest_stranger: the highest score among them.
        disguised: how many real pairs were searched for in disguise.
        recall, recall_low: share of them found at their own original, with the lower end of its 95 percent interval.
        copies: synthetic pairs that reach the threshold.
    """

    name: str
    threshold: float
    strangers: int
    highest_stranger: float
    disguised: int
    recall: float
    recall_low: float
    copies: int

    @property
    def works(self) -> bool:
        """Whether it would have found most copies."""
        return self.recall >= LEAST_RECALL


def thresholds(strangers: np.ndarray, count: int, patients: int | None = None) -> np.ndarray:
    """The scores from which on a pair is a copy, `(searches,)`, with one chance in 20 of a false alarm over all.

    Args:
        strangers: `(m, searches)`: scores of real pairs against those of other patients; NaN columns stay NaN.
        count: how many synthetic pairs there are.
        patients: of how many patients the real pairs are; each of its own where None.

    Returns:
        1 where fewer than two strangers could be compared, so that there is no telling.
    """
    used = np.isfinite(strangers).all(axis=0)
    limits = np.full(strangers.shape[1], np.nan)
    for column in np.flatnonzero(used):
        compared = strangers[strangers[:, column] > 0, column]  # 0 where a window held too little to be compared
        level = LEVEL / used.sum()
        limits[column] = threshold(compared, count, level, patients) if len(compared) > 1 else 1.0
    return limits


def searches(
    synthetic: np.ndarray, strangers: np.ndarray, disguised: np.ndarray, own: np.ndarray, limits: np.ndarray
) -> Iterator[Search]:
    """Sums up each search that was made.

    Args:
        synthetic: `(n, searches)`: scores of the synthetic pairs.
        strangers: `(m, searches)`: of real pairs against those of other patients.
        disguised: `(d, searches)`: of real pairs in disguise against all.
        own: `(d, searches)`, bool: whether what was found is the pair's own original.
        limits: `(searches,)`, from `thresholds`.
    """
    for column in np.flatnonzero(np.isfinite(limits)):
        limit = limits[column]
        hits = (disguised[:, column] >= limit) & own[:, column]
        interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, "exact")
        yield Search(
            SEARCHES[column],
            float(limit),
            len(strangers),
            float(strangers[:, column].max()),
            len(hits),
            float(hits.mean()),
            float(interval.low),
            int(np.count_nonzero(synthetic[:, column] >= limit)),
        )


def most_copies(count: int, confidence: float = 0.95) -> float:
    """The share of copies that `count` pairs without one do not exclude (Clopper, Pearson 1934): about 3 / count."""
    return float(1 - (1 - confidence) ** (1 / count))


def _hunt_photograph(arrays: Arrays, row: int, block: Block, reals: Reals, aligned: list[Match]) -> None:
    """The photographs' likeness in all alignments that the masks gave; the best whole and the best tile are noted."""
    drawn = flattened(block.photographs[row], block.fields[row])
    whole, tile = SEARCHES.index("photograph whole"), SEARCHES.index("photograph tile")
    arrays["score"][row, [whole, tile]] = -1
    for match in {(match.real, match.transform): match for match in aligned}.values():
        alike = photograph_likeness(drawn, reals.flattened(match.real), match.transform)
        if alike.whole > arrays["score"][row, whole]:
            _note(arrays, row, whole, alike.whole, match, "whole")
        if np.isfinite(alike.tiles).any() and np.nanmax(alike.tiles) > arrays["score"][row, tile]:
            _note(arrays, row, tile, np.nanmax(alike.tiles), match, _TILES[int(np.nanargmax(alike.tiles))])


def _note(arrays: Arrays, row: int, column: int, score: float, match: Match, place: str) -> None:
    flips, *rest = astuple(match.transform)
    arrays["score"][row, column], arrays["real"][row, column] = score, match.real
    arrays["place"][row, column] = _PLACES.index(place)
    arrays["transform"][row, column] = (*flips, *rest)
