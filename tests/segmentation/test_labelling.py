"""Labelling a folder, with a segmenter whose weights are made by hand: vessel is where green is above one half."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.config.schema import load_config
from synthmed_tf.data.preprocessing import derive_fov, load_samples
from synthmed_tf.data.sources import Pair, find_pairs
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models import factory
from synthmed_tf.segmentation import labelling
from synthmed_tf.training import snapshot

GAIN = 20.0
SIDE, TOP, LEFT = 64, 3, 8
OVERRIDES = ("size=64", "segmenter.filters=2", "segmenter.levels=1")
DISC = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) < SIDE / 2


def _green_segmenter(gain):
    """Passes green through the first skip: the logit is gain * (green - 1/2) for green in [0, 1]."""
    network = factory.segmenter(load_config("gan", overrides=OVERRIDES))
    network.set_weights([np.zeros_like(w) if w.ndim > 1 else w for w in network.get_weights()])

    def pass_on(convolution, inputs):
        kernel = np.zeros(convolution.kernel.shape, np.float32)
        kernel[1, 1, inputs, 0] = 1.0
        convolution.kernel.assign(kernel)

    down, up = network.down[0], network.up[0]
    for block, channel in ((down, 1), (up, 2)):  # in `up` channels 0 and 1 come from below
        pass_on(block.convolutions[0], channel)
        pass_on(block.convolutions[1], 0)
    first = next(w for w in down.norms[0].trainable_weights if "beta" in w.name)
    first.assign(tf.ones_like(first))  # green in [-1, 1] becomes 0 to 2, which ReLU lets through
    network.to_logits.kernel.assign(np.reshape([gain / 2, 0.0], (1, 1, 2, 1)))
    network.to_logits.bias.assign([-gain / 2])
    return network


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return _run(tmp_path_factory.mktemp("run"), GAIN)


def _run(folder, gain):
    config = load_config("gan", overrides=OVERRIDES)
    fov = np.where(DISC, 255, 0).astype(np.uint8)[..., None]
    weights = _green_segmenter(gain).get_weights()
    snapshot.save(snapshot.Snapshot("segmenter", config, 1, weights, fov, 0.0, {}), folder / "segmenter" / "snapshot")
    return folder


def _eye(row, bright=230):
    """`(70, 80, 3)` with a disc of 64 pixels at (3, 8), and in it a bright line, and that line's mask."""
    square, mask = np.where(DISC, 60, 0).astype(np.uint8), np.zeros((70, 80), bool)
    square[row : row + 3, 16:48] = bright
    photograph = np.zeros((70, 80, 3), np.uint8)
    photograph[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = square[..., None]
    mask[TOP + row : TOP + row + 3, LEFT + 16 : LEFT + 48] = True
    return photograph, mask


@pytest.fixture
def eyes(tmp_path):
    """Three photographs alone."""
    for name, row in (("a", 20), ("b", 30), ("c", 40)):
        images.write_png(tmp_path / "eyes" / f"{name}.png", _eye(row)[0])
    return tmp_path / "eyes"


def _lines(out):
    return [json.loads(line) for line in (out / labelling.LINES).read_text().splitlines()]


def test_vessels_are_found_at_the_photographs_own_pixels(run, eyes):
    segmenter, _ = labelling.open_segmenter(run)
    vessels = labelling.find_vessels(segmenter, Pair("a", "a", eyes / "a.png", None, None), SIDE)
    photograph, mask = _eye(20)
    np.testing.assert_array_equal(vessels.mask, mask)
    inside = derive_fov(photograph)
    np.testing.assert_array_equal(vessels.fov, inside)
    expected = inside / (1.0 + np.exp(-GAIN * (photograph[..., 1] / 255.0 - 0.5)))
    np.testing.assert_allclose(vessels.probability, expected, atol=1e-4)


def test_a_field_of_fewer_pixels_gives_a_mask_of_the_photographs_size(run, eyes, tmp_path):
    labelling.segment_folder(run, eyes, tmp_path / "out", field_pixels=32)
    found, mask = images.read_mask(tmp_path / "out" / "masks" / "a.png"), _eye(20)[1]
    # the line's three rows fall into a whole small row and half of another
    assert found.shape == (70, 80)
    assert 2 * np.sum(found & mask) / (found.sum() + mask.sum()) > 0.75


def test_the_folder_is_read_as_pairs(run, eyes, tmp_path):
    labelling.segment_folder(run, eyes, tmp_path / "out")
    source = find_pairs(tmp_path / "out")
    assert source.layout == "plain" and [pair.name for pair in source.pairs] == ["a", "b", "c"]
    for pair, sample, row in zip(source.pairs, load_samples(source.pairs, SIDE), (20, 30, 40), strict=True):
        assert pair.photograph.read_bytes() == (eyes / pair.photograph.name).read_bytes()
        np.testing.assert_array_equal(images.read_mask(pair.mask), _eye(row)[1])
        fov = derive_fov(_eye(row)[0])
        np.testing.assert_array_equal(sample.fov[..., 0] > 0, fov[TOP : TOP + SIDE, LEFT : LEFT + SIDE])


def test_a_line_tells_what_was_done(run, eyes, tmp_path):
    out = tmp_path / "out"
    labelled = labelling.segment_folder(run, eyes, out)
    assert labelled.failures == [] and labelled.facts == _lines(out)
    line = labelled.facts[0]
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in (
        ("photograph_sha256", eyes / "a.png"),
        ("mask_sha256", out / "masks" / "a.png"),
        ("model_sha256", run / "segmenter" / "snapshot" / "weights.npz"),
    )}  # fmt: skip
    vessel, field = 3 * 32, int(derive_fov(_eye(20)[0]).sum())
    on, off = (1.0 / (1.0 + np.exp(-GAIN * (green / 255.0 - 0.5))) for green in (230, 60))
    confidence = 2 * vessel * on / (vessel * on + (field - vessel) * off + vessel)
    share = round(vessel / field, 5)
    known = {"name": "a", "width": 80, "height": 70, "vessel_share": share, "field_pixels": SIDE, "tile": 512}
    assert line == known | digests | {"flips": False, "confidence": line["confidence"]}
    assert line["confidence"] == pytest.approx(confidence, abs=1e-4)


