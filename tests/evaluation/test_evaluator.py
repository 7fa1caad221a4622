"""`synthmed evaluate` as a user meets it: what is refused, and that a whole report comes out and is gone on with."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from synthmed_tf import files, images
from synthmed_tf.cli import main
from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import evaluator, report
from synthmed_tf.evaluation.context import Settings
from synthmed_tf.evaluation.evaluator import EvaluationRequest, evaluate
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis

SHORT = Settings(quick=True, seeds=1, segmenter_steps=2, permutations=99)


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory):
    """A set of 12 pairs of 32 pixels. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), out, 12, seed=4)
    return out


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Eight pairs of 64 pixels, 000000 to 000007, of a patient each. Not to be changed."""
    folder = tmp_path_factory.mktemp("eyes") / "eyes"
    write_phantoms(folder, 64, 8, seed=1)
    return folder


def _job(generated, eyes, tmp_path, **changes):
    made = {"set": generated, "real": eyes, "out": tmp_path / "report", "only": ("dispersion",)}
    return EvaluationRequest(**made | changes)


def _refusal(job, settings=SHORT):
    with pytest.raises(SynthMedError) as caught:
        evaluate(job, settings)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert not (job.out / "report.json").exists()
    return str(caught.value)


def _names(eyes):
    return sorted(path.stem for path in (eyes / "images").iterdir())


def test_a_section_alone_is_evaluated_and_reported_with_what_was_compared(generated, eyes, tmp_path):
    names = _names(eyes)
    written = evaluate(_job(generated, eyes, tmp_path, holdout_patients=names[-1]), SHORT)
    ran = [name for name, section in written.sections if section is not None]
    assert ran == ["compared", "dispersion"]
    assert written.sections.compared.set.pairs == 12
    assert written.sections.compared.train.names == tuple(names[:-1])
    assert written.sections.compared.holdout.names == tuple(names[-1:])
    assert report.read(tmp_path / "report") == written
    assert (tmp_path / "report" / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_all_pairs_are_averaged_down_alike(generated, eyes, tmp_path):
    found = evaluate(
        _job(generated, eyes, tmp_path, size=16, holdout_patients=_names(eyes)[-1]), SHORT
    ).sections.compared
    whole = evaluate(_job(generated, eyes, tmp_path, out=tmp_path / "whole"), SHORT).sections.compared
    assert found.set.size == found.train.size == found.holdout.size == 16 and whole.set.size == 32
    assert found.set.sha256 == whole.set.sha256 and found.model_sha256 == whole.model_sha256 is not None
    for size in (12, 64):
        sentence = _refusal(_job(generated, eyes, tmp_path, size=size, out=tmp_path / "refused"))
        assert f"has 32 pixels a side and cannot be averaged down to {size}; --size must divide it" in sentence


def test_patients_in_both_train_and_holdout_are_named(generated, eyes, tmp_path):
    names = _names(eyes)
    sentence = _refusal(_job(generated, eyes, tmp_path, patients=f"{names[0]}-{names[5]}", holdout_patients=names[5]))
    assert f"Patients {names[5]} are both in train and in the holdout" in sentence


def test_a_holdout_that_is_another_folder_of_the_same_patients_is_refused(generated, eyes, tmp_path):
    assert "both in train and in the holdout" in _refusal(_job(generated, eyes, tmp_path, holdout=eyes))


def test_an_image_of_train_under_another_name_is_found_in_the_holdout(generated, eyes, tmp_path):
    other, name = tmp_path / "other", _names(eyes)[2]
    for folder in ("images", "masks", "fov"):
        (other / folder).mkdir(parents=True)
        shutil.copyfile(eyes / folder / f"{name}.png", other / folder / "renamed.png")
    assert f"renamed of the holdout is the image {name} of train" in _refusal(
        _job(generated, eyes, tmp_path, holdout=other)
    )


def test_an_empty_holdout_is_refused(generated, eyes, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert str(tmp_path / "nothing") in _refusal(_job(generated, eyes, tmp_path, holdout=tmp_path / "nothing"))
    assert "is empty" in _refusal(_job(generated, eyes, tmp_path, holdout_patients=" , "))


def test_fewer_than_four_patients_are_refused(generated, eyes, tmp_path):
    names = _names(eyes)
    assert "3 patients" in _refusal(_job(generated, eyes, tmp_path, patients=f"{names[0]}-{names[2]}"))


def test_photographs_alone_are_refused(generated, eyes, tmp_path):
    shutil.copytree(eyes / "images", tmp_path / "alone")
    assert "has only photographs" in _refusal(_job(generated, eyes, tmp_path, real=tmp_path / "alone"))


def test_a_set_without_a_manifest_and_one_of_one_image_are_refused(generated, eyes, tmp_path):
    broken = shutil.copytree(generated, tmp_path / "set")
    first = (broken / "manifest.jsonl").read_text().splitlines()[0]
    (broken / "manifest.jsonl").write_text(first + "\n")
    assert "1 pair" in _refusal(_job(broken, eyes, tmp_path))
    (broken / "manifest.jsonl").unlink()
    assert "manifest.jsonl" in _refusal(_job(broken, eyes, tmp_path))


def test_an_image_of_another_size_or_a_damaged_one_is_named(generated, eyes, tmp_path):
    broken = shutil.copytree(generated, tmp_path / "set")
    images.write_png(broken / "masks" / "00000007.png", np.zeros((64, 64), np.uint8))
    assert "00000007.png has 64x64 pixels, not 32x32" in _refusal(_job(broken, eyes, tmp_path))
    (broken / "images" / "00000002.png").write_bytes(b"PNG")
    assert "00000002.png" in _refusal(_job(broken, eyes, tmp_path, out=tmp_path / "again"))


def test_pixels_that_are_no_numbers_are_refused(generated, eyes, tmp_path):
    import tifffile

    broken = shutil.copytree(eyes, tmp_path / "eyes")
    name = _names(eyes)[0]
    (broken / "images" / f"{name}.png").unlink()
    tifffile.imwrite(broken / "images" / f"{name}.tif", np.full((64, 64, 3), np.nan, np.float32), photometric="rgb")
    assert f"{name}.tif" in _refusal(_job(generated, broken, tmp_path))


def test_a_report_folder_of_another_set_or_of_something_else_is_refused(generated, eyes, tiny_artifact, tmp_path):
    evaluate(_job(generated, eyes, tmp_path), SHORT)
    before = (tmp_path / "report" / "report.json").read_bytes()
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), tmp_path / "other", 12, seed=5)
    with pytest.raises(SynthMedError, match="report of another set"):
        evaluate(_job(tmp_path / "other", eyes, tmp_path), SHORT)
    assert (tmp_path / "report" / "report.json").read_bytes() == before
    assert "is not a report" in _refusal(_job(generated, eyes, tmp_path, out=tmp_path))


def test_a_report_that_another_process_writes_is_refused(generated, eyes, tmp_path):
    evaluate(_job(generated, eyes, tmp_path), SHORT)
    with files.exclusive(tmp_path / "report" / "lock"), pytest.raises(SynthMedError, match="is in use by pid"):
        evaluate(_job(generated, eyes, tmp_path), SHORT)


def test_the_artifact_of_another_model_is_refused(generated, eyes, tiny_artifact, tmp_path):
    other = shutil.copytree(tiny_artifact, tmp_path / "model")
    card = json.loads((other / "card.json").read_text()) | {"model_sha256": "0" * 64}
    (other / "card.json").write_text(json.dumps(card))
    assert "is model 0000000000000000" in _refusal(_job(generated, eyes, tmp_path, artifact=other))


def test_a_folder_that_is_no_run_and_a_section_that_is_none_are_refused(generated, eyes, tmp_path):
    assert "is not a run" in _refusal(_job(generated, eyes, tmp_path, run=tmp_path))
    assert "There is no section 'private'" in _refusal(_job(generated, eyes, tmp_path, only=("private",)))


def test_patients_who_chose_the_step_are_neither_train_nor_holdout(generated, eyes, tmp_path):
    names, own = _names(eyes), shutil.copytree(generated, tmp_path / "set")
    card = json.loads((own / "card.json").read_text())
    card["data"]["stage1"] |= {"source": eyes.name, "validation_patients": [names[3]]}
    (own / "card.json").write_text(json.dumps(card))
    written = evaluate(_job(own, eyes, tmp_path), SHORT)
    assert written.sections.compared.train.names == tuple(names[:3] + names[4:])


def test_the_command_prints_the_verdicts_and_ends_with_1_where_one_is_not_pass(generated, eyes, tmp_path):
    arguments = ["evaluate", generated, "--real", eyes, "--out", tmp_path / "report", "--only", "geometry"]
    result = CliRunner().invoke(main.main, [str(argument) for argument in (*arguments, "--quick")])
    assert result.exit_code == 1, result.output
    assert "FAIL        geometry: " in result.output and "FAIL        overall; look at" in result.output


@pytest.mark.slow
def test_a_whole_report_on_a_tiny_set_is_gone_on_with_after_an_interruption(generated, eyes, tiny_artifact, tmp_path):
    names = _names(eyes)
    job = _job(generated, eyes, tmp_path, only=(), artifact=tiny_artifact, holdout_patients=f"{names[5]}-{names[7]}")

    class Stop(Exception):
        pass

    seen = []

    def stop(what, done, total):
        seen.append(what)
        if what == "vessel trees":
            raise Stop

    with pytest.raises(Stop):
        evaluate(job, SHORT, stop)
    trained = [what for what in seen if what.startswith("segmenter ")]
    assert trained and not (job.out / "report.json").exists()
    again = []
    written = evaluate(job, SHORT, lambda what, done, total: again.append(what))
    assert not [what for what in again if what.startswith("segmenter ")]
    assert all(getattr(written.sections, name) is not None for name in evaluator.SECTIONS)
    assert [verdict.question for verdict in written.verdicts] == list(asked_questions())


def asked_questions():
    from synthmed_tf.evaluation.verdict import QUESTIONS

    return QUESTIONS


def test_label_maps_are_read_by_the_labels_that_are_named(generated, eyes, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(eyes, maps)
    for path in (maps / "masks").iterdir():
        vessels = images.read_mask(path)
        arteries = vessels & (np.arange(vessels.shape[1]) < 32)
        images.write_png(path, np.where(arteries, 1, np.where(vessels, 2, 0)).astype(np.uint8))
    assert "--vessel-labels" in _refusal(_job(generated, maps, tmp_path))
    found = evaluate(_job(generated, maps, tmp_path, vessel_labels="1,2"), SHORT).sections.compared.train
    expected = evaluate(_job(generated, eyes, tmp_path, out=tmp_path / "other"), SHORT).sections.compared.train
    assert found.sha256 == expected.sha256
