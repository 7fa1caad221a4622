"""The initial options of a run that begins with trained weights."""

from typing import Any

STEP_SHARE = 0.25
"""Of the steps of training from nothing."""

ADVERSARIAL_RATE_SHARE, RATE_SHARE = 0.5, 0.3
"""Of the learning rates: of the stages with a discriminator, and of all others."""

_NAMING = ("patients", "validation_patients", "patient_regex", "vessel_labels")
_MACHINE = ("strategy", "precision", "xla", "steps_per_loop")
_STAGES = ("stage1", "stage1_fine", "stage2", "stage2_fine")


def values(begun: dict[str, Any], fine_tuned: bool = False) -> dict[str, Any]:
    """The options of the run that the weights come from, changed for going on with other data.

    Args:
        begun: its configuration, as plain values.
        fine_tuned: whether that run was itself begun with trained weights; its steps and learning rates, which are
            shares already, are then kept.
    """
    changed = {name: value for name, value in begun.items() if name not in _MACHINE}
    changed["data"] = {name: value for name, value in begun["data"].items() if name not in _NAMING}
    return changed if fine_tuned else changed | {stage: _shorter(stage, begun) for stage in _STAGES}


def _shorter(stage: str, begun: dict[str, Any]) -> dict[str, Any]:
    section = dict(begun[stage])
    adversarial = stage == "stage1" or (stage == "stage2" and section["architecture"] != "pyramid")
    share = ADVERSARIAL_RATE_SHARE if adversarial else RATE_SHARE
    for length in ("steps", "epochs"):
        if section[length] is not None:
            section[length] = max(1, round(section[length] * STEP_SHARE))
    if "learning_rate" in section:
        section["learning_rate"] *= share
    else:
        rates = {name: section["optimizer"][name] * share for name in ("generator_rate", "discriminator_rate")}
        section["optimizer"] = section["optimizer"] | rates
    return section