def test_masks_that_are_there_are_not_looked_at(run, eyes, tmp_path):
    labelled = tmp_path / "labelled"
    shutil.copytree(eyes, labelled / "images")
    for name in "abc":
        images.write_png(labelled / "masks" / f"{name}.png", np.eye(9, dtype=bool))  # not even of the right size
    labelling.segment_folder(run, labelled, tmp_path / "out")
    np.testing.assert_array_equal(images.read_mask(tmp_path / "out" / "masks" / "b.png"), _eye(30)[1])


def test_a_field_of_view_that_is_given_is_used(run, eyes, tmp_path):
    given = tmp_path / "given"
    shutil.copytree(eyes, given / "images")
    fov = np.zeros((70, 80), bool)
    fov[TOP + 10 : TOP + 50, LEFT + 20 : LEFT + 60] = True
    for name in "abc":
        images.write_png(given / "fov" / f"{name}.png", fov)
    labelling.segment_folder(run, given, tmp_path / "out", field_pixels=40)
    np.testing.assert_array_equal(images.read_mask(tmp_path / "out" / "fov" / "a.png"), fov)
    np.testing.assert_array_equal(images.read_mask(tmp_path / "out" / "masks" / "a.png"), _eye(20)[1] & fov)


def test_a_photograph_without_a_border_needs_no_field_of_view(run, tmp_path):
    photograph = np.full((64, 64, 3), 60, np.uint8)
    photograph[30:33] = 230
    images.write_png(tmp_path / "eyes" / "whole.png", photograph)
    labelling.segment_folder(run, tmp_path / "eyes", tmp_path / "out")
    assert list((tmp_path / "out" / "fov").iterdir()) == []
    found = images.read_mask(find_pairs(tmp_path / "out").pairs[0].mask)
    np.testing.assert_array_equal(np.flatnonzero(found.all(axis=1)), [30, 31, 32])


def test_what_is_done_is_not_done_again_and_a_corrected_mask_is_kept(run, eyes, tmp_path):
    out = tmp_path / "out"
    labelling.segment_folder(run, eyes, out)
    lines = _lines(out)
    written = (out / "masks" / "b.png").stat().st_mtime_ns
    corrected = _eye(25)[1]
    images.write_png(out / "masks" / "a.png", corrected)
    assert labelling.segment_folder(run, eyes, out).facts == lines == _lines(out)
    assert (out / "masks" / "b.png").stat().st_mtime_ns == written
    np.testing.assert_array_equal(images.read_mask(out / "masks" / "a.png"), corrected)


def test_a_photograph_that_changed_is_labelled_again(run, eyes, tmp_path):
    labelling.segment_folder(run, eyes, tmp_path / "out")
    images.write_png(eyes / "a.png", _eye(33)[0])
    labelling.segment_folder(run, eyes, tmp_path / "out")
    np.testing.assert_array_equal(images.read_mask(tmp_path / "out" / "masks" / "a.png"), _eye(33)[1])
    assert (tmp_path / "out" / "images" / "a.png").read_bytes() == (eyes / "a.png").read_bytes()


