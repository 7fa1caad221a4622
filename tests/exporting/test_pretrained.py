"""Models that the package holds: found by name, listed, and generated from without a folder."""

import json
import shutil

import pytest
from click.testing import CliRunner

import synthmed_tf as sm
from synthmed_tf import api
from synthmed_tf.cli import main
from synthmed_tf.config.schema import load_config
from synthmed_tf.exporting import artifact, pretrained


@pytest.fixture
def held(tiny_artifact, tmp_path, monkeypatch):
    """The package holds one model, `retina`."""
    shutil.copytree(tiny_artifact, tmp_path / "package" / "retina")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "package")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "package" / "retina"


def _done(*arguments):
    result = CliRunner().invoke(main.main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_name_is_the_model_of_the_package(held):
    assert pretrained.names() == ["retina"]
    assert pretrained.located("retina") == held
    assert sm.load("retina", runtime="onnx").size == 32


def test_every_other_path_stays_as_it_is(held, tmp_path):
    for path in ("model", "retina/generator.onnx", "./other", tmp_path):
        assert str(pretrained.located(path)) == str(path).removeprefix("./")
    (tmp_path / "here" / "retina").mkdir()
    assert str(pretrained.located("retina")) == "retina"  # a folder of that name comes first


def test_the_models_are_listed(held, tmp_path, monkeypatch):
    listed = _done("models")
    assert listed.startswith("retina: 32 x 32 pixels, license CC BY 4.0\n  trained on 5 pairs of eyes\n")
    assert str(held / "card.md") in listed
    card = artifact.read_card(held) | {"trained_on": "ten eyes"}
    (held / "card.json").write_text(json.dumps(card))
    assert "trained on ten eyes\n" in _done("models")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "nowhere")
    assert _done("models").startswith("This installation holds no model;")


def test_a_set_is_generated_by_name(held, tmp_path):
    _done("generate", "--model", "retina", "-n", "2", "--out", "set", "--runtime", "onnx")
    assert len(list((tmp_path / "here" / "set" / "images").iterdir())) == 2


def test_the_shipped_model_is_whole_and_small():
    folder = pretrained.FOLDER / "retina"
    card = artifact.read_card(folder)
    artifact.check_files(folder, card, folder.__class__())
    forms = [file for file in folder.rglob("*") if file.is_file() and file.name != artifact.TRAINING.name]
    assert sum(file.stat().st_size for file in forms) <= 25e6
    assert card["size"] == 512 and card["license"] == "CC BY 4.0" and card["held_out"] and card["citations"]


def test_the_shipped_model_is_fine_tuned_for_a_quarter_of_its_preset():
    found, preset = api.training_config(None, "retina", None, ()), load_config("recommended")
    for stage in ("stage1", "stage1_fine", "stage2", "stage2_fine"):
        assert getattr(found, stage).steps == getattr(preset, stage).steps // 4
    assert found.stage1.optimizer.generator_rate == pytest.approx(preset.stage1.optimizer.generator_rate / 2)
    assert found.stage2.optimizer.generator_rate == pytest.approx(preset.stage2.optimizer.generator_rate * 0.3)
