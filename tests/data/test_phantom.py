import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, label

from synthmed_tf.data.phantom import (
    generate_eye,
    generate_phantom,
    generate_phantoms,
    rasterise,
    resolved,
    write_phantoms,
)
from synthmed_tf.data.phantom_tree import Vessel, murray_angles
from synthmed_tf.data.sample import Crop
from synthmed_tf.errors import SynthMedError

TREES = [generate_eye(11, index)[1] for index in range(6)]


@pytest.fixture(scope="module")
def phantoms():
    return generate_phantoms(256, 20, 5)


def branchings(vessels):
    for position, parent in enumerate(vessels):
        children = [v for v in vessels if v.parent == position]
        if children:
            yield parent, children


def vessel_pixels(sample):
    return sample.mask[..., 0] >= 128


def contrast(photograph, where, excluded, fov):
    """Mean of green over `where`, divided by the field's own light about it, vessels left out."""
    green, free = photograph[..., 1].astype(float), (fov & ~excluded).astype(float)
    background = gaussian_filter(green * free, 6) / np.maximum(gaussian_filter(free, 6), 1e-6)
    return (green[where] / background[where]).mean()


def test_sample_has_the_promised_arrays():
    sample = generate_phantom(64, 3, 12)
    assert (sample.name, sample.patient, sample.crop) == ("phantom_00012", "0012", Crop(0, 0, 64, 64, 64))
    assert [(a.shape, a.dtype) for a in (sample.image, sample.mask, sample.fov)] == [
        ((64, 64, 3), np.uint8),
        ((64, 64, 1), np.uint8),
        ((64, 64, 1), np.uint8),
    ]
    assert np.unique(sample.fov).tolist() == [0, 255]


def test_field_is_the_disc_that_fills_the_square():
    row, column = np.mgrid[:48, :48] - 23.5
    np.testing.assert_array_equal(generate_phantom(48, 0, 0).fov[..., 0] > 0, np.hypot(row, column) <= 24)


def test_same_arguments_give_the_same_bytes_in_any_number_of_threads():
    alone, together = generate_phantoms(64, 4, 2), generate_phantoms(64, 4, 2, workers=3)
    for a, b in zip(alone, together, strict=True):
        assert a.name == b.name
        assert a.image.tobytes() == b.image.tobytes()
        assert a.mask.tobytes() == b.mask.tobytes()


@pytest.mark.parametrize("seed, index", [(0, 1), (1, 0)])
def test_another_index_or_seed_gives_another_eye(seed, index):
    first, other = generate_phantom(64, 0, 0), generate_phantom(64, seed, index)
    overlap = (vessel_pixels(first) & vessel_pixels(other)).sum() / vessel_pixels(first).sum()
    assert overlap < 0.5


def test_left_and_right_eyes_both_occur():
    discs = [generate_eye(0, index)[0].disc[0] for index in range(20)]
    assert 3 <= sum(x < 0.5 for x in discs) <= 17


@pytest.mark.parametrize("size, highest", [(64, 0.125), (256, 0.11)])
def test_share_of_vessels_in_the_field(size, highest, phantoms):
    samples = phantoms if size == 256 else generate_phantoms(size, 20, 5)
    shares = [vessel_pixels(s).sum() / (s.fov > 0).sum() for s in samples]
    assert min(shares) > 0.07
    assert max(shares) < highest


@pytest.mark.parametrize("vessels", TREES)
def test_every_branching_obeys_murrays_law(vessels):
    found = list(branchings(vessels))
    assert len(found) > 20
    for parent, children in found:
        assert len(children) == 2
        assert sum(v.radii[0] ** 3 for v in children) == pytest.approx(parent.radii[-1] ** 3, rel=1e-12)


def test_angles_of_equal_children_are_murrays():
    major, minor = murray_angles(1.0, 2 ** (-1 / 3), 2 ** (-1 / 3))
    assert math.degrees(major) == pytest.approx(37.467, abs=1e-3)
    assert minor == major


def test_generated_angles_follow_murrays_optimum():
    differences = []
    for vessels in TREES:
        for parent, (one, other) in branchings(vessels):
            if parent.parent >= 0:
                bearings = [math.atan2(*(v.points[1] - v.points[0])[::-1]) for v in (one, other)]
                generated = abs((bearings[0] - bearings[1] + math.pi) % (2 * math.pi) - math.pi)
                differences.append(generated - sum(murray_angles(parent.radii[-1], one.radii[0], other.radii[0])))
    assert abs(np.median(differences)) < 0.05
    assert np.abs(differences).max() < 0.5


@pytest.mark.parametrize("vessels", TREES)
def test_each_vessel_begins_where_its_parent_ends(vessels):
    assert sorted(v.kind for v in vessels if v.parent < 0) == ["artery", "vein"]
    for position, vessel in enumerate(vessels):
        assert vessel.parent < position
        assert (np.diff(vessel.radii) <= 0).all()
        if vessel.parent >= 0:
            parent = vessels[vessel.parent]
            assert parent.kind == vessel.kind
            np.testing.assert_array_equal(parent.points[-1], vessel.points[0])


def test_roots_lie_on_the_disc_and_vessels_avoid_the_fovea():
    for index in range(6):
        eye, vessels = generate_eye(11, index)
        for vessel in vessels:
            away = np.linalg.norm(vessel.points - eye.fovea, axis=1)
            assert away.min() > eye.fovea_radius - 0.006
            if vessel.parent < 0:
                assert np.linalg.norm(vessel.points - eye.disc, axis=1).max() < eye.disc_radius


def test_arteries_are_two_thirds_to_four_fifths_of_the_veins():
    for vessels in TREES:
        width = {v.kind: v.radii[0] for v in vessels if v.parent < 0}
        assert 0.66 < width["artery"] / width["vein"] < 0.81


