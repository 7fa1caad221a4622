"""Is any synthetic pair a copy of a real one: eight searches with their thresholds, and the share of true copies that
each would find.

A pair is searched for by its mask (`copies`), by its image in the alignments of the masks (`alignment`), and by
the mask that a segmenter finds in the image, which finds a copied image with another mask. All flips are
searched, even where the training used none: a mirrored retina is still that patient's, and what was done to a set
before the evaluation is not known.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np
from scipy.stats import binomtest

from synthmed_tf.evaluation import segmenters
from synthmed_tf.evaluation.alignment import flattened, image_similarity
from synthmed_tf.evaluation.context import Arrays, EvaluationContext
from synthmed_tf.evaluation.copies import Gallery, Match, search, threshold
from synthmed_tf.evaluation.copy_candidates import KINDS, WINDOWS
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.privacy_results import Copy, CopySearch
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.verdict import Evidence, State, Verdict

FLIPS = tuple(product((False, True), repeat=2))
SEARCHES = (
    *(f"mask {kind}" for kind in KINDS),
    *(f"segmented {kind}" for kind in KINDS),
    "image whole",
    "image tile",
)
"""What is compared with the real pairs, in the order of all arrays here."""
REQUIRED = ("mask whole", "mask half", "mask quarter", "segmented whole")
"""Searches that must work before a set can pass. The others find more than these promise."""
LEAST_RECALL = 0.9
LEVEL = 0.05
"""The probability of a false alarm over all pairs and searches."""

VERSION = 2
"""Of the searches; part of every key."""

_ROTATION, _ZOOM, _SHIFT, _COLOUR = 15.0, 0.1, 0.1, 0.2
_TILES = tuple(f"tile {row + 1}.{column + 1}" for row, column in np.ndindex(3, 3))
_PLACES = (*WINDOWS, *_TILES)
_KEPT = 64
_AUGMENTED, _AUGMENTED_QUICK, _MOST_AUGMENTED = 60, 30, 100
_NEAREST, _NAMED = 10, 5
_VESSEL = 0.5
_LIMIT = "one pair that is as similar to a real one as no two real pairs of different patients are"


class RealGallery:
    """Real pairs, prepared for any number of searches."""

    def __init__(self, block: Block):
        """Takes pairs; memory is theirs and 344 kB each."""
        self.masks = Gallery(block.masks, FLIPS)
        self.flattened = functools.lru_cache(_KEPT)(lambda row: flattened(block.images[row], block.fields[row]))


def search_copies(
    block: Block, segmented: np.ndarray | None, gallery: RealGallery, skip: np.ndarray | None = None
) -> Arrays:
    """Searches for the most similar real pair of each pair of a block, in each way.

    Args:
        block: n pairs.
        segmented: `(n, size, size)`, bool: the vessels that a segmenter finds in the images; None leaves its
            searches out.
        gallery: m pairs.
        skip: `(n, m)`, bool: what is not compared.

    Returns:
        score: `(n, searches)`, float64, in the order of `SEARCHES`; NaN where left out.
        real: `(n, searches)`, int32: the real pair; -1 where left out.
        place: `(n, searches)`, int16: the window or tile, as `place_name` has it.
        transform: `(n, searches, 6)`, float32, as `transform_of` reads it.
        similarity: `(n, m)`, float32: of the whole masks in the coarse comparison.
    """
    count, ways = len(block.masks), 1 if segmented is None else 2
    masks = block.masks if segmented is None else np.concatenate([block.masks, segmented])
    found = search(masks, gallery.masks, skip=None if skip is None else np.concatenate([skip] * ways))
    arrays = {
        "score": np.full((count, len(SEARCHES)), np.nan),
        "real": np.full((count, len(SEARCHES)), -1, np.int32),
        "place": np.zeros((count, len(SEARCHES)), np.int16),
        "transform": np.zeros((count, len(SEARCHES), 6), np.float32),
        "similarity": found.similarity[:count],
    }
    for row in range(count):
        by_mask = [part[row + way * count] for way in range(ways) for part in found.matches.values()]
        for column, match in enumerate(by_mask):
            _note(arrays, row, column, match.score, match, match.window)
        _search_image(arrays, row, block, gallery, by_mask)
    return arrays


def place_name(place: int) -> str:
    """The window or the tile that an entry of `search_copies`'s `place` stands for."""
    return _PLACES[place]


