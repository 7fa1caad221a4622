"""Nothing that names a real file, folder or patient is published, unless it is asked for."""

import json
import re
import shutil

import pytest
from helpers.entries import HOLDOUT, REAL, TRAIN, built, contents, request, write_report
from helpers.evaluating import generated as phantoms
from helpers.evaluating import picked
from helpers.reports import made_context, made_sections

from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import report, schema
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.evaluator import EvaluationRequest, evaluate
from synthmed_tf.evaluation.pairs import ArrayPairs, SyntheticSet
from synthmed_tf.evaluation.verdict import LeftOut, State
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.exporting.model_card import write_card
from synthmed_tf.generation import synthesis
from synthmed_tf.repository.publish import redaction

NAMING = {"source": "ward-9", "validation_patients": ["anna-k", "photo_17.tif"]}


@pytest.fixture(scope="module")
def artifact(tiny_artifact, tmp_path_factory):
    """An artifact whose card and ONNX file name patients and a folder. Not to be changed."""
    import onnx

    folder = shutil.copytree(tiny_artifact, tmp_path_factory.mktemp("models") / "model")
    card = json.loads((folder / "card.json").read_text()) | {"name": "ward-9", "note": "by dora"}
    for facts in card["data"].values():
        facts.update(NAMING)
    card["config"]["data"] |= {"patients": "anna-k,bertil", "validation_patients": "dora", "patient_regex": "(07_left)"}
    model = onnx.load_model(folder / "generator.onnx")
    for fact in model.metadata_props:
        fact.value = {"training_data": json.dumps(card["data"]), "name": "ward-9"}.get(fact.key, fact.value)
    (folder / "generator.onnx").write_bytes(model.SerializeToString())
    write_card(folder, card)
    return folder


@pytest.fixture(scope="module")
def generated(artifact, tmp_path_factory):
    """A set that it generated. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(artifact, "onnx"), out, 12, seed=4)
    card = json.loads((out / "card.json").read_text())
    assert card["data"]["stage1"]["source"] == "ward-9"
    (out / "card.json").write_text(json.dumps(card | {"note": "of anna-k"}))
    return out


@pytest.fixture(scope="module")
def version(generated, artifact, tmp_path_factory):
    """A version with the report and the generator. Not to be changed."""
    folder = tmp_path_factory.mktemp("versions")
    evaluated = write_report(generated, folder / "evaluated")
    return built(request(generated, report=evaluated, artifact=artifact), folder / "1.2.0"), folder / "1.2.0"


def _named(folder, names):
    """Where a name stands in any file."""
    return [(place, name) for place, content in contents(folder).items() for name in names if name.encode() in content]


def test_the_inputs_do_name_them(generated, artifact, tmp_path):
    write_report(generated, tmp_path / "evaluated")
    found = {name for folder in (generated, artifact, tmp_path / "evaluated") for _, name in _named(folder, REAL)}
    assert found == REAL


def test_no_name_is_in_any_file_of_the_version(version):
    assert _named(version[1], {*REAL, "g\\u00f6sta"}) == []


def test_no_path_of_this_machine_is_in_any_file_of_the_version(version, generated, artifact):
    assert _named(version[1], {str(generated.parent), str(artifact.parent), str(generated.parents[2])}) == []


def test_what_is_published_of_the_report_fits_its_schema_and_keeps_its_metrics(version, generated, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    before = report.read(write_report(generated, tmp_path / "evaluated"))
    published = report.read(version[1] / "report")
    jsonschema.validate(json.loads((version[1] / "report" / "report.json").read_text()), schema.json_schema())
    for name in ("utility", "fidelity", "geometry", "distribution", "dispersion"):
        assert getattr(published.sections, name) == getattr(before.sections, name)
    assert published.verdict == before.verdict and published.limits == before.limits
    assert [answer.sentence for answer in published.verdicts] == [answer.sentence for answer in before.verdicts]
    assert published.sections.privacy.attacks == before.sections.privacy.attacks


def test_patients_have_pseudonyms_and_errors_are_left_out(version):
    sections = report.read(version[1] / "report").sections
    assert sections.compared.train.names == tuple(f"patient {number}" for number in range(1, 5))
    assert sections.compared.holdout.names == tuple(f"patient {number}" for number in range(5, 8))
    assert set(sections.compared.data["stage1"]) == {"layout", "pairs", "patients", "size", "sha256"}
    assert sections.privacy.left_out == (
        LeftOut(name="reconstruction by Stage-II", reason="it failed with an error", error=None),
    )


def test_the_published_files_are_these_alone(version):
    places = set(contents(version[1]))
    assert "report/report.json" in places
    assert not [place for place in places if place.endswith((".html", "pairs.jsonl", "manifest.jsonl"))]


def test_copies_and_the_sentences_that_name_them_are_left_out(tmp_path):
    context = made_context(tmp_path)
    written = report.make(context, made_sections(context))
    published = redaction.report(written)
    assert published.sections.privacy.copies == () and written.sections.privacy.copies != ()
    assert all(answer.private == () for answer in published.verdicts)
    assert not re.search(r"(train|holdout)-\d", published.model_dump_json())


WORDS = ("the", "patients", "PASS", "copy", "a", "utility", "Dice")
"""Words of the report's own sentences and fields."""


