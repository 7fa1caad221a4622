"""A repository for the tests of its pages, published as a user would: generated sets, and one that means harm."""

from datetime import datetime, timezone
from pathlib import Path

from helpers.evaluating import generated, pairs, picked
from helpers.reports import made_sections
from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import SyntheticSet
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis
from synthmed_tf.repository.publish import building, new_repository, publishing

TITLE = "Sets of the tests"
REASON = "Pair 3 copies an image. <b>Found</b> by a reader."
SCRIPT = "<script>document.title = 'owned'</script>"
HOSTILE = {
    "title": f"{SCRIPT} \u202egnp.exe & \u0645\u0631\u062d\u0628\u0627",
    "description": f"</p>{SCRIPT}<img src=x onerror=\"document.title='owned'\">\n\n" + "long" * 2000,
    "creators": ("<i>Mallory</i>", '"><svg onload="document.title=\'owned\'">'),
    "license": "javascript:document.title='owned'",
    "keywords": ("<b>bold</b>",),
    "organ": "<u>organ</u>",
    "data_name": "{{ 7 * 7 }}",
    "data_attribution": "${7 * 7} \x07",
}
COUNT = 12
SEED = 7
EVALUATED = "eyes@1.1.0"


def make(folder: Path, artifact: Path) -> Path:
    """Publishes six versions of four sets; two are withdrawn, one has a report, two share their generator.

    Args:
        folder: for `repo`, `keys` and what was published.
        artifact: that generates the sets.
    """
    repository, keys, images = folder / "repo", folder / "keys", folder / "set"
    new_repository.init(repository, keys, TITLE)
    synthesis.generate_set(open_artifact(artifact, "onnx"), images, COUNT, seed=SEED)
    evaluated = write_report(images, folder / "report")

    def publish(name: str, version: str, day: int, **said) -> None:
        facts = {"title": f"Title of {name}", "license": "CC-BY-4.0", "creators": ("Ada L.", "Grace H.")} | said
        published = datetime(2026, 11, day, 12, tzinfo=timezone.utc)
        publishing.publish(repository, keys, building.Request(images, name, version, published=published, **facts))

    publish("eyes", "0.9.0", 1)
    publish("eyes", "1.0.0", 2, artifact=artifact, formats=("imagefolder",))
    publish("eyes", "1.1.0", 9, artifact=artifact, report=evaluated, description="Twelve pairs.\n\nMasks are binary.")
    publish("plain", "1.0.0", 4, license="CC0-1.0", modality="angiography", keywords=("rare-word",))
    publish("gone", "1.0.0", 5)
    publish("hostile", "1.0.0", 6, **HOSTILE)
    publishing.withdraw(repository, keys, "eyes@0.9.0", REASON)
    publishing.withdraw(repository, keys, "gone@1.0.0", REASON)
    return repository


def write_report(generated_set: Path, folder: Path) -> Path:
    """A report on a set, with made-up metrics: no copy, CANNOT TELL to membership, FAIL to utility."""
    block = generated(64, range(7))
    sides = pairs(picked(block, slice(0, 4)), "train"), pairs(picked(block, slice(4, 7)), "holdout")
    context = EvaluationContext(SyntheticSet(generated_set), *sides, Cache(folder / "cache"), QUICK)
    made = report.make(context, made_sections(context), real_images=False)
    privacy = made.sections.privacy.model_copy(update={"copies": ()})
    answers = tuple(
        answer.model_copy(update={"state": State.PASS, "private": ()}) if answer.question == "copies" else answer
        for answer in made.verdicts
    )
    changed = {"verdicts": answers, "sections": made.sections.model_copy(update={"privacy": privacy})}
    report.write(made.model_copy(update=changed), report.pair_lines(context, {}), folder)
    return folder