def transform_of(row: Sequence[float]) -> Transform:
    """The transform of an entry of `search_copies`'s `transform`, from the real pair to the other."""
    flip_x, flip_y, *rest = (float(value) for value in row)
    return Transform((flip_x > 0.5, flip_y > 0.5), *rest)


def augmented(block: Block, rng: np.random.Generator) -> Block:
    """Pairs that are augmented as a copy might be, by which the recall is measured.

    Half are flipped in either direction; rotated by up to 15 degrees, scaled by 0.9 to 1.1, shifted by up to a tenth of
    the side along each axis; gain of each channel and gamma of the image changed by up to a fifth.
    """
    images, masks, fields = (np.empty_like(part) for part in (block.images, block.masks, block.fields))
    for row in range(len(masks)):
        flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        angle, zoom, *shift = rng.uniform(-1, 1, 4) * (_ROTATION, _ZOOM, _SHIFT, _SHIFT)
        moved = Transform(flips, angle, 1 + zoom, *shift)
        masks[row], fields[row] = moved.warp(block.masks[row]), moved.warp(block.fields[row])
        gain, gamma = 1 + rng.uniform(-_COLOUR, _COLOUR, 3), np.exp(rng.uniform(-_COLOUR, _COLOUR))
        light = np.stack([moved.warp(block.images[row, ..., c] / 255.0) for c in range(3)], axis=-1)
        images[row] = np.rint(255 * np.clip(light**gamma * gain, 0, 1)) * fields[row, ..., None]
    return Block(images, masks & fields, fields)


def thresholds(impostors: np.ndarray, count: int, patients: int | None = None) -> np.ndarray:
    """The scores from which on a pair is a copy, `(searches,)`, with one chance in 20 of a false alarm over all.

    Args:
        impostors: `(m, searches)`: scores of real pairs against those of other patients; NaN columns stay NaN.
        count: how many synthetic pairs there are.
        patients: of how many patients the real pairs are; each of its own where None.

    Returns:
        1 where fewer than two impostors could be compared, so that there is no telling.
    """
    used = np.isfinite(impostors).all(axis=0)
    limits = np.full(impostors.shape[1], np.nan)
    for column in np.flatnonzero(used):
        compared = impostors[impostors[:, column] > 0, column]  # 0 where a window held too little to be compared
        level = LEVEL / used.sum()
        limits[column] = threshold(compared, count, level, patients) if len(compared) > 1 else 1.0
    return limits


def searches(
    synthetic: np.ndarray, impostors: np.ndarray, genuine: np.ndarray, own: np.ndarray, limits: np.ndarray
) -> Iterator[CopySearch]:
    """Sums up each search that was made.

    Args:
        synthetic: `(n, searches)`: scores of the synthetic pairs.
        impostors: `(m, searches)`: of real pairs against those of other patients.
        genuine: `(d, searches)`: of augmented real pairs against all.
        own: `(d, searches)`, bool: whether what was found is the pair's own original.
        limits: `(searches,)`, from `thresholds`.
    """
    for column in np.flatnonzero(np.isfinite(limits)):
        limit, name = limits[column], SEARCHES[column]
        hits = (genuine[:, column] >= limit) & own[:, column]
        recall = float(hits.mean())
        yield CopySearch(
            name=name,
            threshold=float(limit),
            impostors=len(impostors),
            highest_impostor=float(impostors[:, column].max()),
            augmented=len(hits),
            recall=recall,
            recall_low=float(binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, "exact").low),
            copies=int(np.count_nonzero(synthetic[:, column] >= limit)),
            works=recall >= LEAST_RECALL,
            required=name in REQUIRED,
        )


def most_copies(count: int, confidence: float = 0.95) -> float:
    """The share of copies that `count` pairs without one do not exclude (Clopper, Pearson 1934): about 3 / count."""
    return float(1 - (1 - confidence) ** (1 / count))


