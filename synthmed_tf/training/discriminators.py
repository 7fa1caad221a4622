"""What a run's checkpoints have besides the generators, and fine-tuning begins with: discriminators and encoders."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf import files
from synthmed_tf.config.schema import Config
from synthmed_tf.models import factory
from synthmed_tf.training.checkpoints import saved_steps
from synthmed_tf.training.snapshot import Snapshot

Weights = dict[str, list[np.ndarray]]
"""Of networks, by stage and name, such as `stage1/discriminator`; as `keras.Model.get_weights` gives them."""


def read(run: Path, parts: Sequence[Snapshot]) -> Weights:
    """The discriminators and encoders in a run's newest checkpoints; those that it has no checkpoint of are left out.

    Args:
        run: its folder.
        parts: its snapshots.
    """
    found: Weights = {}
    for part in parts:
        folder = Path(run) / part.stage / "checkpoints"
        steps = saved_steps(folder)
        for name, network in networks(part.stage, part.config).items() if steps else ():
            with files.glob_free(folder) as place:
                found[f"{part.stage}/{name}"] = _weights(network, str(place / f"ckpt-{steps[-1]}"), name)
    return found


def save(weights: Weights, file: Path) -> None:
    """Writes weights in float16, which is enough to begin with."""
    arrays = {f"{name}/{i:03}": np.float16(array) for name, found in weights.items() for i, array in enumerate(found)}
    with files.replaced_file(file) as opened:
        np.savez(opened, **arrays)


def load(file: Path) -> Weights:
    """Reads what `save` wrote, as float32."""
    found: Weights = {}
    with np.load(file) as archive:
        for name in sorted(archive.files):
            found.setdefault(name.rpartition("/")[0], []).append(archive[name].astype(np.float32))
    return found


def networks(stage: str, config: Config) -> dict[str, keras.Model]:
    """New ones of a stage, by name."""
    if stage == "stage1":
        return {"discriminator": factory.mask_discriminator(config)}
    if stage != "stage2" or config.stage2.architecture == "pyramid":
        return {}
    encoder = {"encoder": factory.style_encoder(config)} if config.stage2.style_dim else {}
    return {"discriminator": factory.image_discriminator(config)} | encoder


def _weights(network: keras.Model, checkpoint: str, name: str) -> list[np.ndarray]:
    """Checkpoints list `network.variables`, whose order is that of `get_weights`."""
    reader = tf.train.load_checkpoint(checkpoint)
    count = len(network.variables)
    return [reader.get_tensor(f"{name}/{place}/.ATTRIBUTES/VARIABLE_VALUE") for place in range(count)]
