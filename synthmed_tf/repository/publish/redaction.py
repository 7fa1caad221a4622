"""What is published of cards and reports: nothing that names a file, a folder or a patient of the training data.

Cards keep the fields that are listed here and lose the others. In a report such names are in fields of their own, which
are left out; no sentence is searched for them.
"""

from collections.abc import Iterable
from typing import Any

from synthmed_tf.config.image_kind import ImageKind
from synthmed_tf.evaluation.report import Report
from synthmed_tf.evaluation.results import Compared

UNNAMED = "a source that is not named"
_DATA = ("layout", "pairs", "patients", "size", "sha256", *ImageKind._fields)
_CARD = ("kind", "model_sha256", "size", "synthetic", "license")
_SET_CARD = (*_CARD, "precision", "seed", "made_with", "plan", "filtered")
_SHAPE = ("latent_dim", "style_dim", "threshold")
_ARTIFACT_CARD = (*_CARD, "schema", "created", "steps", "config", "versions", "parity", "weights", *_SHAPE)
_NAMING_OPTIONS = ("patients", "validation_patients", "patient_regex")
_REAL_SETS = ("train", "holdout", "other")


def training_facts(data: dict[str, Any]) -> dict[str, Any]:
    """The card's facts on the training data, by stage, without names of folders and patients."""
    return {stage: {name: facts[name] for name in _DATA if name in facts} for stage, facts in data.items()}


def set_card(card: dict[str, Any], evaluation: str) -> dict[str, Any]:
    """The card of a set as it is published, with its verdict or `not evaluated`."""
    kept = {name: card[name] for name in _SET_CARD if name in card}
    return kept | {"data": training_facts(card["data"]), "evaluation": evaluation}


def artifact_card(card: dict[str, Any], name: str, evaluation: str) -> dict[str, Any]:
    """The card of an artifact as it is published, under a name of its own, since it has that of a folder."""
    kept = {name: card[name] for name in _ARTIFACT_CARD if name in card}
    config = kept.get("config", {})
    if "data" in config:
        kept["config"] = config | {"data": config["data"] | dict.fromkeys(_NAMING_OPTIONS)}
    data = {stage: facts | {"source": UNNAMED} for stage, facts in training_facts(card["data"]).items()}
    return kept | {"name": name, "data": data, "evaluation": evaluation}


def report(written: Report) -> Report:
    """A report without names of real files, folders and patients; results and verdicts stay.

    Names are in fields of their own, which are emptied; patients become `patient 1`, `patient 2` and so on.
    """
    sections = written.sections
    changed = {"compared": _compared(sections.compared)}
    for name in ("utility", "distribution", "privacy"):
        section = getattr(sections, name)
        if section is not None:
            left_out = tuple(one.model_copy(update={"error": None}) for one in section.left_out)
            changed[name] = section.model_copy(update={"left_out": left_out})
    if sections.privacy is not None:
        changed["privacy"] = changed["privacy"].model_copy(update={"copies": ()})
    return written.model_copy(
        update={
            "real_images": False,
            "sections": sections.model_copy(update=changed),
            "verdicts": tuple(answer.model_copy(update={"private": ()}) for answer in written.verdicts),
        }
    )


def _compared(section: Compared) -> Compared:
    """With pseudonyms, the same for a patient in each set."""
    sets = {name: getattr(section, name) for name in _REAL_SETS}
    names = [name for pairs in sets.values() if pairs for name in pairs.names]
    pseudonyms = {name: f"patient {number}" for number, name in enumerate(dict.fromkeys(names), start=1)}

    def renamed(real: Iterable[str]) -> tuple[str, ...]:
        return tuple(pseudonyms[name] for name in real)

    changed: dict[str, Any] = {
        name: pairs and pairs.model_copy(update={"names": renamed(pairs.names)}) for name, pairs in sets.items()
    }
    changed["shared_patients"] = renamed(section.shared_patients)
    changed["data"] = section.data and training_facts(section.data)
    return section.model_copy(update=changed)