@dataclass(frozen=True)
class RealPairs:
    """All real pairs at hand, train first.

    Attributes:
        block: the pairs.
        names, patients: `(m,)` of str.
        member: `(m,)`, bool: whether it is of train.
    """

    block: Block
    names: np.ndarray
    patients: np.ndarray
    member: np.ndarray

    @classmethod
    def of(cls, context: EvaluationContext) -> "RealPairs":
        """Train and holdout together."""
        return cls._joined([pairs for pairs in (context.train, context.holdout) if pairs is not None])

    @classmethod
    def at_full_size(cls, context: EvaluationContext) -> "RealPairs":
        """The same at the size of the generator."""
        return cls._joined([pairs.full for pairs in (context.train, context.holdout) if pairs is not None])

    @classmethod
    def _joined(cls, sets: Sequence[Pairs]) -> "RealPairs":
        blocks = [pairs.all() for pairs in sets]
        parts = ("images", "masks", "fields")
        block = Block(*(np.concatenate([getattr(one, part) for one in blocks]) for part in parts))
        names = np.array([name for pairs in sets for name in pairs.names])
        patients = np.array([name for pairs in sets for name in pairs.patients])
        return cls(block, names, patients, np.arange(len(names)) < len(sets[0]))

    def which(self, row: int) -> tuple[str, int]:
        """The set that a pair is of, `train` or `holdout`, and its place there."""
        if self.member[row]:
            return "train", row
        return "holdout", row - int(self.member.sum())


@dataclass(frozen=True)
class CopyAudit:
    """The result of all searches.

    Attributes:
        searches: each with its recall.
        copies: every copy that was confirmed, the surest first.
        nearest: the ten synthetic pairs that come nearest to a real one.
        verdict: on copies.
        excess: `(n,)`: the largest of score minus threshold over the searches; 0 or more is a copy.
        similarity: `(n, m)`: of the synthetic masks to the real ones.
        among_real: `(m, m)`: of the real masks to each other.
        scores: by search those of synthetic pairs, impostors and augmented real pairs.
    """

    searches: tuple[CopySearch, ...]
    copies: tuple[Copy, ...]
    nearest: tuple[Copy, ...]
    verdict: Verdict
    excess: np.ndarray
    similarity: np.ndarray
    among_real: np.ndarray
    scores: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def audit(context: EvaluationContext, real: RealPairs) -> CopyAudit:
    """Searches for real pairs among those of other patients, for augmented ones, and then for the synthetic ones."""
    searcher = _CopySearcher(context, real)
    impostors, genuine = searcher.impostors(), searcher.augmented()
    found = context.measured(context.synthetic, "searching for copies", searcher.key, searcher.search)
    limits = thresholds(impostors["score"], len(context.synthetic), len(np.unique(real.patients)))
    own = genuine["real"] == genuine["origin"][:, None]
    made = tuple(searches(found["score"], impostors["score"], genuine["score"], own, limits))
    above = found["score"] - limits
    excess = np.nanmax(above, axis=1)
    nearest = [_copy(context, real, found, limits, above, row) for row in np.argsort(-excess, kind="stable")]
    copies = tuple(copy for copy in nearest if copy.score >= copy.threshold)
    columns = {search.name: SEARCHES.index(search.name) for search in made}
    return CopyAudit(
        searches=made,
        copies=copies,
        nearest=tuple(nearest[:_NEAREST]),
        verdict=answer(made, copies, len(context.synthetic)),
        excess=excess,
        similarity=found["similarity"],
        among_real=impostors["similarity"],
        scores={
            name: tuple(arrays["score"][:, column] for arrays in (found, impostors, genuine))
            for name, column in columns.items()
        },
    )


def answer(made: Sequence[CopySearch], copies: Sequence[Copy], count: int) -> Verdict:
    """The verdict on copies that follows from the searches among so many synthetic pairs."""
    required = [search for search in made if search.required]
    weak = [search for search in required if not search.works]
    state, needed, private = State.PASS, None, ()
    if copies:
        state, private = State.FAIL, [_named(copy) for copy in copies[:_NAMED]]
        sentence = f"{len(copies)} of {count:,} pairs copy a real one."
    elif weak:
        state = State.CANNOT_TELL
        found = "; ".join(f"{search.name}: {search.recall:.0%}" for search in weak)
        sentence = (
            "No copy was found, but the search would have missed too many: of augmented real pairs it found too few "
            f"({found})."
        )
        needed = (
            f"a search that finds {LEAST_RECALL:.0%} of augmented real pairs: larger images, more real pairs, or a "
            "better segmenter (more steps)"
        )
    else:
        least = min(search.recall for search in required)
        sentence = (
            f"No copy was found among {count:,} pairs, by a search that finds {least:.0%} or more of augmented real "
            f"pairs; at most {most_copies(count):.2%} of such pairs are copies (95 % confidence)."
        )
    evidence = [
        Evidence(name=f"recall of the search {search.name}", value=search.recall, low=search.recall_low, high=1.0)
        for search in required
    ]
    return Verdict(
        question="copies",
        state=state,
        sentence=sentence,
        limit=_LIMIT,
        needed=needed,
        invalid=state is State.CANNOT_TELL,
        evidence=[Evidence(name="copies", value=len(copies)), *evidence],
        private=private,
    )


