"""The report as files: what is written, read back, refused, and documented."""

import json
import math
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from helpers.paths import ROOT, TESTS
from helpers.reports import made_context, made_sections

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import report, schema
from synthmed_tf.evaluation.context import SectionResults
from synthmed_tf.evaluation.verdict import State

DOCUMENT = ROOT / "docs" / "report.md"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Phantoms."""
    return made_context(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def sections(context):
    """Made-up results of all sections."""
    return made_sections(context)


@pytest.fixture
def written(context, sections, tmp_path):
    """The folder of a report."""
    report.write(report.make(context, sections), report.pair_lines(context, sections.scores), tmp_path)
    return tmp_path


def load(folder: Path):
    return json.loads((folder / report.FILE).read_text())


def change(folder: Path, **fields):
    (folder / report.FILE).write_text(json.dumps(load(folder) | fields))


def test_a_written_report_fits_its_schema(written):
    made = schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    jsonschema.validate(load(written), made)


@pytest.mark.parametrize("spoil", ["utility", "compared"])
def test_the_schema_refuses_a_section_that_is_not_whole(written, spoil):
    found = load(written)
    found["sections"][spoil].popitem()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema.json_schema())


def test_the_schema_wants_what_was_compared_and_no_other_section(context, sections, tmp_path):
    some = SectionResults(sections.compared)
    report.write(report.make(context, some), report.pair_lines(context, some.scores), tmp_path)
    jsonschema.validate(load(tmp_path), schema.json_schema())
    found = load(tmp_path)
    del found["sections"]["compared"]
    with pytest.raises(jsonschema.ValidationError, match="'compared' is a required property"):
        jsonschema.validate(found, schema.json_schema())


def test_nan_and_infinity_are_null(written):
    sections = load(written)["sections"]
    assert sections["utility"]["results"][0]["dice_sd"] is None
    assert sections["distribution"]["detectors"][0]["repeats"]["images"] is None
    assert sections["utility"]["results"][0]["dice"] == 0.7213


def test_the_verdict_is_the_worst_and_verdicts_are_in_the_order_of_the_questions(context, sections):
    made = report.make(context, sections)
    asked = ["utility", "fidelity", "geometry", "diversity", "copies", "membership"]
    assert [answer.question for answer in made.verdicts] == asked
    assert made.verdict is State.FAIL and made.not_asked == () and made.quick


def test_a_question_that_was_not_asked_is_named(context, sections):
    made = report.make(context, SectionResults(sections.compared, distribution=sections.distribution), False)
    assert made.not_asked == ("utility", "fidelity", "geometry", "copies", "membership")
    assert made.verdict is State.PASS and not made.real_images


def test_a_report_is_read_as_it_was_made(context, sections, written):
    made, found = report.make(context, sections), report.read(written)
    same = {"created": made.created}
    assert found.model_copy(update=same).model_dump_json() == made.model_dump_json()
    assert made.created.utcoffset().total_seconds() == 0


def test_a_pair_has_the_scores_of_all_sections(sections, written):
    lines = report.read_pairs(written)
    assert list(lines) == list(range(12))
    assert lines[5] == {
        "index": 5,
        "dice": pytest.approx(sections.fidelity.scores["dice"][5]),
        "cl_dice": pytest.approx(sections.fidelity.scores["cl_dice"][5]),
        "atypicality": pytest.approx(sections.geometry.scores["atypicality"][5]),
        "most_unusual": sections.geometry.scores["most_unusual"][5],
        "copy_excess": pytest.approx(0.396),
    }


def test_a_score_that_is_no_number_is_null(context, sections):
    scores = {"dice": np.array([math.nan, math.inf, *[0.5] * 10])}
    lines = list(report.pair_lines(context, scores))
    assert [line["dice"] for line in lines[:3]] == [None, None, 0.5]


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(SynthMedError, match="report.json cannot be read .*; name the folder that synthmed evaluate"):
        report.read(tmp_path)
    with pytest.raises(SynthMedError, match="pairs.jsonl cannot be read"):
        report.read_pairs(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_a_damaged_report_is_refused(tmp_path, content):
    (tmp_path / report.FILE).write_bytes(content)
    (tmp_path / report.PAIRS).write_bytes(content or b"[]\n")
    for read in (report.read, report.read_pairs):
        with pytest.raises(SynthMedError, match="is damaged .*; run synthmed evaluate again"):
            read(tmp_path)


def test_another_file_is_no_report(tmp_path):
    (tmp_path / report.FILE).write_text('{"kind": "synthmed set"}')
    with pytest.raises(SynthMedError, match="is not a report"):
        report.read(tmp_path)


def test_another_schema_version_is_refused(written):
    change(written, schema_version="3")
    with pytest.raises(SynthMedError, match="has schema version 3, not 2; run synthmed evaluate again, or use the"):
        report.read(written)


def test_a_report_of_the_first_schema_version_is_read(sections, tmp_path):
    shutil.copyfile(TESTS / "golden" / "report_schema_1.json", tmp_path / report.FILE)
    found = report.read(tmp_path)
    assert found.schema_version == "2" and found.verdict is State.FAIL
    copies = next(answer for answer in found.verdicts if answer.question == "copies")
    assert copies.sentence == "Pairs of the set copy real ones." and "of patient train-1" in copies.private[0]
    assert found.sections.privacy.searches == sections.privacy.metrics.searches
    assert found.sections.privacy.copies == sections.privacy.metrics.copies
    assert found.sections.privacy.attacks == sections.privacy.metrics.attacks
    [left_out] = found.sections.utility.left_out
    assert (left_out.name, left_out.error) == ("stage2_on_real_masks", "no artifact")
    difference, expected = found.sections.fidelity.difference, sections.fidelity.metrics.difference
    assert (difference.mean, difference.low, difference.high) == (expected.mean, expected.low, expected.high)
    assert found.sections.geometry.features[0].wasserstein == 0.4123


@pytest.mark.parametrize("spoil", [{"sections": {"utility": None}}, {"verdicts": [{}]}, {"sections": {}}])
def test_a_damaged_report_of_the_first_schema_version_is_refused(tmp_path, spoil):
    old = json.loads((TESTS / "golden" / "report_schema_1.json").read_text())
    (tmp_path / report.FILE).write_text(json.dumps(old | spoil))
    with pytest.raises(SynthMedError, match="is damaged .*; run synthmed evaluate again"):
        report.read(tmp_path)


def test_a_report_that_lost_a_field_is_refused_by_its_name(written):
    change(written, verdict="MAYBE")
    with pytest.raises(SynthMedError, match="is damaged at verdict"):
        report.read(written)


def test_the_report_takes_its_place_after_the_pairs(context, sections, tmp_path):
    def breaks():
        yield {"index": 0}
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        report.write(report.make(context, sections), breaks(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_document_is_the_models():
    assert DOCUMENT.read_text(encoding="utf-8") == schema.markdown()


def test_every_field_of_a_report_has_a_meaning():
    fields = {
        (name, field): inner.get("description")
        for name, model in schema.json_schema()["$defs"].items()
        for field, inner in model.get("properties", {}).items()
    }
    assert len(fields) > 100
    assert [place for place, meaning in fields.items() if not meaning] == []


def test_meanings_come_from_the_docstring():
    text, meanings = schema._parted(
        "What it is.\n\nAttributes:\n    low, high: its interval\n        in mm.\n    n: how many."
    )
    assert text == "What it is."
    assert meanings == {"low": "its interval in mm.", "high": "its interval in mm.", "n": "how many."}
