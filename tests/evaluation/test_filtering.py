"""A filtered set has what its report does not object to, and says of every other pair why it is gone."""

import json

import numpy as np
import pytest

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import evaluator, filtering, report
from synthmed_tf.evaluation.context import Cache, EvaluationContext, SectionResults
from synthmed_tf.evaluation.filtering import FilterLimits, filter_set
from synthmed_tf.evaluation.pairs import SyntheticSet
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis

SCORES = {
    "copy_excess": np.array([-0.3, 0.0, -0.2, 0.1, -0.05, -0.3]),
    "atypicality": np.array([0.5, 0.5, 1.6, 9.0, 1.5, np.nan]),
    "most_unusual": np.array(["loops", "loops", "tortuosity_mean", "loops", "loops", "density"]),
    "dice": np.array([0.8, 0.8, 0.8, 0.1, 0.5, 0.49]),
}
"""Of pairs 0 to 5: fine, a copy at the limit, an implausible tree, all at once, fine at the limits, not seen."""


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory):
    """A set of 6 pairs, from index 0. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), out, 6, seed=4)
    return out


@pytest.fixture(scope="module")
def evaluated(generated, tmp_path_factory):
    """A report with these scores. Not to be changed."""
    return _report(SyntheticSet(generated), SCORES, tmp_path_factory.mktemp("reports") / "report")


def _report(pairs, scores, folder):
    context = EvaluationContext(pairs, pairs, None, Cache(folder / "cache"))
    sections = SectionResults(evaluator.compare_sets(context))
    report.write(report.make(context, sections), report.pair_lines(context, scores), folder)
    return folder


def _manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def _refusal(*arguments):
    with pytest.raises(SynthMedError) as caught:
        filter_set(*arguments)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def test_each_drop_is_recorded_with_its_first_reason_its_score_and_the_limit(generated, evaluated, tmp_path):
    counts = filter_set(generated, evaluated, tmp_path / "set", FilterLimits())
    assert counts == {
        "kept": 2,
        "copy": 2,
        "implausible tree (tortuosity_mean)": 1,
        "image does not show its mask": 1,
    }
    dropped = {line["index"]: line["dropped"] for line in _manifest(tmp_path / "set") if "dropped" in line}
    assert dropped == {
        1: {"reason": "copy", "score": 0.0, "limit": 0.0},
        2: {"reason": "implausible tree (tortuosity_mean)", "score": 1.6, "limit": 1.5},
        3: {"reason": "copy", "score": 0.1, "limit": 0.0},
        5: {"reason": "image does not show its mask", "score": 0.49, "limit": 0.5},
    }
    scores = {"copy_excess": -0.3, "atypicality": 0.5, "most_unusual": "loops", "dice": 0.8}
    assert _manifest(tmp_path / "set")[0]["scores"] == scores


def test_a_report_of_before_does_not_name_the_feature_and_filters_as_it_did(generated, tmp_path):
    scores = {name: column for name, column in SCORES.items() if name != "most_unusual"}
    before = _report(SyntheticSet(generated), scores, tmp_path / "report")
    assert filter_set(generated, before, tmp_path / "set", FilterLimits())["implausible tree"] == 1


def test_the_kept_pairs_are_the_files_that_they_were(generated, evaluated, tmp_path):
    filter_set(generated, evaluated, tmp_path / "set", FilterLimits())
    for folder in ("images", "masks"):
        assert sorted(path.name for path in (tmp_path / "set" / folder).iterdir()) == ["00000000.png", "00000004.png"]
        for name in ("00000000.png", "00000004.png"):
            assert (tmp_path / "set" / folder / name).read_bytes() == (generated / folder / name).read_bytes()
    assert SyntheticSet(tmp_path / "set").names == ("00000000", "00000004")
    assert (
        images.read_image(tmp_path / "set" / "preview.png").shape[1]
        < images.read_image(generated / "preview.png").shape[1]
    )


def test_the_card_says_by_which_report_and_limits(generated, evaluated, tmp_path):
    from synthmed_tf import files

    filter_set(generated, evaluated, tmp_path / "set", FilterLimits(least_dice=0.05))
    card = json.loads((tmp_path / "set" / "card.json").read_text())
    assert card["filtered"] == {
        "report_sha256": files.sha256(evaluated / "report.json"),
        "limits": {"copy_excess": 0.0, "atypicality": 1.5, "least_dice": 0.05},
        "kept": 3,
        "dropped": {"copy": 2, "implausible tree (tortuosity_mean)": 1},
    }
    assert card["model_sha256"] == json.loads((generated / "card.json").read_text())["model_sha256"]


def test_nothing_can_be_added_to_a_filtered_set(generated, evaluated, tiny_artifact, tmp_path):
    filter_set(generated, evaluated, tmp_path / "set", FilterLimits())
    with pytest.raises(SynthMedError, match="filtered set"):
        synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), tmp_path / "set", 6, seed=4)


def test_limits_that_leave_nothing_are_refused_and_leave_nothing_behind(generated, evaluated, tmp_path):
    assert "leave 0 of 6 pairs" in _refusal(generated, evaluated, tmp_path / "set", FilterLimits(least_dice=0.9))
    assert not list(tmp_path.iterdir())


def test_a_report_on_another_set_is_refused(generated, tiny_artifact, evaluated, tmp_path):
    other = tmp_path / "other"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), other, 6, seed=5)
    assert "another set" in _refusal(other, evaluated, tmp_path / "set", FilterLimits())


def test_a_folder_that_is_there_is_refused(generated, evaluated, tmp_path):
    assert "exists already" in _refusal(generated, evaluated, tmp_path, FilterLimits())


def test_a_report_without_scores_is_refused(generated, tmp_path):
    assert "no score of pair 0" in _refusal(
        generated, _report(SyntheticSet(generated), {}, tmp_path / "report"), tmp_path / "set", FilterLimits()
    )


def test_a_folder_without_a_report_is_refused(generated, tmp_path):
    assert "report.json" in _refusal(generated, tmp_path, tmp_path / "set", FilterLimits())


def test_every_limit_is_an_option_of_the_command():
    from synthmed_tf.cli.evaluate import filter_set as command

    options = {option.name for option in command.params}
    limits = set(FilterLimits.model_fields)
    assert limits <= options and {limit for *_, limit in filtering._RULES} == limits