def test_mask_is_one_connected_tree_through_the_disc(phantoms):
    for index, sample in enumerate(phantoms):
        parts, _ = label(vessel_pixels(sample), np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        assert sizes.max() > 0.9 * sizes.sum()
        eye = generate_eye(5, index)[0]
        row, column = np.mgrid[:256, :256] / 256
        on_disc = np.hypot(column - eye.disc[0], row - eye.disc[1]) < eye.disc_radius
        assert (parts[on_disc] == sizes.argmax()).any()


@pytest.mark.parametrize("size", [32, 65, 256])
def test_outside_the_field_all_is_zero(size):
    sample = generate_phantom(size, 1, 1)
    outside = sample.fov[..., 0] == 0
    assert not sample.image[outside].any()
    assert not sample.mask[outside].any()
    assert (sample.image[~outside].max(-1) > 0).mean() > 0.999


def test_geometry_agrees_across_sizes(phantoms):
    for index in range(8):
        large = phantoms[index].mask.reshape(128, 2, 128, 2).mean((1, 3))
        small = generate_phantom(128, 5, index).mask[..., 0]
        assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.88
    huge = generate_phantom(512, 5, 0).mask.reshape(256, 2, 256, 2).mean((1, 3))
    assert np.corrcoef(huge.ravel(), phantoms[0].mask.ravel())[0, 1] > 0.98


def test_small_images_hold_the_widest_vessels_with_their_parents():
    for vessels in TREES:
        few = resolved(vessels, 64)
        kept = {id(v) for v in few}
        assert 0.3 < len(few) / len(vessels) < 0.8
        assert all(v.parent < 0 or id(vessels[v.parent]) in kept for v in few)
        assert len(resolved(vessels, 256)) == len(vessels)


def test_mask_is_the_coverage_of_the_painted_geometry():
    sample, vessels = generate_phantom(256, 11, 0), TREES[0]
    expected = np.clip(rasterise(vessels, 256)[0] + 0.5, 0, 1) * (sample.fov[..., 0] > 0)
    np.testing.assert_array_equal(sample.mask[..., 0], np.rint(expected * 255))


def test_coverage_of_a_straight_vessel():
    vessel = Vessel("vein", -1, np.array([(0.25, 0.5), (0.75, 0.5)]), np.full(2, 2 / 32))
    cover = np.clip(rasterise([vessel], 32)[0] + 0.5, 0, 1)
    np.testing.assert_allclose(cover[12:20, 16], [0, 0, 1, 1, 1, 1, 0, 0], atol=1e-5)
    shifted = Vessel("vein", -1, vessel.points + (0, 0.25 / 32), vessel.radii)
    cover = np.clip(rasterise([shifted], 32)[0] + 0.5, 0, 1)
    np.testing.assert_allclose(cover[12:20, 16], [0, 0, 0.75, 1, 1, 1, 0.25, 0], atol=1e-5)


def test_vessel_thinner_than_a_pixel_is_one_pixel_wide():
    vessel = Vessel("vein", -1, np.array([(0.2, 15.5 / 32), (0.8, 15.5 / 32)]), np.full(2, 0.001))
    cover = np.clip(rasterise([vessel], 32)[0] + 0.5, 0, 1)
    np.testing.assert_allclose(cover[13:18, 16], [0, 0, 1, 0, 0], atol=1e-5)


def test_vessels_are_darker_than_what_lies_about_them(phantoms):
    for sample in phantoms:
        vessels, fov = vessel_pixels(sample), sample.fov[..., 0] > 0
        assert 0.5 < contrast(sample.image, vessels, vessels, fov) < 0.85


def test_arteries_are_brighter_than_veins(phantoms):
    for index in range(8):
        sample, vessels = phantoms[index], generate_eye(5, index)[1]
        inside = {kind: rasterise([v for v in vessels if v.kind == kind], 256)[0] >= 0.5 for kind in ("artery", "vein")}
        fov, every = sample.fov[..., 0] > 0, vessel_pixels(sample)
        artery = contrast(sample.image, inside["artery"] & ~inside["vein"] & fov, every, fov)
        vein = contrast(sample.image, inside["vein"] & ~inside["artery"] & fov, every, fov)
        assert artery > vein + 0.05


@pytest.mark.parametrize("size", [31, 1025, 64.0, "64", True])
def test_bad_size_is_a_sentence(size):
    with pytest.raises(SynthMedError, match=r"size must be a whole number from 32 to 1024\. Received: size="):
        generate_phantom(size, 0, 0)


@pytest.mark.parametrize("seed, index, name", [(-1, 0, "seed"), (0, -1, "index")])
def test_negative_seed_or_index_is_a_sentence(seed, index, name):
    with pytest.raises(SynthMedError, match=f"{name} must be a whole number of 0 or more. Received: {name}=-1."):
        generate_phantom(64, seed, index)


def test_written_folder_holds_the_generated_pixels(tmp_path):
    write_phantoms(tmp_path / "set", 64, 3, 9)
    assert sorted(p.relative_to(tmp_path / "set").as_posix() for p in tmp_path.rglob("*.png")) == [
        f"{part}/phantom_0000{index}.png" for part in ("fov", "images", "masks") for index in range(3)
    ]
    sample = generate_phantom(64, 9, 2)
    read = {
        part: np.asarray(Image.open(tmp_path / "set" / part / "phantom_00002.png"))
        for part in ("images", "masks", "fov")
    }
    np.testing.assert_array_equal(read["images"], sample.image)
    np.testing.assert_array_equal(read["masks"], np.where(vessel_pixels(sample), 255, 0))
    np.testing.assert_array_equal(read["fov"], sample.fov[..., 0])
