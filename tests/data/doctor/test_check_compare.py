"""The same image twice, and masks that do not lie on their vessels: what the data doctor compares."""

import shutil
from io import BytesIO

import numpy as np
import pytest
from helpers.phantoms import PHANTOM_SIDE
from PIL import Image

from synthmed_tf.data import alignment
from synthmed_tf.data.doctor import duplicates
from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.images import read_image

A, B, C = (f"phantom_0000{i}.png" for i in range(3))


def _again(change):
    def damage(root):
        image = change(Image.open(root / "images" / A))
        image.save(root / "images" / "other.png")
        Image.open(root / "fov" / A).resize(image.size).save(root / "fov" / "other.png")
        mask = change(Image.open(root / "masks" / A).convert("RGB")).convert("L")
        mask.point(lambda value: 255 * (value > 127)).save(root / "masks" / "other.png")

    return damage


def _copied(root):
    for folder in ("images", "fov", "masks"):
        shutil.copyfile(root / folder / A, root / folder / "other.png")


def _as_jpeg(image):
    out = BytesIO()
    image.save(out, "JPEG", quality=40)
    return Image.open(out)


@pytest.mark.parametrize(
    ("damage", "how"),
    [
        (_copied, "byte for byte"),
        (_again(_as_jpeg), "nearly the same"),
        (_again(lambda image: image.resize((130, 130), Image.Resampling.LANCZOS)), "nearly the same"),
        (_again(lambda image: image.crop((5, 3, 156, 154))), "nearly the same"),
        (_again(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), "nearly the same"),
        (_again(lambda image: image.point(lambda value: min(255, int(value * 1.15)))), "nearly the same"),
    ],
    ids=["copy", "JPEG", "resized", "cut", "mirrored", "brighter"],
)
def test_a_photograph_that_is_there_twice_under_two_patients(root, damage, how):
    damage(root)
    found = [f for f in check_folder(root).findings if f.path == "images/phantom_00000.png" and f.severity == "error"]
    found += [f for f in check_folder(root).findings if f.path == "images/other.png" and f.severity == "error"]
    assert len(found) == 1 and how in found[0].problem
    assert "under two patients" in found[0].problem and "other" in found[0].problem


def test_the_same_mask_twice_is_told(root):
    shutil.copy(root / "masks" / A, root / "masks" / B)
    (found,) = [f for f in check_folder(root).findings if "byte for byte" in f.problem]
    assert (found.severity, found.path) == ("error", f"masks/{B}")
    assert f"mask as masks/{A}, under two patients, phantom_00000 and phantom_00001" in found.problem


def test_a_photograph_twice_under_one_patient_is_a_warning(root):
    for kind in ("images", "masks", "fov"):
        shutil.copy(root / kind / A, root / kind / "phantom_00000b.png")
    report = check_folder(root, patient_regex=r"phantom_(\d+)")
    assert report.patients == 4 and report.exit_code == 1
    assert [(f.severity, f.path) for f in report.findings] == [
        ("warning", "images/phantom_00000b.png"),
        ("warning", "masks/phantom_00000b.png"),
    ]
    assert report.findings[0].problem.endswith(f"as images/{A}, twice under the patient 00000")


def test_a_photograph_in_both_parts_of_drive_is_an_error(phantoms, tmp_path):
    for source, part, number in ((A, "training", "21"), (B, "training", "22"), (A, "test", "01")):
        for kind, name in (("images", f"{number}_{part}.png"), ("masks", f"{number}_manual1.png")):
            target = tmp_path / part / {"images": "images", "masks": "1st_manual"}[kind] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantoms / kind / source, target)
    report = check_folder(tmp_path, patient_regex="(2|0)")
    assert report.layout == "drive" and report.exit_code == 2
    found = [f for f in report.findings if f.severity == "error"]
    assert [f.path for f in found] == ["training/1st_manual/21_manual1.png", "training/images/21_training.png"]
    assert found[1].problem.endswith("photograph as test/images/01_test.png, across the splits test and training")


def test_contrast_is_the_difference_of_ring_and_vessel():
    green = np.zeros((256, 256), np.float32)
    coverage = np.zeros((256, 256), np.uint8)
    coverage[:, 120:124] = 255
    green[:, 120:124], green[:, 116:120], green[:, 124:128] = -2, 1, 0
    assert alignment.contrast(green, coverage, np.ones((256, 256), bool)) == pytest.approx(2.5)


def test_detail_does_not_see_slow_light():
    rows, columns = np.mgrid[:256, :256]
    lines = 10.0 * (columns % 16 < 8)
    field = np.hypot(rows - 127.5, columns - 127.5) < 120
    plain, lit = (alignment.detail(lines + slope * rows, field) for slope in (0, 0.5))
    near = np.hypot(rows - 127.5, columns - 127.5) < 90
    np.testing.assert_allclose(plain[near], lit[near], atol=0.05)
    assert not plain[~field].any()


def test_correlation_is_that_of_numpy_at_every_shift():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 8, 8)).astype(np.float32)
    found = alignment.correlation(first, second)
    moved = np.roll(second, (3, 5), (0, 1))
    expected = (first * moved).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert found[3, 5] == pytest.approx(expected, abs=1e-6)


def test_a_mask_that_was_moved_is_found_where_it_belongs(phantoms):
    pixels, mask, fov = (read_image(phantoms / kind / A) for kind in ("images", "masks", "fov"))
    channels = (pixels[..., 1], mask[..., 0], fov[..., 0])
    big = [np.asarray(Image.fromarray(channel).resize((256, 256))) for channel in channels]
    green = alignment.detail(big[0], big[2] >= 128)
    place = alignment.best_place(green, np.roll(big[1], (-9, 14), (0, 1)), big[2] >= 128)
    assert (place.turn, place.down * 256, place.right * 256) == ("", -9, 14)


def test_many_images_are_compared_through_the_gate(phantoms, monkeypatch):
    monkeypatch.setattr(duplicates, "_MANY", 2)
    field = np.ones((PHANTOM_SIDE, PHANTOM_SIDE), bool)
    names = (A, B, A, C)
    prints = [duplicates.fingerprint(read_image(phantoms / "images" / name)[..., 1], field) for name in names]
    assert [pair[:2] for pair in duplicates.same_images(prints)] == [(0, 2)]


def test_flat_images_are_never_the_same():
    field = np.ones((64, 64), bool)
    prints = [duplicates.fingerprint(np.full((64, 64), value, np.uint8), field) for value in (0, 9)]
    assert duplicates.same_images(prints, 0.01) == []
