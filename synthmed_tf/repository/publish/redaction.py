"""What is published of cards and reports: nothing that names a file, a folder or a patient of the training data.

Cards keep the fields that are known here and lose the others. In a report, names of patients become `patient 1`,
`patient 2` and so on; single copies are left out; and a name that is left in any other text is taken out of it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from synthmed_tf.evaluation.report import Report
from synthmed_tf.evaluation.verdict import Verdict

UNNAMED = "a source that is not named"
_DATA = ("layout", "pairs", "patients", "size", "sha256")
_CARD = ("kind", "model_sha256", "size", "synthetic", "license")
_SET_CARD = (*_CARD, "precision", "seed", "made_with", "plan", "filtered")
_SHAPE = ("latent_dim", "style_dim", "threshold")
_ARTIFACT_CARD = (*_CARD, "schema", "created", "steps", "config", "versions", "parity", *_SHAPE)
_NAMING_OPTIONS = ("patients", "validation_patients", "patient_regex")
_SIDES = ("train", "holdout", "other")
_ERROR = "an error, whose message may name files and is not published"
_TOLD = ("sentence", "limit", "needed")

Json = Any


def training_facts(data: dict[str, Any]) -> dict[str, Any]:
    """What a card says of the training data, by stage, without names of folders and patients."""
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
    """A report without names of real files, folders and patients; figures and verdicts are as they were."""
    patients = _patients(written)
    without = _without_names(_names(written), patients)
    sections = {name: _mapped(_without_errors(figures), without) for name, figures in written.sections.items()}
    if "compared" in sections:
        sections["compared"] |= _compared(written.sections["compared"], patients)
    if "privacy" in sections:
        sections["privacy"]["copies"] = []
    return written.model_copy(
        update={
            "real_images": False,
            "sections": sections,
            "verdicts": tuple(_verdict(answer, without) for answer in written.verdicts),
        }
    )


def _compared(figures: dict[str, Json], patients: dict[str, str]) -> dict[str, Json]:
    """The figures that name somebody, with pseudonyms."""
    sides = {
        side: pairs and pairs | {"names": [patients[name] for name in pairs["names"]]}
        for side, pairs in ((side, figures.get(side)) for side in _SIDES)
    }
    shared = [patients[name] for name in figures.get("shared_patients", ())]
    data = figures.get("data") and training_facts(figures["data"])
    return sides | {"shared_patients": shared, "data": data}


def _verdict(answer: Verdict, without: Callable[[str], str]) -> Verdict:
    """Single copies follow a colon in their sentence."""
    told = {name: getattr(answer, name) for name in _TOLD}
    if answer.question == "copies" and answer.state == "FAIL":
        told["sentence"] = told["sentence"].partition(": ")[0].rstrip(".") + "."
    return answer.model_copy(update={name: text and without(text) for name, text in told.items()})


def _without_errors(figures: Json) -> Json:
    """A reason for leaving something out may be an error, a sentence that names files; the judge's own are none."""
    reasons = figures.get("left_out")
    if reasons is None:
        return figures
    return figures | {"left_out": {name: _ERROR if why.endswith(".") else why for name, why in reasons.items()}}


def _patients(written: Report) -> dict[str, str]:
    """A pseudonym for each patient, the same wherever it stands."""
    compared = written.sections.get("compared", {})
    sides = [compared.get(side) for side in _SIDES]
    named = [name for side in sides if side for name in side["names"]] + list(compared.get("shared_patients", ()))
    named += [copy["patient"] for copy in written.sections.get("privacy", {}).get("copies", ())]
    return {name: f"patient {number}" for number, name in enumerate(dict.fromkeys(named), start=1)}


def _names(written: Report) -> set[str]:
    """Names of real files and patients, as far as a report knows them; folders are named in fields and errors alone."""
    copies = written.sections.get("privacy", {}).get("copies", ())
    stages = (written.sections.get("compared", {}).get("data") or {}).values()
    held = (name for facts in stages for name in facts.get("validation_patients", ()))
    return {*_patients(written), *(copy["real"] for copy in copies), *held}


def _without_names(names: Iterable[str], patients: dict[str, str]) -> Callable[[str], str]:
    """Takes whole names out of a text; one of digits alone is known by the word before it, since it may be a figure."""
    wanted = sorted(filter(None, names), key=len, reverse=True)
    parts = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in wanted if not name.isdigit()]
    parts += [rf"(?<=patient ){name}(?!\w)|(?<=patients: ){name}(?!\w)" for name in wanted if name.isdigit()]
    if not parts:
        return lambda text: text
    pattern = re.compile("|".join(parts))
    return lambda text: pattern.sub(lambda found: patients.get(found[0], "a real one"), text)


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    """A JSON value with each text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    return [_mapped(inner, change) for inner in value] if isinstance(value, (list, tuple)) else value
