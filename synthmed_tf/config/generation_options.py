"""Options that act when images are generated and not in training, which an export may therefore change."""

from collections.abc import Sequence

from synthmed_tf.config import parsing
from synthmed_tf.config.schema import Config
from synthmed_tf.errors import SynthMedError

OPTIONS = ("stage2.guidance", "stage2.flow_steps", "stage2.thumbnail_steps", "stage2_fine.flow_steps")
"""Of the preset `recommended`. Those of Stage-I are not among them: its thresholds are calibrated for them."""


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """The configuration with other values of `OPTIONS`.

    Args:
        config: of a run.
        overrides: `name=value`, such as `stage2.guidance=0.4`.

    Raises:
        SynthMedError: another option is named, a value is not allowed, or the run's Stage-II is no pyramid, which has
            no such options.
    """
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name not in OPTIONS:
            raise SynthMedError(
                f"Option {name} cannot be changed after training; an export changes {parsing.listed(OPTIONS)}."
            )
    if overrides and config.stage2.architecture != "pyramid":
        raise SynthMedError(
            f"Stage-II of this run is {config.stage2.architecture!r}, which has no options for an export to change; "
            "leave them out."
        )
    return parsing.validate(Config, parsing.changed(config.model_dump(), None, overrides))
