"""Images of other kinds: those that fill the frame, and masks of other structures than vessels."""

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from synthmed_tf.cli.main import main
from synthmed_tf.config.image_kind import RETINA, ImageKind, kind_of
from synthmed_tf.config.schema import load_config
from synthmed_tf.data import augmentation
from synthmed_tf.data.dataset import load_dataset
from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.doctor.fix import fix_folder
from synthmed_tf.data.preprocessing import load_sample
from synthmed_tf.data.sources import find_pairs
from synthmed_tf.data.vessel_maps import vessel_maps
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import write_png
from synthmed_tf.models import pyramid

CELLS = ImageKind("frame", "any")


def _write_cells(root, height=160, width=200, count=5):
    """Dark frames with a few bright discs, as fluorescent nuclei are; the masks mark these."""
    rows, columns = np.ogrid[:height, :width]
    for number in range(count):
        rng = np.random.default_rng(number)
        mask = np.zeros((height, width), bool)
        for _ in range(12):
            mask |= (rows - rng.integers(height)) ** 2 + (columns - rng.integers(width)) ** 2 <= 100
        photograph = rng.integers(2, 9, (height, width, 3)).astype(np.uint8)
        photograph[mask] += np.array([90, 120, 200], np.uint8)
        write_png(root / "images" / f"w{number}.png", photograph)
        write_png(root / "masks" / f"w{number}.png", mask)
    return root


def test_the_frame_of_an_image_is_the_square_in_its_middle(tmp_path):
    (pair, *_) = find_pairs(_write_cells(tmp_path, count=1), kind=CELLS).pairs
    sample = load_sample(pair, 160)
    assert (sample.crop.top, sample.crop.left, sample.crop.side) == (0, 20, 160)
    assert (sample.fov == 255).all()
    with pytest.raises(SynthMedError, match="w0.png shows no field of view.*--field-of-view frame"):
        load_sample(find_pairs(tmp_path).pairs[0], 160)


def test_a_field_from_a_file_may_not_lack(tmp_path):
    _write_cells(tmp_path, count=2)
    pair = find_pairs(tmp_path, kind=ImageKind("from_file")).pairs[0]
    with pytest.raises(SynthMedError, match=r"w0.png has no field-of-view mask.*add one in fov/, or give"):
        load_sample(pair, 32)
    assert [f.problem for f in check_folder(tmp_path, kind=ImageKind("from_file")).findings] == [
        "has no field-of-view mask"
    ] * 2
    field = np.zeros((160, 200), bool)
    field[30:130, 50:150] = True
    write_png(tmp_path / "fov" / "w0.png", field)
    pair = find_pairs(tmp_path, kind=ImageKind("from_file", "any")).pairs[0]
    assert load_sample(pair, 100).crop.top == 30
    framed = find_pairs(tmp_path, kind=CELLS).pairs[0]
    assert load_sample(framed, 32).crop.side == 160  # a frame does not look at the file


@pytest.mark.parametrize(("share", "kind", "problem"), [(0.6, RETINA, "60%"), (0.96, CELLS, "96% of the frame object")])
def test_a_mask_may_cover_as_much_as_its_kind_says(tmp_path, share, kind, problem):
    mask = np.zeros((100, 100), bool)
    mask[: round(100 * share)] = True
    write_png(tmp_path / "images" / "a.png", np.full((100, 100, 3), 90, np.uint8))
    write_png(tmp_path / "masks" / "a.png", mask)
    with pytest.raises(SynthMedError, match=problem):
        load_sample(find_pairs(tmp_path, kind=kind).pairs[0], 32)
    if kind == RETINA:
        assert load_sample(find_pairs(tmp_path, kind=CELLS).pairs[0], 32).mask.mean() == pytest.approx(153, abs=3)