class _CopySearcher:
    """The searches in a context; what they share is made when it is first needed."""

    def __init__(self, context: EvaluationContext, real: RealPairs):
        self._context, self._real = context, real
        sets = (context.train, context.holdout)
        self.key = {
            "version": VERSION,
            "real": [pairs.fingerprint for pairs in sets if pairs is not None],
            **segmenters.key_on_real(context),
        }

    @functools.cached_property
    def _gallery(self) -> RealGallery:
        return RealGallery(self._real.block)

    @functools.cached_property
    def _segmenter(self):
        return segmenters.on_real(self._context)

    def search(self, block: Block, skip: np.ndarray | None = None) -> Arrays:
        """As `search_copies`."""
        return search_copies(block, segmenters.find(self._segmenter, block) >= _VESSEL, self._gallery, skip)

    def impostors(self) -> Arrays:
        """Each real pair against those of other patients."""
        patients = self._real.patients
        skip = patients[:, None] == patients
        return self._context.cache.arrays("impostors", self.key, lambda: self.search(self._real.block, skip))

    def augmented(self) -> Arrays:
        """Augmented real pairs against all; `origin` is the real pair that each was made from."""
        total, least = len(self._real.names), _AUGMENTED_QUICK if self._context.settings.quick else _AUGMENTED
        origin = np.arange(min(max(total, least), _MOST_AUGMENTED)) % total
        if total > _MOST_AUGMENTED:
            origin = segmenters.evenly(total, _MOST_AUGMENTED)
        key = self.key | {"augmented pairs": len(origin), "seed": self._context.settings.seed}

        def compute() -> Arrays:
            block = self._real.block
            some = Block(block.images[origin], block.masks[origin], block.fields[origin])
            return self.search(augmented(some, self._context.rng("augmented copies"))) | {"origin": origin}

        return self._context.cache.arrays("augmented copies", key, compute)


def _copy(
    context: EvaluationContext, real: RealPairs, found: Arrays, limits: np.ndarray, above: np.ndarray, row: int
) -> Copy:
    """The real pair that a synthetic one is nearest to, in the search where it exceeds the threshold most."""
    column = int(np.nanargmax(above[row]))
    nearest = int(found["real"][row, column])
    real_set, real_row = real.which(nearest)
    return Copy(
        synthetic=context.synthetic.names[row],
        row=int(row),
        real=str(real.names[nearest]),
        patient=str(real.patients[nearest]),
        real_set=real_set,
        real_row=real_row,
        search=SEARCHES[column],
        place=place_name(int(found["place"][row, column])),
        score=float(found["score"][row, column]),
        threshold=float(limits[column]),
        transform=transform_of(found["transform"][row, column]),
    )


def _named(copy: Copy) -> str:
    return (
        f"{copy.synthetic} is {copy.real} of patient {copy.patient} ({copy.real_set}; {copy.search}, {copy.place}: "
        f"score {copy.score:.2f}, threshold {copy.threshold:.2f})."
    )


def _search_image(arrays: Arrays, row: int, block: Block, gallery: RealGallery, aligned: list[Match]) -> None:
    """The images' similarity in all alignments that the masks gave; the best whole and the best tile are noted."""
    ours = flattened(block.images[row], block.fields[row])
    whole, tile = SEARCHES.index("image whole"), SEARCHES.index("image tile")
    arrays["score"][row, [whole, tile]] = -1
    for match in {(match.real, match.transform): match for match in aligned}.values():
        alike = image_similarity(ours, gallery.flattened(match.real), match.transform)
        if alike.whole > arrays["score"][row, whole]:
            _note(arrays, row, whole, alike.whole, match, "whole")
        if np.isfinite(alike.tiles).any() and np.nanmax(alike.tiles) > arrays["score"][row, tile]:
            _note(arrays, row, tile, np.nanmax(alike.tiles), match, _TILES[int(np.nanargmax(alike.tiles))])


def _note(arrays: Arrays, row: int, column: int, score: float, match: Match, place: str) -> None:
    flips, *rest = astuple(match.transform)
    arrays["score"][row, column], arrays["real"][row, column] = score, match.real
    arrays["place"][row, column] = _PLACES.index(place)
    arrays["transform"][row, column] = (*flips, *rest)