def test_patients_whose_names_are_words_of_the_sentences_leak_nothing_and_mangle_nothing(generated, tmp_path):
    block = phantoms(64, range(len(WORDS)))
    names = [f"{word}/{number}" for number, word in enumerate(WORDS)]
    parts = [ArrayPairs(picked(block, rows), names[rows], WORDS[rows]) for rows in (slice(0, 4), slice(4, None))]
    context = EvaluationContext(SyntheticSet(generated), *parts, Cache(tmp_path / "cache"), QUICK)
    written = report.make(context, made_sections(context), real_images=False)
    assert written.sections.compared.train.names == tuple(sorted(WORDS[:4]))
    published = redaction.report(written)
    for answer, before in zip(published.verdicts, written.verdicts, strict=True):
        assert answer.model_copy(update={"private": before.private}) == before
    assert published.sections.compared.train.names == ("patient 1", "patient 2", "patient 3", "patient 4")
    assert published.sections.compared.holdout.names == ("patient 5", "patient 6", "patient 7")
    for name in ("utility", "fidelity", "geometry", "distribution", "dispersion"):
        assert getattr(published.sections, name) == getattr(written.sections, name)
    texts = _texts(json.loads(published.model_dump_json()))
    assert texts & {*WORDS, *names} == {"PASS", "utility"}  # a state and a question, not the patients


def _texts(value) -> set[str]:
    """Every string value of a JSON value."""
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_texts, inner))


def test_a_full_report_is_published_as_it_is_where_it_shows_no_real_image(generated, tmp_path):
    evaluated = write_report(generated, tmp_path / "evaluated")
    built(request(generated, report=evaluated, full_report=True), tmp_path / "version")
    for name in ("report.json", "report.html"):
        assert (tmp_path / "version" / "report" / name).read_bytes() == (evaluated / name).read_bytes()
    others = {place: content for place, content in contents(tmp_path / "version").items() if place[:6] != "report"}
    assert not [name for name in REAL for content in others.values() if name.encode() in content]


def test_a_full_report_with_real_images_is_refused(generated, tmp_path):
    evaluated = write_report(generated, tmp_path / "evaluated", real_images=True)
    with pytest.raises(SynthMedError, match="shows real photographs, which would be published; leave --full-report"):
        built(request(generated, report=evaluated, full_report=True), tmp_path / "version")


@pytest.mark.slow
def test_a_published_evaluation_names_nobody_either(generated, artifact, tmp_path):
    write_phantoms(tmp_path / "eyes", 64, len(TRAIN) + len(HOLDOUT), seed=1)
    for folder in ("images", "masks", "fov"):
        for path, name in zip(sorted((tmp_path / "eyes" / folder).iterdir()), (*TRAIN, *HOLDOUT), strict=True):
            path.rename(path.with_stem(f"zebra-{name}"))
    names = sorted(f"zebra-{name}" for name in (*TRAIN, *HOLDOUT))
    request_ = EvaluationRequest(
        generated, tmp_path / "eyes", tmp_path / "evaluated", holdout_patients=",".join(names[4:]), artifact=artifact
    )
    written = evaluate(request_, Settings(quick=True, seeds=1, segmenter_steps=2, permutations=99))
    assert {*written.sections.compared.train.names, *names[4:]} == set(names)
    published = redaction.report(written).model_dump_json()
    assert "zebra" not in published and str(tmp_path) not in published and "ward-9" not in published
    entry = built(request(generated, report=tmp_path / "evaluated", artifact=artifact), tmp_path / "version")
    assert entry.generator.attacked and entry.evaluation.verdict is State.FAIL
    assert _named(tmp_path / "version", {"zebra", *REAL}) == []
