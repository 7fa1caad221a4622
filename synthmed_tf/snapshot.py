"""A stage's snapshot: the averaged generator alone, with what drawing needs beside it.

    <stage>/snapshot/weights.npz     arrays in the order of the network's weights
    <stage>/snapshot/fov.png         the field of view that pictures are drawn for
    <stage>/snapshot/snapshot.json   configuration, step, threshold, training data

It does not depend on the stack: a run of one TensorFlow can be exported by the other.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.config import Config, config_from_json
from synthmed_tf.errors import SynthMedError


@dataclass(frozen=True)
class Snapshot:
    """What a stage hands on.

    Attributes:
        stage: `stage1` or `stage2`.
        config: of the run.
        step: how long it was trained.
        weights: as `keras.Model.get_weights` gives them.
        fov: `(size, size, 1)`, uint8 in {0, 255}.
        threshold: coverage in [-1, 1] above which a pixel is vessel (Stage-I; 0 in Stage-II).
        data: what it was trained on: source, layout, pairs, patients, fingerprint.
    """

    stage: str
    config: Config
    step: int
    weights: list[np.ndarray]
    fov: np.ndarray
    threshold: float
    data: dict[str, Any]


def save(snapshot: Snapshot, folder: Path) -> None:
    """Writes a snapshot beside the one that is there, then takes its place."""
    with files.replaced_folder(folder) as new:
        np.savez(new / "weights.npz", *snapshot.weights)
        images.write_png(new / "fov.png", snapshot.fov[..., 0])
        facts = {
            "stage": snapshot.stage,
            "step": snapshot.step,
            "threshold": snapshot.threshold,
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
        facts = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
        with np.load(folder / "weights.npz") as archive:
            weights = [archive[name] for name in archive.files]
        config = config_from_json(json.dumps(facts["config"]), str(folder / "snapshot.json"))
        fov = images.read_image(folder / "fov.png")[..., :1]
        return Snapshot(facts["stage"], config, facts["step"], weights, fov, facts["threshold"], facts["data"])
    except (OSError, ValueError, KeyError) as error:
        raise SynthMedError(f"The snapshot in {folder} is damaged ({error}); run synthmed train again.") from error


def restore(model: Any, snapshot: Snapshot, folder: Path) -> None:
    """Puts a snapshot's weights into a network of its configuration."""
    try:
        model.set_weights(snapshot.weights)
    except ValueError as error:
        raise SynthMedError(f"The weights in {folder} do not fit their configuration ({error}).") from error
