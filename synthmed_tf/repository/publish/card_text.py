"""What the descriptions of an entry have in common: sentences for every set, and those that its facts give."""

from typing import Any

from synthmed_tf.evaluation.verdict import QUESTIONS, State, Verdict
from synthmed_tf.exporting.model_card import ATTRIBUTION
from synthmed_tf.repository.entry import Entry

CITATION = """@article{guibas2017synthetic,
  title = {Synthetic Medical Images from Dual Generative Adversarial Networks},
  author = {Guibas, John T. and Virdi, Tejpal S. and Li, Peter S.},
  journal = {arXiv:1709.01872},
  year = {2017}
}"""
NOT_STATED = "not stated"
USES = (
    "Research and teaching: training and testing of vessel segmentation. Not for diagnosis, and no substitute for real "
    "photographs in the approval of a medical device."
)
IMPACT = (
    "Vessel segmentation can be studied where photographs of patients cannot be shared. A set that gives a patient "
    "away would do harm, which is why it is judged, and can be withdrawn."
)
MAINTENANCE = (
    "A version never changes. One that turns out to be harmful is withdrawn, and a tombstone with the reason stays in "
    "its place."
)
_PASS_IS_NO = ("copies", "membership")


def tags(entry: Entry) -> tuple[str, ...]:
    """Keywords, each once: what holds for every set, then what the publisher adds."""
    every = ("synthetic", "medical imaging", entry.organ, entry.modality, "vessel segmentation")
    return tuple(dict.fromkeys((*every, *entry.keywords)))


def collection(entry: Entry) -> str:
    """How the pairs came to be."""
    return (
        "Synthetic. A generator of two networks drew each pair from (seed, index): Stage-I a vessel mask from a "
        f"latent, Stage-II the photograph from the mask. Model SHA-256 {entry.model_sha256} ({entry.precision}), seed "
        f"{entry.seed}, {entry.count} of the indices {entry.first_index} to {entry.last_index}. {origin(entry)}"
    )


def origin(entry: Entry) -> str:
    """What the generator was trained on."""
    data = entry.training_data
    stages = [f"{stage} on {_counted(facts)}" for stage, facts in data.facts.items()]
    trained = f"It was trained on {data.name or 'data that the publisher does not name'}"
    licence = f", licence: {data.licence or NOT_STATED}"
    return f"{trained}{licence}{' (' + '; '.join(stages) + ')' if stages else ''}."


def attribution(entry: Entry) -> str | None:
    """Of the training data: as the publisher states it, or as the layout of the folder is known; None for neither."""
    layouts = {facts.get("layout") for facts in entry.training_data.facts.values()}
    known = [ATTRIBUTION[layout] for layout in sorted(filter(None, layouts)) if layout in ATTRIBUTION]
    return entry.training_data.attribution or "; ".join(known) or None


def sensitive(entry: Entry) -> str:
    """What the pictures may tell of people."""
    said = "No picture is a photograph of a person. Each was drawn by a generator that was trained on "
    layouts = {facts.get("layout") for facts in entry.training_data.facts.values()}
    if layouts == {"phantom"}:
        return said + "pictures that code drew, of no patient."
    return said + (
        "photographs of patients, and synthetic is not anonymous: what was tested, and what could not be told, is "
        "among the verdicts."
    )


def limits(entry: Entry) -> list[str]:
    """What the set does not bear, by its evaluation."""
    if entry.evaluation is None:
        found = ["Not evaluated: it is not known whether it is useful, or whether it gives a patient away."]
    else:
        quick = ["Judged by a quick look, with few and short trainings."] if entry.evaluation.quick else []
        bad = [answer for answer in entry.evaluation.verdicts if answer.state is not State.PASS]
        found = quick + [f"{QUESTIONS[a.question]} {a.state.value}: {a.sentence}" for a in bad]
        found += [f"{QUESTIONS[question]} Not asked." for question in entry.evaluation.not_asked]
    return [f"Pictures of {entry.size} x {entry.size} pixels; finer vessels are not there.", *found]


def biases(entry: Entry) -> list[str]:
    """Whom the set stands for."""
    few = "The pairs show what the generator learnt from its training data, and no more patients than these."
    return [few, "Age, sex, ethnicity and disease of the patients: not stated, and not balanced by anything here."]


def attacked(entry: Entry) -> str:
    """What is known of what a shared generator gives away."""
    if entry.evaluation is None:
        return "Not evaluated: whether its weights give away who was in the training is not known."
    if not entry.generator.attacked:
        return "Not attacked: the judge tested the set, not these weights; what they give away is not known."
    return "The judge attacked its weights too; the verdict on membership holds for them."


def dropped(filtered: dict[str, Any]) -> str:
    """What a filter left out."""
    reasons = [f"{count} ({reason})" for reason, count in filtered.get("dropped", {}).items()]
    return ", ".join(reasons) or "none"


def answer(verdict: Verdict) -> str | None:
    """The answer to a question of the judge, yes or no; None where it cannot tell."""
    if verdict.state is State.CANNOT_TELL:
        return None
    return "yes" if (verdict.state is State.PASS) != (verdict.question in _PASS_IS_NO) else "no"


def _counted(facts: dict[str, Any]) -> str:
    pairs, patients = facts.get("pairs", "an unknown number of"), facts.get("patients", "an unknown number of")
    return f"{pairs} pairs of {patients} patients"
