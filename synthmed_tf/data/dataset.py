"""A training set: pairs from a folder or drawn by the phantom, in one array, with the facts that a card reports."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf.config.schema import Config, DataConfig
from synthmed_tf.data.phantom import draw_phantoms
from synthmed_tf.data.pipeline import COVERAGE, FOV, stack_samples
from synthmed_tf.data.preprocessing import load_samples
from synthmed_tf.data.sources import find_pairs, parse_patients, split_by_patient
from synthmed_tf.errors import SynthMedError

PHANTOM = "phantom"
"""In place of a folder: the built-in set."""

PHANTOM_COUNT = 64

_LEAST_TO_SPLIT = 5


@dataclass(frozen=True)
class Dataset:
    """Decoded pairs.

    Attributes:
        pairs: `(pairs, size, size, 5)`, uint8: photograph, coverage, field of view.
        facts: source, layout, pairs, patients and the SHA-256 of the array.
        validation: pairs of other patients, by whom the step is chosen; None where there are none.
    """

    pairs: np.ndarray
    facts: dict[str, Any]
    validation: np.ndarray | None = None

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
        training, held = _split(samples, options, config.seed)
        layout, source = PHANTOM, PHANTOM
    else:
        found = find_pairs(data, options.patient_regex)
        labelled = [pair for pair in found.pairs if pair.mask is not None]
        if not labelled:
            raise SynthMedError(
                f"{data} (layout {found.layout}) has photographs alone; training needs vessel masks beside them: "
                "synthmed segment draws them."
            )
        chosen, validation = _split(labelled, options, config.seed)
        samples = load_samples([*chosen, *validation], size, progress=progress)
        training, held = samples[: len(chosen)], samples[len(chosen) :]
        layout, source = found.layout, Path(data).resolve().name
    on_disk = cache is not None and len(training) * size * size * 5 > config.data.cache_limit_mb * 2**20
    array = stack_samples(training, cache / "pairs.npy" if on_disk else None)
    facts = _facts(source, layout, training, array) | {"validation_patients": _patients(held)}
    return Dataset(array, facts, stack_samples(held) if held else None)


def _split(items: Sequence, options: DataConfig, seed: int) -> tuple[list, list]:
    """Pairs or samples to train on, and those of the patients held out to choose the step by."""
    patients = tuple(dict.fromkeys(item.patient for item in items))
    held: set[str] = set()
    if options.validation_patients is not None:
        held = set(parse_patients(options.validation_patients, patients))
    chosen = set(patients) if options.patients is None else set(parse_patients(options.patients, patients))
    if options.patients is not None and chosen & held:
        raise SynthMedError(
            f"Options data.patients and data.validation_patients both name {_listed(chosen & held)}; name each patient "
            "once."
        )
    chosen -= held
    if not chosen:
        raise SynthMedError("Option data.validation_patients names all patients; leave some to train on.")
    if not held and options.validation_share and len(chosen) >= _LEAST_TO_SPLIT:
        of_chosen = [item for item in items if item.patient in chosen]
        held = {item.patient for item in split_by_patient(of_chosen, options.validation_share, seed)[1]}
        chosen -= held
    return [item for item in items if item.patient in chosen], [item for item in items if item.patient in held]


def _patients(items: Sequence) -> list[str]:
    return sorted({item.patient for item in items})


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


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
