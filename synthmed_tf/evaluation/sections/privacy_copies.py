"""The half of the privacy section that searches for copies."""

import functools
from dataclasses import dataclass

import numpy as np

from synthmed_tf.evaluation import copy_audit, segmenters
from synthmed_tf.evaluation.cache import Arrays
from synthmed_tf.evaluation.context import Case, Figures
from synthmed_tf.evaluation.copy_audit import LEAST_RECALL, REQUIRED, SEARCHES
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.evaluation.verdict import State, Verdict

VERSION = 1
"""Of the searches; part of every key."""

_DISGUISED, _DISGUISED_QUICK, _MOST_DISGUISED = 60, 30, 100
_NEAREST, _NAMED = 10, 5
_VESSEL = 0.5
_LIMIT = "one pair that is as like a real one as no two real pairs of different patients are"


@dataclass(frozen=True)
class Real:
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

    def which(self, row: int) -> tuple[str, int]:
        """The set that a pair is of, `train` or `holdout`, and its place there."""
        if self.member[row]:
            return "train", row
        return "holdout", row - int(self.member.sum())


class SearchFigures(Figures):
    """What one way of searching is worth, and what it found; the figures of `evaluation.copy_audit.Search`.

    Attributes:
        name: what is compared.
        threshold: the score from which on a pair is a copy.
        strangers: how many real pairs were held against those of other patients.
        highest_stranger: the highest score among them.
        disguised: how many real pairs were searched for in disguise.
        recall, recall_low: share of them found at their own original, with the lower end of its 95 percent interval.
        copies: synthetic pairs that reach the threshold.
        works: whether it finds nine disguised copies in ten.
        required: whether a set can pass without.
    """

    name: str
    threshold: float
    strangers: int
    highest_stranger: float
    disguised: int
    recall: float
    recall_low: float
    copies: int
    works: bool
    required: bool


class Copy(Figures):
    """A synthetic pair and the real one that it is nearest to.

    Attributes:
        synthetic: the pair's name.
        row: its place in the set.
        real, patient: name of the real pair, and whose it is.
        real_set, real_row: `train` or `holdout`, and its place there.
        search: the search in which it exceeds the threshold most.
        place: what part of the synthetic image was compared.
        score, threshold: in that search.
        flips, rotation, scale, right, down: from the real image to the synthetic one, as
            `evaluation.transforms.Transform` has it.
    """

    synthetic: str
    row: int
    real: str
    patient: str
    real_set: str
    real_row: int
    search: str
    place: str
    score: float
    threshold: float
    flips: tuple[bool, bool]
    rotation: float
    scale: float
    right: float
    down: float


@dataclass(frozen=True)
class Audit:
    """What the searches came to.

    Attributes:
        searches, copies: as `PrivacyFigures` has them.
        verdict: on copies.
        excess: `(n,)`: the largest of score minus threshold over the searches; 0 or more is a copy.
        likeness: `(n, m)`: of the synthetic masks to the real ones.
        among_real: `(m, m)`: of the real masks to each other.
        arrays: what plots show.
    """

    searches: list[SearchFigures]
    copies: list[Copy]
    verdict: Verdict
    excess: np.ndarray
    likeness: np.ndarray
    among_real: np.ndarray
    arrays: Arrays


def gathered(case: Case) -> Real:
    """Train and holdout together."""
    sets = [pairs for pairs in (case.train, case.holdout) if pairs is not None]
    blocks = [pairs.all() for pairs in sets]
    block = Block(
        *(np.concatenate([getattr(one, part) for one in blocks]) for part in ("photographs", "masks", "fields"))
    )
    names, patients = (
        np.array([name for pairs in sets for name in getattr(pairs, of)]) for of in ("names", "patients")
    )
    return Real(block, names, patients, np.arange(len(names)) < len(case.train))


def audit(case: Case, real: Real) -> Audit:
    """Hunts real pairs among strangers, disguised ones for their originals, and then the synthetic ones."""
    hunter = _Hunter(case, real)
    strangers, disguised = hunter.strangers(), hunter.disguised()
    found = case.measured(case.synthetic, "searching for copies", hunter.key, hunter.hunt)
    patients = len(np.unique(real.patients))
    limits = copy_audit.thresholds(strangers["score"], len(case.synthetic), patients)
    own = disguised["real"] == disguised["origin"][:, None]
    made = list(copy_audit.searches(found["score"], strangers["score"], disguised["score"], own, limits))
    above = found["score"] - limits
    excess = np.nanmax(above, axis=1)
    nearest = [_copy(case, real, found, limits, above, row) for row in np.argsort(-excess, kind="stable")]
    copies = [copy for copy in nearest if copy.score >= copy.threshold]
    arrays = {f"{kind} scores": arrays["score"] for kind, arrays in (("stranger", strangers), ("disguised", disguised))}
    arrays |= {"synthetic scores": found["score"], "thresholds": limits, "searches": np.array(SEARCHES)}
    arrays["nearest"] = [copy.model_dump() for copy in nearest[:_NEAREST]]
    figures = [SearchFigures(**vars(search), works=search.works, required=search.name in REQUIRED) for search in made]
    verdict = _verdict(figures, copies, len(case.synthetic))
    return Audit(figures, copies, verdict, excess, found["likeness"], strangers["likeness"], arrays)


