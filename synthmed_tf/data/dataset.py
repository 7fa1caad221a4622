"""A training set: pairs from a folder or drawn by the phantom, in one array, with the facts that a card reports."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf.config import Config
from synthmed_tf.data.phantom import draw_phantoms
from synthmed_tf.data.pipeline import COVERAGE, FOV, stack_samples
from synthmed_tf.data.reading import load_samples
from synthmed_tf.data.sources import find_pairs, parse_patients
from synthmed_tf.errors import SynthMedError

PHANTOM = "phantom"
"""In place of a folder: the built-in set."""

PHANTOM_COUNT = 64


@dataclass(frozen=True)
class Dataset:
    """Decoded pairs.

    Attributes:
        pairs: `(pairs, size, size, 5)`, uint8: photograph, coverage, field of view.
        facts: source, layout, pairs, patients and the SHA-256 of the array.
    """

    pairs: np.ndarray
    facts: dict[str, Any]

    @property
    def fov(self) -> np.ndarray:
        """The field of view of most pairs, `(size, size, 1)`, uint8 in {0, 255}."""
        return np.where(np.mean(self.pairs[..., FOV] >= 128, axis=0) >= 0.5, 255, 0).astype(np.uint8)

    @property
    def vessel_share(self) -> float:
        """The share of that field of view that vessels cover, averaged over the pairs."""
        inside = self.fov >= 128
        return float(np.mean(self.pairs[..., COVERAGE][:, inside] >= 128))


def load_dataset(
    data: str, config: Config, cache: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Dataset:
    """Reads and decodes each pair once.

    Args:
        data: a folder, or `phantom`.
        config: for size, patients and the size above which the array lies on disk.
        cache: the folder for that; in memory where None.
        progress: called with (done, total).

    Raises:
        SynthMedError: something is wrong with the folder or a file in it, or a photograph has no mask.
    """
    size, options = config.size, config.data
    if data == PHANTOM:
        samples = draw_phantoms(size, PHANTOM_COUNT, seed=0)
        layout, source = PHANTOM, PHANTOM
    else:
        found = find_pairs(data, options.patient_regex)
        chosen = found.patients if options.patients is None else parse_patients(options.patients, found.patients)
        pairs = [pair for pair in found.pairs if pair.patient in chosen]
        labelled = [pair for pair in pairs if pair.mask is not None]
        if not labelled:
            raise SynthMedError(
                f"{data} (layout {found.layout}) has photographs alone; training needs vessel masks beside them."
            )
        samples = load_samples(labelled, size, progress=progress)
        layout, source = found.layout, Path(data).resolve().name
    on_disk = cache is not None and len(samples) * size * size * 5 > config.data.cache_limit_mb * 2**20
    array = stack_samples(samples, cache / "pairs.npy" if on_disk else None)
    return Dataset(array, _facts(source, layout, samples, array))


def _facts(source: str, layout: str, samples, array: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256()
    for row in array:
        digest.update(row)
    return {
        "source": source,
        "layout": layout,
        "pairs": len(samples),
        "patients": len({sample.patient for sample in samples}),
        "size": int(array.shape[1]),
        "sha256": digest.hexdigest(),
    }
