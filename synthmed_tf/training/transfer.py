"""Begins a run with the weights of a trained model: layer by layer, by their places in the networks."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from synthmed_tf.config.schema import Config
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training.stages import Stage

NETWORKS = ("generator", "discriminator", "encoder", "network")
"""What stages call the networks that they train."""

_MAY_BEGIN_NEW = {"stage1_fine/network": ("network.first", "network.to_velocity")}
"""Layers that another size may leave out: those of Stage-I's fine network that take and give the mask."""

_SHAPING = ("architecture", "latent_dim", "filters", "discriminator_filters", "max_filters", "norm", "upsampling")
_SHAPING += ("style_dim", "use_fov", "coarse_size")


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes:
        name: of the model, for sentences.
        config: of its training.
        networks: by stage and name, such as `stage1/generator`; generators with their averaged weights.
        lineage: the model's name, identity, license, training data, steps, and its own lineage.
    """

    name: str
    config: Config
    networks: dict[str, keras.Model]
    lineage: dict[str, Any]

    def give(self, stage: Stage, config: Config) -> list[str]:
        """Puts the weights into the networks of a stage, and into its averaged ones.

        Args:
            stage: new, and not trained yet.
            config: of its run.

        Returns:
            A sentence for each part that begins without weights.

        Raises:
            SynthMedError: a network is of another shape.
        """
        remarks = []
        for name in NETWORKS:
            key, network = f"{stage.name}/{name}", getattr(stage, name, None)
            if key in self.networks:
                left = _copy(self.networks[key], network)
                if any(not _matches(place, _MAY_BEGIN_NEW.get(key, ())) for place in left):
                    raise SynthMedError(self._misfit(stage.name, config, left))
                remarks += [f"{key}: {', '.join(left)} begin without weights, since the size differs"] if left else []
            elif name in ("discriminator", "encoder") and network is not None:
                remarks.append(f"{key} begins without weights: {self.name} has none of it (--format training)")
        for name in ("generator", "network"):
            average = getattr(stage, f"{name}_ema", None)
            if average is not None:
                average.set_weights(getattr(stage, name).get_weights())
        return remarks

    def _misfit(self, stage: str, config: Config, left: list[str]) -> str:
        here, there = (_shape(each, stage) for each in (config, self.config))
        differing = [
            f"{name} is {there[name]} there and {here[name]} here" for name in here if here[name] != there[name]
        ]
        why = ", ".join(differing) or f"layers {', '.join(left)} differ"
        return f"The weights of {self.name} do not fit {stage}: {why}; choose the same values, or train without --from."


def learned(stage: Stage, variables: list) -> list:
    """The variables without those of the layers that the stage's option `frozen` names.

    Raises:
        SynthMedError: a name is of no layer, or nothing is left to learn.
    """
    patterns = [part.strip() for part in (stage.config.frozen or "").split(",") if part.strip()]
    if not patterns:
        return variables
    places = {f"{name}.{place}": layer for name in _trained(stage) for place, layer in _layers(getattr(stage, name))}
    for pattern in patterns:
        if not fnmatch.filter(places, pattern):
            known = ", ".join(places)
            raise SynthMedError(f"Option {stage.name}.frozen names {pattern}, which is no layer; choose from {known}.")
    frozen = {id(v) for place, layer in places.items() if _matches(place, patterns) for v in layer.trainable_variables}
    left = [variable for variable in variables if id(variable) not in frozen]
    if not left:
        raise SynthMedError(f"Option {stage.name}.frozen leaves nothing of a network to train; name fewer layers.")
    return left


def _trained(stage: Stage) -> tuple[str, ...]:
    """The networks of a stage that it trains; `generator` of Stage-I's fine network is that of the coarse one."""
    return (
        ("network",) if hasattr(stage, "network") else tuple(n for n in NETWORKS if getattr(stage, n, None) is not None)
    )


def _layers(network: keras.Model, above: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of a network, and of networks in it, by their places, such as `first` or `network.before.0`."""
    for name, value in vars(network).items():
        if name.startswith("_"):
            continue
        listed = isinstance(value, list | tuple)
        for place, layer in (
            ((f"{above}{name}.{i}", each) for i, each in enumerate(value)) if listed else [(above + name, value)]
        ):
            if isinstance(layer, keras.Model):
                yield from _layers(layer, f"{place}.")
            elif isinstance(layer, keras.layers.Layer):
                yield place, layer


def _copy(source: keras.Model, target: keras.Model) -> list[str]:
    """Copies each layer that the source has in the same place and shape; returns the places of the others."""
    there, left = dict(_layers(source)), []
    for place, layer in _layers(target):
        if not layer.weights:
            continue
        given = there[place].get_weights() if place in there else []
        if [weight.shape for weight in given] == [tuple(weight.shape) for weight in layer.get_weights()]:
            layer.set_weights(given)
        else:
            left.append(place)
    return left


def _matches(place: str, patterns: Any) -> bool:
    return any(fnmatch.fnmatch(place, pattern) for pattern in patterns)


def _shape(config: Config, stage: str) -> dict[str, Any]:
    """The options that decide the shapes of a stage's weights."""
    values = getattr(config, stage).model_dump()
    return {"size": config.size} | {f"{stage}.{name}": values[name] for name in _SHAPING if name in values}
