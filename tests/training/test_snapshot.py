"""Snapshots: what is saved comes back, and a damaged file is a sentence."""

import json
import shutil

import numpy as np
import pytest
from helpers.tiny import FACTS, FOV, make_config

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models import factory
from synthmed_tf.training import snapshot


@pytest.fixture
def folder(tiny_run, tmp_path):
    """A copy of Stage-I's snapshot, to be damaged."""
    return shutil.copytree(tiny_run / "stage1" / "snapshot", tmp_path / "snapshot")


def _refusal(folder):
    with pytest.raises(SynthMedError) as caught:
        snapshot.load(folder)
    message = str(caught.value)
    assert str(folder) in message and message.endswith(".") and "\n" not in message
    return message


def _change(folder, **facts):
    file = folder / "snapshot.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


def test_what_is_saved_comes_back(tmp_path):
    config = make_config("paper")
    weights = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([np.pi])] * 6
    snapshot.save(snapshot.Snapshot("stage1", config, 3, weights, FOV, -0.25, FACTS), tmp_path / "s")
    read = snapshot.load(tmp_path / "s")
    assert (read.stage, read.config, read.step, read.threshold, read.data) == ("stage1", config, 3, -0.25, FACTS)
    np.testing.assert_array_equal(read.fov, FOV)
    assert len(read.weights) == 12
    for one, other in zip(read.weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_restored_networks_generate_what_was_saved(tiny_run):
    read = snapshot.load(tiny_run / "stage1" / "snapshot")
    model = factory.mask_generator(read.config)
    snapshot.restore(model, read, tiny_run)
    for one, other in zip(model.get_weights(), read.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_snapshot(tmp_path):
    assert _refusal(tmp_path) == f"There is no snapshot in {tmp_path}; train this stage first (synthmed train)."


@pytest.mark.parametrize("name", ["snapshot.json", "weights.npz", "fov.png"])
@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "text"])
def test_a_damaged_file(folder, name, damage):
    content = (folder / name).read_bytes()
    half = content[: len(content) // 2]
    flipped = half + bytes(255 - byte for byte in content[len(half) :])
    (folder / name).write_bytes({"empty": b"", "half": half, "flipped": flipped, "text": b"hello"}[damage])
    message = _refusal(folder)
    assert "is damaged (" in message and "move that folder away and run the same synthmed train" in message


@pytest.mark.parametrize("name", ["weights.npz", "fov.png"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    assert name in _refusal(folder)


@pytest.mark.parametrize("fact", ["stage", "step", "threshold", "data", "config"])
def test_a_missing_fact(folder, fact):
    facts = json.loads((folder / "snapshot.json").read_text())
    del facts[fact]
    (folder / "snapshot.json").write_text(json.dumps(facts))
    assert f"('{fact}' is missing)" in _refusal(folder)


def test_a_fact_that_cannot_be(folder):
    _change(folder, threshold=float("nan"))
    assert "the threshold is nan, not from -1 to 1" in _refusal(folder)
    _change(folder, threshold=0, config=[])
    assert "snapshot.json does not hold a configuration" in _refusal(folder)
    (folder / "snapshot.json").write_text("[]")
    assert "is damaged" in _refusal(folder)


def test_weights_that_are_not_finite(folder):
    np.savez(folder / "weights.npz", np.float32([np.nan]))
    assert "weights.npz holds a value that is not finite" in _refusal(folder)


def test_a_field_of_view_of_another_size(folder):
    images.write_png(folder / "fov.png", np.zeros((32, 16), np.uint8))
    assert "fov.png has 16x32 pixels, not 32x32" in _refusal(folder)


def test_weights_of_another_network(folder):
    read = snapshot.load(folder)
    with pytest.raises(SynthMedError, match=r"weights\.npz does not fit the configuration"):
        snapshot.restore(factory.mask_discriminator(read.config), read, folder)