def test_the_doctor_knows_the_kind(tmp_path):
    _write_cells(tmp_path)
    as_retinas = check_folder(tmp_path)
    assert as_retinas.exit_code == 2
    assert {finding.severity for finding in check_folder(tmp_path, kind=CELLS).findings} == {"note"}
    options = ["data", "check", str(tmp_path), "--field-of-view", "frame", "--structures", "any"]
    outcome = CliRunner().invoke(main, options)
    assert outcome.exit_code == 0
    assert "has 200x160 pixels, of which the square in the middle is used" in outcome.output
    write_png(tmp_path / "masks" / "w1.png", np.random.default_rng(0).random((160, 200)) < 0.1)
    problems = [
        finding.problem for finding in check_folder(tmp_path, kind=CELLS).findings if "objects" in finding.problem
    ]
    assert len(problems) == 1
    assert problems[0].startswith("marks objects that hardly differ from their surroundings")


def test_bright_objects_are_no_fault_to_fix(tmp_path):
    fixes = fix_folder(_write_cells(tmp_path / "in", count=2), tmp_path / "out", kind=CELLS)
    assert [pair.changes for pair in fixes.pairs] == [(), ()]
    assert fixes.exit_code == 0


def test_a_training_set_tells_its_kind(tmp_path):
    config = load_config("demo", None, ("size=32", "data.field_of_view=frame", "data.structures=any"))
    facts = load_dataset(str(_write_cells(tmp_path)), config).facts
    assert (facts["field_of_view"], facts["structures"]) == CELLS
    assert kind_of({"stage1": facts, "stage2": {}}) == CELLS
    assert kind_of({"stage1": {"pairs": 3}}) == kind_of(None) == RETINA
    with pytest.raises(SynthMedError, match="Option data.field_of_view is frame, but the phantom is a retina"):
        load_dataset("phantom", config)


def test_frames_are_mirrored_at_their_edges():
    line = tf.constant([[-1.5, -1.0, -0.25, 0.25, 1.0, 1.25, 3.25]])
    x, _ = augmentation.mirror(line, line, 4)
    np.testing.assert_allclose(x[0], [-0.5, -0.75, -0.25, 0.25, 0.75, 0.75, -0.75])
    image = np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4, 1)
    shift = tf.constant([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])  # two pixels to the left
    moved = augmentation.apply(tf.constant(image), shift, mirrored=True)
    np.testing.assert_allclose(moved[0, 0, :, 0], [3, 4, 4, 3])
    assert augmentation.apply(tf.constant(image), shift)[0, 0, :, 0].numpy().tolist() == [3, 4, 0, 0]
    data = load_config("demo", None, ("data.field_of_view=frame",)).data
    assert augmentation.ranges_of(data) == augmentation.Ranges(**data.augment.model_dump(), mirrored=True)


def test_maps_of_objects_tell_outline_and_depth():
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    ridge, calibre = np.moveaxis(vessel_maps(mask, 32, "any"), -1, 0)
    np.testing.assert_allclose(ridge[32, 14:18], 0.5 + np.array([-0.75, -0.25, 0.25, 0.75]) / 6, atol=1e-6)
    assert ridge[32, 0] == 0
    assert ridge[32, 32] == 1
    np.testing.assert_allclose(calibre[32, 31], 15.5 / 2 / 12, atol=1e-6)
    np.testing.assert_array_equal(ridge >= 0.5, mask)
    assert not calibre[~mask].any()


def test_a_pyramid_of_frames_is_told_no_place():
    share, base = tf.ones((1, 16, 16, 1)), tf.zeros((1, 16, 16, 3))
    coarse = pyramid.coarse_condition(share, share, base, placed=False)
    conditions = coarse, pyramid.thumbnail_condition(share, share, placed=False)
    assert [tuple(condition.shape) for condition in conditions] == [(1, 16, 16, 7), (1, 4, 4, 19)]
    assert not conditions[0][..., 2:4].numpy().any()
    assert not conditions[1][..., 17:].numpy().any()
    assert pyramid.coarse_condition(share, share, base)[..., 2:4].numpy().any()
