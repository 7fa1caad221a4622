"""A stage's snapshot: the averaged network alone, with what generation needs in addition.

The latest is in `<stage>/snapshot`, the best by the measure on the validation patients in `<stage>/best`:

    <stage>/snapshot/weights.npz     arrays in the order of the network's weights
    <stage>/snapshot/fov.png         the field of view that images are generated for
    <stage>/snapshot/snapshot.json   configuration, step, threshold, styles, training data

It does not depend on the stack: a run of one TensorFlow can be exported by the other.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.config.schema import Config, config_from_json
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.models.style_prior import StylePrior
from synthmed_tf.old_names import renamed


@dataclass(frozen=True)
class Snapshot:
    """What a stage hands on.

    Attributes:
        stage: `stage1`, `stage2` or `segmenter`.
        config: of the run.
        step: how long it was trained.
        weights: as `keras.Model.get_weights` gives them.
        fov: `(size, size, 1)`, uint8 in {0, 255}.
        threshold: of `coverage_tanh`, in [-1, 1], above which a pixel is vessel (Stage-I; 0 in Stage-II).
        data: what it was trained on: source, layout, pairs, patients, fingerprint.
        measure: by the validation patients, less is better; None where it was not validated.
        thresholds: of the probabilities of Stage-I's fine network; None elsewhere.
        styles: what Stage-II's styles are generated from; None for a standard normal distribution.
    """

    stage: str
    config: Config
    step: int
    weights: list[np.ndarray]
    fov: np.ndarray
    threshold: float
    data: dict[str, Any]
    measure: float | None = None
    styles: StylePrior | None = None
    thresholds: Thresholds | None = None


def save(snapshot: Snapshot, folder: Path) -> None:
    """Writes a snapshot next to the one that is there, then replaces it."""
    with files.replaced_folder(folder) as new:
        np.savez(new / "weights.npz", *snapshot.weights)
        images.write_png(new / "fov.png", snapshot.fov[..., 0])
        facts = {
            "stage": snapshot.stage,
            "step": snapshot.step,
            "threshold": snapshot.threshold,
            "measure": snapshot.measure,
            "thresholds": None if snapshot.thresholds is None else snapshot.thresholds._asdict(),
            "styles": None if snapshot.styles is None else _as_lists(snapshot.styles),
            "data": snapshot.data,
            "config": snapshot.config.model_dump(mode="json"),
        }
        (new / "snapshot.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Snapshot:
    """Reads a snapshot.

    Raises:
        SynthMedError: there is none, or a part of it cannot be read.
    """
    folder = Path(folder)
    if not (folder / "snapshot.json").is_file():
        raise SynthMedError(f"There is no snapshot in {folder}; train this stage first (synthmed train).")
    try:
        snapshot = _read(folder)
        _check(snapshot)
    except PermissionError as error:
        raise SynthMedError(
            f"{error.filename} cannot be read ({error.strerror}); check its rights and run the same command again."
        ) from error
    except Exception as error:  # NumPy and zipfile meet damage with errors of many classes
        raise SynthMedError(_damaged(folder, error)) from error
    return snapshot


def chosen(stage_folder: Path) -> Path:
    """The folder of the best snapshot where there is one, else of the latest."""
    best = Path(stage_folder) / "best"
    return best if best.is_dir() else Path(stage_folder) / "snapshot"


def restore(model: Any, snapshot: Snapshot, folder: Path) -> None:
    """Puts a snapshot's weights into a network of its configuration.

    Args:
        model: a `keras.Model` whose weights are made.
        snapshot: what was loaded from `folder`.
        folder: names the snapshot in the error's sentence.

    Raises:
        SynthMedError: the weights are of another network.
    """
    shapes = [tuple(weight.shape) for weight in model.get_weights()]
    if [weight.shape for weight in snapshot.weights] != shapes:
        raise SynthMedError(_damaged(folder, ValueError("weights.npz does not fit the configuration")))
    model.set_weights(snapshot.weights)


def _read(folder: Path) -> Snapshot:
    facts = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"), object_hook=renamed)
    with np.load(folder / "weights.npz") as archive:
        weights = [archive[name] for name in archive.files]
    config = config_from_json(json.dumps(facts["config"]), "snapshot.json")
    fov = images.read_image(folder / "fov.png")[..., :1]
    measure, styles, thresholds = (facts.get(name) for name in ("measure", "styles", "thresholds"))
    if styles is not None:
        styles = StylePrior(*(np.array(styles[name], np.float32) for name in ("mean", "factor")))
    return Snapshot(
        stage=facts["stage"],
        config=config,
        step=facts["step"],
        weights=weights,
        fov=fov,
        threshold=facts["threshold"],
        data=facts["data"],
        measure=measure,
        styles=styles,
        thresholds=None if thresholds is None else Thresholds(**thresholds),
    )


def _as_lists(styles: StylePrior) -> dict[str, list]:
    return {"mean": styles.mean.tolist(), "factor": styles.factor.tolist()}


def _check(snapshot: Snapshot) -> None:
    size = snapshot.config.size
    if snapshot.fov.shape != (size, size, 1):
        raise ValueError(f"fov.png has {snapshot.fov.shape[1]}x{snapshot.fov.shape[0]} pixels, not {size}x{size}")
    if not -1 <= snapshot.threshold <= 1:
        raise ValueError(f"the threshold is {snapshot.threshold}, not from -1 to 1")
    dim = snapshot.config.stage2.style_dim
    if snapshot.styles is not None and (snapshot.styles.mean.shape, snapshot.styles.factor.shape) != (
        (dim,),
        (dim, dim),
    ):
        raise ValueError(f"the styles are not of {dim} numbers")
    if snapshot.thresholds is not None and not 0 < min(snapshot.thresholds) <= max(snapshot.thresholds) < 1:
        raise ValueError(f"the thresholds are {tuple(snapshot.thresholds)}, not between 0 and 1")
    if not all(np.isfinite(weight).all() for weight in snapshot.weights):
        raise ValueError("weights.npz holds a value that is not finite")


def _damaged(folder: Path, error: Exception) -> str:
    reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split()).rstrip(".")
    return (
        f"The snapshot in {folder} is damaged ({reason}); restore it from a copy, or move that folder away and run the "
        "same synthmed train again."
    )