class _Hunter:
    """The searches of a case, with all that they share made when it is first needed."""

    def __init__(self, case: Case, real: Real):
        self._case, self._real = case, real
        sets = (case.train, case.holdout)
        self.key = {
            "version": VERSION,
            "real": [pairs.fingerprint for pairs in sets if pairs is not None],
            **segmenters.key_on_real(case),
        }

    @functools.cached_property
    def _reals(self) -> copy_audit.Reals:
        return copy_audit.Reals(self._real.block)

    @functools.cached_property
    def _segmenter(self):
        return segmenters.on_real(self._case)

    def hunt(self, block: Block, skip: np.ndarray | None = None) -> Arrays:
        """As `copy_audit.hunt`."""
        return copy_audit.hunt(block, segmenters.find(self._segmenter, block) >= _VESSEL, self._reals, skip)

    def strangers(self) -> Arrays:
        """Each real pair against those of other patients."""
        patients = self._real.patients
        skip = patients[:, None] == patients
        return self._case.cache.arrays("strangers", self.key, lambda: self.hunt(self._real.block, skip))

    def disguised(self) -> Arrays:
        """Real pairs in disguise against all; `origin` is whose disguise it is."""
        total, least = len(self._real.names), _DISGUISED_QUICK if self._case.settings.quick else _DISGUISED
        origin = np.arange(min(max(total, least), _MOST_DISGUISED)) % total
        if total > _MOST_DISGUISED:
            origin = segmenters.evenly(total, _MOST_DISGUISED)
        key = self.key | {"disguised": len(origin), "seed": self._case.settings.seed}

        def compute() -> Arrays:
            block = self._real.block
            some = Block(block.photographs[origin], block.masks[origin], block.fields[origin])
            return self.hunt(copy_audit.hidden(some, self._case.rng("disguise"))) | {"origin": origin}

        return self._case.cache.arrays("disguised", key, compute)


def _copy(case: Case, real: Real, found: Arrays, limits: np.ndarray, above: np.ndarray, row: int) -> Copy:
    """The real pair that a synthetic one is nearest to, in the search where it exceeds the threshold most."""
    column = int(np.nanargmax(above[row]))
    nearest = int(found["real"][row, column])
    real_set, real_row = real.which(nearest)
    return Copy(
        synthetic=case.synthetic.names[row],
        row=int(row),
        real=str(real.names[nearest]),
        patient=str(real.patients[nearest]),
        real_set=real_set,
        real_row=real_row,
        search=SEARCHES[column],
        place=copy_audit.place_name(int(found["place"][row, column])),
        score=float(found["score"][row, column]),
        threshold=float(limits[column]),
        **vars(copy_audit.transform_of(found["transform"][row, column])),
    )


def _verdict(searches: list[SearchFigures], copies: list[Copy], count: int) -> Verdict:
    if copies:
        return Verdict(question="copies", state=State.FAIL, sentence=_named(copies, count), limit=_LIMIT)
    blunt = [search for search in searches if search.required and not search.works]
    if blunt:
        found = "; ".join(f"{search.name}: {search.recall:.0%}" for search in blunt)
        return Verdict(
            question="copies",
            state=State.CANNOT_TELL,
            sentence=f"No copy was found, but the search would have missed too many: of disguised real pairs it found "
            f"too few ({found}).",
            limit=_LIMIT,
            needed=f"a search that finds {LEAST_RECALL:.0%} of disguised real pairs: larger images, more real "
            "pairs, or a better segmenter (more steps)",
            invalid=True,
        )
    least = min(search.recall for search in searches if search.required)
    return Verdict(
        question="copies",
        state=State.PASS,
        sentence=f"No copy was found among {count:,} pairs, by a search that finds {least:.0%} or more of disguised "
        f"real pairs; at most {copy_audit.most_copies(count):.2%} of such pairs are copies (95 % confidence).",
        limit=_LIMIT,
    )


def _named(copies: list[Copy], count: int) -> str:
    listed = "; ".join(
        f"{copy.synthetic} is {copy.real} of patient {copy.patient} ({copy.real_set}; {copy.search}, {copy.place}: "
        f"score {copy.score:.2f}, threshold {copy.threshold:.2f})"
        for copy in copies[:_NAMED]
    )
    more = f"; and {len(copies) - _NAMED} more" if len(copies) > _NAMED else ""
    return f"{len(copies)} of {count:,} pairs copy a real one: {listed}{more}."
