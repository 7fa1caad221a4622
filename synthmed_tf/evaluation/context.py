"""What is evaluated and against what, with the cache of measurements, and what each section of the report returns."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pydantic

from synthmed_tf import files
from synthmed_tf.config.image_kind import ImageKind
from synthmed_tf.evaluation import results
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.privacy_results import Copy, Privacy
from synthmed_tf.evaluation.verdict import Result, Verdict

Arrays = dict[str, np.ndarray]
Metrics = TypeVar("Metrics", bound=Result)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the total."""

_CHUNK = 128


class Cache:
    """Results that take long, in a folder with one file for each name and key: an interrupted command resumes."""

    def __init__(self, folder: Path):
        """Keeps the path; the folder is made with the first result."""
        self.folder = Path(folder)

    def arrays(self, name: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """The result of `compute`, from the cache where it was computed with this key before.

        Args:
            name: what it is, for people.
            key: everything that it depends on, as JSON. A change of the code that changes the result must change the
                key.
            compute: called where there is no result, or a damaged one.
        """
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        file = self.folder / f"{name}-{digest}.npz"
        arrays = _read(file)
        if arrays is None:
            arrays = compute()
            with files.replaced_file(file) as new:
                np.savez(new, **arrays)
        return arrays


def _read(file: Path) -> Arrays | None:
    try:
        with np.load(file) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


class Settings(pydantic.BaseModel):
    """How thorough the evaluation is.

    Attributes:
        quick: whether this is a quick look, which the report says.
        seeds: segmenters of each arm.
        segmenter_steps: steps that each is trained for.
        permutations: of each test.
        seed: of all random numbers.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    quick: bool = False
    seeds: int = pydantic.Field(3, ge=1, le=50)
    segmenter_steps: int = pydantic.Field(1000, ge=1)
    permutations: int = pydantic.Field(999, ge=99)
    seed: int = 0


QUICK = Settings(quick=True, seeds=1, segmenter_steps=200, permutations=199)


@dataclass(frozen=True)
class EvaluationContext:
    """One synthetic set, and what it is compared with.

    Attributes:
        synthetic: the set (in memory for tests and as a library).
        train: the real pairs that the generator was trained on.
        holdout: real pairs of patients that it never saw; None where there are none.
        other: real pairs of another camera, to test segmenters on; None where there are none.
        cache: of results that take long.
        settings: how thorough the evaluation is.
        artifact, run: of the generator, for the attacks that need it; None where they were not given.
        progress: as `Progress`.
    """

    synthetic: Pairs
    train: Pairs
    holdout: Pairs | None
    cache: Cache
    settings: Settings = Settings()
    other: Pairs | None = None
    artifact: Path | None = None
    run: Path | None = None
    progress: Progress = lambda what, done, total: None

    @property
    def kind(self) -> ImageKind:
        """What kind of images these are."""
        return self.synthetic.kind

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers for a purpose, the same in every run with the settings' seed."""
        return np.random.default_rng([self.settings.seed, *purpose.encode()])

    def measured(self, pairs: Pairs, name: str, key: Mapping[str, Any], measure: Callable[[Block], Arrays]) -> Arrays:
        """Measures pairs chunk by chunk; finished chunks are cached, so that an interruption costs one chunk.

        Args:
            pairs: of any number; only a chunk is held in memory.
            name: what is measured, for the cache and for people.
            key: as for `Cache.arrays`, without the pairs' fingerprint.
            measure: a block of n pairs to arrays of n rows each.

        Returns:
            The arrays, `(pairs, ...)`.
        """
        parts = []
        for start in range(0, len(pairs), _CHUNK):
            rows = list(range(start, min(start + _CHUNK, len(pairs))))
            whole = {"pairs": pairs.fingerprint, "rows": [rows[0], rows[-1]], **key}
            parts.append(self.cache.arrays(name, whole, lambda rows=rows: measure(pairs.read(rows))))
            self.progress(name, rows[-1] + 1, len(pairs))
        return {part: np.concatenate([chunk[part] for chunk in parts]) for part in parts[0]}


@dataclass(frozen=True)
class SectionResult(Generic[Metrics]):
    """What a section returns; its subclasses add the arrays that plots show and the report does not hold.

    Attributes:
        metrics: the section's results, which go into `report.json`.
        verdicts: its answers.
        scores: `(synthetic pairs,)` each, by name: scores of single pairs, by which a set can be filtered, and words on
            them.
    """

    metrics: Metrics
    verdicts: tuple[Verdict, ...] = ()
    scores: Arrays = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UtilityResult(SectionResult[results.Utility]):
    """Attributes: `dice`, by test set and arm `(seeds, images)`: the Dice of each image."""

    dice: dict[str, Arrays]


@dataclass(frozen=True, kw_only=True)
class FidelityResult(SectionResult[results.Fidelity]):
    """Attributes: `unseen`, `(holdout,)`: the Dice of each unseen real pair; None without a holdout."""

    unseen: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class GeometryResult(SectionResult[results.Geometry]):
    """Attributes: `real`, `(r, 15)`, and `synthetic`, `(n, 15)`: features of the trees, NaN where missing."""

    real: np.ndarray
    synthetic: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DispersionResult(SectionResult[results.Dispersion]):
    """Attributes: `real` and `synthetic`, `(3, 64)`: mean histograms, shares that sum to 1 for each channel."""

    real: np.ndarray
    synthetic: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PrivacyResult(SectionResult[Privacy]):
    """Copies and attacks.

    Attributes:
        copy_scores: by search the scores of synthetic pairs, impostors and augmented real pairs, `(pairs,)` each.
        nearest: the ten synthetic pairs that come nearest to a real one.
        roc: by attack `(2, k)` of FPR and TPR.
    """

    copy_scores: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    nearest: tuple[Copy, ...]
    roc: Arrays


@dataclass(frozen=True)
class SectionResults:
    """The results of all sections, in the order of the report; None for one that did not run."""

    compared: SectionResult[results.Compared]
    utility: UtilityResult | None = None
    fidelity: FidelityResult | None = None
    geometry: GeometryResult | None = None
    distribution: SectionResult[results.Distribution] | None = None
    dispersion: DispersionResult | None = None
    privacy: PrivacyResult | None = None

    def items(self) -> Iterator[tuple[str, SectionResult]]:
        """The sections that ran, with their names."""
        for section in fields(self):
            result = getattr(self, section.name)
            if result is not None:
                yield section.name, result

    @property
    def metrics(self) -> results.Sections:
        """As the report holds them."""
        return results.Sections(**{name: result.metrics for name, result in self.items()})

    @property
    def scores(self) -> Arrays:
        """The scores of single pairs from all sections."""
        return {name: column for _, result in self.items() for name, column in result.scores.items()}