def test_after_a_crash_it_ends_as_without_one(run, eyes, tmp_path):
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    labelling.segment_folder(run, eyes, whole)
    shutil.copytree(whole, crashed)
    lines = (whole / labelling.LINES).read_text()
    (crashed / labelling.LINES).write_text(lines[: len(lines) // 2])
    for gone in ("images/b.png", "masks/c.png", "preview.png"):
        (crashed / gone).unlink()
    (crashed / "masks" / ".c.png.1.part").write_bytes(b"half")
    labelling.segment_folder(run, eyes, crashed)
    there, here = ({p.relative_to(f): p for f in (g,) for p in f.rglob("*")} for g in (whole, crashed))
    assert set(there) == set(here)
    assert all(here[name].read_bytes() == path.read_bytes() for name, path in there.items() if path.is_file())


def test_a_bad_photograph_does_not_stop_the_others(run, eyes, tmp_path):
    (eyes / "b.png").write_bytes((eyes / "b.png").read_bytes()[:60])
    images.write_png(eyes / "d.png", _eye(20, bright=90)[0])
    labelled = labelling.segment_folder(run, eyes, tmp_path / "out")
    assert [line["name"] for line in labelled.facts] == ["a", "c"]
    assert len(labelled.failures) == 2
    assert str(eyes / "b.png") in labelled.failures[0] and "damaged" in labelled.failures[0]
    assert "d.png: the segmenter finds 0% vessel in the field of view; remove it" in labelled.failures[1]
    assert [pair.name for pair in find_pairs(tmp_path / "out").pairs] == ["a", "c"]


def test_where_nothing_could_be_labelled_all_failures_are_told(run, tmp_path):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "a.png").write_bytes(b"")
    labelled = labelling.segment_folder(run, tmp_path / "eyes", tmp_path / "out")
    assert labelled.facts == [] and len(labelled.failures) == 1 and "is empty (0 bytes)" in labelled.failures[0]


def test_the_preview_begins_with_the_least_confident(run, eyes, tmp_path):
    images.write_png(eyes / "faint.png", _eye(10, bright=140)[0])
    facts = labelling.segment_folder(run, eyes, tmp_path / "out").facts
    assert min(facts, key=lambda line: line["confidence"])["name"] == "faint"
    preview = images.read_image(tmp_path / "out" / "preview.png")
    assert preview.shape == (256 + 4, 4 * (512 + 2) + 2, 3)
    photograph, overlay = preview[2:258, 2:258], preview[2:258, 258:514]
    there = photograph[46, 128].astype(int)  # row 11.5 of 64; enlarging overshoots by a grey level
    np.testing.assert_allclose(there, [140, 140, 140], atol=1)
    np.testing.assert_array_equal(overlay[46, 128], there // 2 + [0, 127, 127])
    np.testing.assert_array_equal(overlay[150:, :], photograph[150:, :])


def test_progress_counts_every_photograph(run, eyes, tmp_path):
    seen = []
    labelling.segment_folder(run, eyes, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_labels_of_two_kinds_are_not_mixed(run, eyes, tmp_path):
    out = tmp_path / "out"
    labelling.segment_folder(run, eyes, out)
    with pytest.raises(SynthMedError, match="was made with flips False, not True; use another --out"):
        labelling.segment_folder(run, eyes, out, flips=True)
    with pytest.raises(SynthMedError, match="was made with model_sha256 .*; use another --out"):
        labelling.segment_folder(_run(tmp_path / "other", 2 * GAIN), eyes, out)
    (eyes / "b.png").unlink()
    with pytest.raises(SynthMedError, match="holds labels of b, which is not in"):
        labelling.segment_folder(run, eyes, out)


def test_folders_of_others_are_left_alone(run, eyes, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    with pytest.raises(SynthMedError, match="was not written by synthmed segment; choose another --out"):
        labelling.segment_folder(run, eyes, notes)
    assert [path.name for path in notes.iterdir()] == ["mine.txt"]
    for out in (eyes, eyes / "out"):
        with pytest.raises(SynthMedError, match="lies in the folder of the photographs"):
            labelling.segment_folder(run, eyes, out)
    with pytest.raises(SynthMedError, match=r"mine.txt is there and was not written"):
        labelling.segment_folder(run, eyes, notes / "mine.txt")


def test_settings_are_checked(run, eyes, tmp_path):
    with pytest.raises(SynthMedError, match="The tile is 4 pixels; a segmenter of 1 levels needs 8."):
        labelling.segment_folder(run, eyes, tmp_path / "out", tile=4)
    with pytest.raises(SynthMedError, match="to have 31 pixels; give a number from 32 to 8192"):
        labelling.segment_folder(run, eyes, tmp_path / "out", field_pixels=31)
    with pytest.raises(SynthMedError, match="There is no snapshot in"):
        labelling.segment_folder(tmp_path / "none", eyes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_best_snapshot_is_opened_where_there_is_one(tmp_path):
    folder = _run(tmp_path / "run", GAIN)
    shutil.copytree(folder / "segmenter" / "snapshot", folder / "segmenter" / "best")
    facts = json.loads((folder / "segmenter" / "best" / "snapshot.json").read_text())
    (folder / "segmenter" / "best" / "snapshot.json").write_text(json.dumps(facts | {"step": 9}))
    assert labelling.open_segmenter(folder)[1].step == 9
