"""Opens what a run may begin with: a model of the package, an artifact, or another run."""

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf import files, local_copies
from synthmed_tf.config.schema import Config, config_from_json
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, pretrained
from synthmed_tf.exporting.exporter import Parts
from synthmed_tf.models import factory, layers
from synthmed_tf.models.coarse_to_fine import CoarseToFine
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.models.pyramid import Pyramid
from synthmed_tf.training import discriminators, snapshot
from synthmed_tf.training.run import read_lineage
from synthmed_tf.training.transfer import Start

_FACTS = ("name", "model_sha256", "license", "data", "steps")


def open_start(source: str | os.PathLike[str]) -> Start:
    """Reads the weights, the configuration and the lineage.

    Args:
        source: the folder of an artifact with a SavedModel, the name of a model of the package, or the folder of a run.

    Raises:
        SynthMedError: it is none of these, or a file of it is missing or damaged.
    """
    folder = local_copies.local_copy(pretrained.located(source))
    config = read_config(folder)
    return _of_run(folder, config) if (folder / "config.json").is_file() else _of_artifact(folder, config)


def read_config(source: str | os.PathLike[str]) -> Config:
    """The configuration alone; does not read weights. Arguments and errors are those of `open_start`."""
    folder = pretrained.located(source)
    file = folder / "config.json"
    if file.is_file():
        return config_from_json(file.read_text(encoding="utf-8"), str(file))
    if not (folder / artifact.CARD).is_file():
        raise SynthMedError(
            f"{source} is neither a model of the package nor an artifact nor a run; synthmed models lists the names."
        )
    return config_from_json(json.dumps(artifact.read_card(folder)["config"]), str(folder / artifact.CARD))


def is_fine_tuned(source: str | os.PathLike[str]) -> bool:
    """Whether it was itself begun with trained weights. Arguments and errors are those of `open_start`."""
    folder = pretrained.located(source)
    run = (folder / "config.json").is_file()
    return bool(read_lineage(folder) if run else artifact.read_card(folder).get("lineage"))


def _of_run(run: Path, config: Config) -> Start:
    parts = Parts.load(run)
    networks = _made(config)
    for part in parts.present:
        snapshot.restore(_generator(networks, part.stage), part, run / part.stage / "snapshot")
    _fill(networks, discriminators.read(run, parts.present), run, config)
    facts: dict[str, Any] = {"name": run.resolve().name, "model_sha256": parts.identity, "license": "not stated"}
    facts |= {"data": {part.stage: part.data for part in parts.present}}
    facts |= {"steps": {part.stage: part.step for part in parts.present}, "lineage": read_lineage(run)}
    return Start(str(facts["name"]), config, networks, facts)


def _of_artifact(folder: Path, config: Config) -> Start:
    card = artifact.read_card(folder)
    artifact.check_files(folder, card, Path())
    networks = _made(config)
    _assign(networks, config, folder)
    if (folder / artifact.TRAINING).is_file():
        _fill(networks, discriminators.load(folder / artifact.TRAINING), folder, config)
    facts: dict[str, Any] = {name: card.get(name) for name in _FACTS} | {"lineage": card.get("lineage")}
    return Start(str(card["name"]), config, networks, facts)


def _made(config: Config) -> dict[str, keras.Model]:
    """The networks of a configuration that weights are kept of, by stage and name."""
    pyramid = config.stage2.architecture == "pyramid"
    made = {"stage1/generator": factory.mask_generator(config)}
    if config.stage1.architecture == "coarse_to_fine":
        made["stage1_fine/network"] = factory.mask_refiner(config)
    made["stage2/network" if pyramid else "stage2/generator"] = factory.image_generator(config)
    if config.has_fine_renderer:
        made["stage2_fine/network"] = factory.fine_renderer(config)
    return made


def _generator(networks: dict[str, keras.Model], stage: str) -> keras.Model:
    return networks.get(f"{stage}/generator") or networks[f"{stage}/network"]


def _fill(networks: dict[str, keras.Model], weights: discriminators.Weights, origin: Path, config: Config) -> None:
    """Adds discriminators and encoders."""
    for key, found in weights.items():
        stage, _, name = key.partition("/")
        network = discriminators.networks(stage, config).get(name)
        if network is None or [w.shape for w in found] != [tuple(w.shape) for w in network.get_weights()]:
            raise SynthMedError(f"{origin} holds weights of another {key}; export the run again.")
        network.set_weights(found)
        networks[key] = network


def _assign(networks: dict[str, keras.Model], config: Config, folder: Path) -> None:
    """Reads the generators from the variables of the SavedModel, where they are in the order of the whole graph."""
    variables = folder / artifact.SAVEDMODEL / "variables"
    if not variables.is_dir():
        raise SynthMedError(f"{folder} has no SavedModel, from whose variables a run could begin; export it with one.")
    targets = [layers.plain_variables(each) for each in _whole(networks, config)]
    with files.glob_free(variables) as place:
        reader = tf.train.load_checkpoint(str(place / "variables"))
    for number, variable in enumerate(variable for target in targets for variable in target):
        name = f"_weights/{number}/.ATTRIBUTES/VARIABLE_VALUE"
        value = reader.get_tensor(name) if reader.has_tensor(name) else np.zeros(())
        if value.shape != tuple(variable.shape):
            raise SynthMedError(f"{folder} was exported by another version of Keras; begin with its run instead.")
        variable.assign(value.astype(np.float32))


def _whole(networks: dict[str, keras.Model], config: Config) -> tuple[keras.Model, keras.Model]:
    """Both generators, joined as an export joins them."""
    masks, photographs = _generator(networks, "stage1"), _generator(networks, "stage2")
    if "stage1_fine/network" in networks:
        fov = np.ones((config.size, config.size, 1), bool)
        masks = CoarseToFine(masks, networks["stage1_fine/network"], fov, Thresholds(0.3, 0.4, 0.5))
    if "stage2_fine/network" in networks:
        photographs = Pyramid(photographs, networks["stage2_fine/network"])
    return masks, photographs
