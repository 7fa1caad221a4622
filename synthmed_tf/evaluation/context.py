"""What is judged, with what, and what a section of the report comes to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from synthmed_tf.evaluation.cache import Arrays, Cache
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.evaluation.verdict import Verdict

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much."""

_CHUNK = 128


class Settings(pydantic.BaseModel):
    """How thoroughly it is judged.

    Attributes:
        quick: whether this is a quick look, which the report says.
        seeds: segmenters of each arm.
        segmenter_steps: steps that each is trained for.
        permutations: of each test.
        seed: of everything that is drawn.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    quick: bool = False
    seeds: int = pydantic.Field(3, ge=1, le=50)
    segmenter_steps: int = pydantic.Field(1000, ge=1)
    permutations: int = pydantic.Field(999, ge=99)
    seed: int = 0


QUICK = Settings(quick=True, seeds=1, segmenter_steps=200, permutations=199)


@dataclass(frozen=True)
class Case:
    """One synthetic set, and what it is held against.

    Attributes:
        synthetic: the set (in memory for tests and as a library).
        train: the real pairs that the generator was trained on.
        holdout: real pairs of patients that it never saw; None where there are none.
        other: real pairs of another camera, to test segmenters on; None where there are none.
        cache: of results that take long.
        settings: how thoroughly.
        artifact, run: of the generator, for the attacks that need it; None where they are not at hand.
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

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers of a purpose, the same in every run with the settings' seed."""
        return np.random.default_rng([self.settings.seed, *purpose.encode()])

    def measured(self, pairs: Pairs, name: str, key: Mapping[str, Any], measure: Callable[[Block], Arrays]) -> Arrays:
        """Measures pairs chunk by chunk; finished chunks are kept, so that an interruption costs one.

        Args:
            pairs: of any number; only a chunk is held in memory.
            name: what is measured, for the cache and for people.
            key: as for `Cache.arrays`, the pairs' fingerprint apart.
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
class Outcome:
    """What a section came to.

    Attributes:
        figures: the section's own model, which goes into `report.json`.
        verdicts: its answers.
        scores: `(synthetic pairs,)` each, by name: figures of single pairs, by which a set can be filtered.
        arrays: what its plots show and the report does not print.
    """

    figures: pydantic.BaseModel
    verdicts: tuple[Verdict, ...] = ()
    scores: Arrays = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)


class Figures(pydantic.BaseModel):
    """The base of a section's figures: frozen, and NaN is null in JSON."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", protected_namespaces=())
