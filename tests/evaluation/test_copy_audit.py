"""Copies of procedural trees are told from honest pairs, however they were augmented."""

import io

import numpy as np
import pytest
from helpers import evaluating
from PIL import Image

from synthmed_tf.evaluation import copy_audit
from synthmed_tf.evaluation.copies import threshold
from synthmed_tf.evaluation.copy_audit import SEARCHES
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.evaluation.transforms import Transform

pytestmark = pytest.mark.once

SIDE, COPIED, COUNT = 96, 2, 18
MASK, WHOLE_IMAGE = slice(0, 3), SEARCHES.index("image whole")


@pytest.fixture(scope="module")
def real():
    return evaluating.generated(SIDE, range(COUNT))


@pytest.fixture(scope="module")
def gallery(real):
    return copy_audit.RealGallery(real)


@pytest.fixture(scope="module")
def other():
    return evaluating.generated(SIDE, range(4), seed=9)


@pytest.fixture(scope="module")
def limits(real, gallery):
    impostors = copy_audit.search_copies(real, None, gallery, np.eye(COUNT, dtype=bool))
    return copy_audit.thresholds(impostors["score"], 500)


def _above(block, gallery, limits):
    found = copy_audit.search_copies(block, None, gallery)
    return found, found["score"] - limits


def _one(image, mask, field):
    return Block(image[None], mask[None], field[None])


def _moved(real, transform):
    image = np.stack([transform.warp(real.images[COPIED, ..., c] / 255.0) for c in range(3)], axis=-1)
    warped = np.rint(255 * image).astype(np.uint8)
    return _one(warped, transform.warp(real.masks[COPIED]), transform.warp(real.fields[COPIED]))


def _jpeg(block):
    file = io.BytesIO()
    Image.fromarray(block.images[0]).save(file, "JPEG", quality=40)
    return _one(np.asarray(Image.open(file)), block.masks[0], block.fields[0])


@pytest.mark.parametrize(
    "transform",
    [
        Transform(),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (
                Transform(rotation=10),
                Transform(right=0.08, down=-0.05),
                Transform((True, False)),
                Transform((False, True)),
            )
        ),
        Transform((True, True), -8, 1.06, 0.03, 0.02),
    ],
)
def test_a_copy_is_found_with_its_original_however_it_was_moved(transform, real, gallery, limits):
    found, above = _above(_moved(real, transform), gallery, limits)
    assert (above[0, MASK] > 0).all() and above[0, WHOLE_IMAGE] > 0
    assert (found["real"][0, MASK] == COPIED).all() and found["real"][0, WHOLE_IMAGE] == COPIED
    assert copy_audit.transform_of(found["transform"][0, 0]).flips == transform.flips


def test_a_copy_is_found_by_its_mask_under_any_image(real, gallery, limits, other):
    """As when Stage-II generates an image from a training mask."""
    field = real.fields[COPIED]
    found, above = _above(_one(other.images[0], real.masks[COPIED], field), gallery, limits)
    assert (above[0, MASK] > 0).all() and above[0, WHOLE_IMAGE] < 0


def test_a_compressed_and_recoloured_copy_is_found(real, gallery, limits):
    moved = _jpeg(_moved(real, Transform((True, False), 10, 1.0, 0.04, 0.03)))
    recoloured = Block(moved.images[..., ::-1] // 2 + 30, moved.masks, moved.fields)
    found, above = _above(recoloured, gallery, limits)
    assert (above[0, MASK] > 0).all() and found["real"][0, 0] == COPIED


def test_half_a_tree_is_found_by_its_window(real, gallery, limits, other):
    spliced = other.masks[0].copy()
    spliced[: SIDE // 2] = Transform(rotation=4).warp(real.masks[COPIED])[: SIDE // 2]
    found, above = _above(_one(other.images[0], spliced, other.fields[0]), gallery, limits)
    half = SEARCHES.index("mask half")
    assert above[0, half] > 0 and found["real"][0, half] == COPIED
    assert copy_audit.place_name(found["place"][0, half]) == "top"


def test_a_copied_image_under_another_mask_is_found_by_what_is_seen_in_it(real, gallery, limits, other):
    block = _one(real.images[COPIED], other.masks[0], other.fields[0])
    found = copy_audit.search_copies(block, real.masks[COPIED][None], gallery)
    whole = SEARCHES.index("segmented whole")
    assert found["score"][0, whole] > 0.9 and found["real"][0, whole] == COPIED
    assert found["score"][0, WHOLE_IMAGE] > 0.99 and found["real"][0, WHOLE_IMAGE] == COPIED
    assert found["score"][0, 0] < limits[0]


def test_other_trees_are_no_copies(gallery, limits, other):
    _, above = _above(other, gallery, limits)
    assert np.nanmax(above) < 0


def test_what_was_not_segmented_is_left_out(gallery, other):
    found = copy_audit.search_copies(evaluating.picked(other, [0]), None, gallery)
    left = [name.startswith("segmented") for name in SEARCHES]
    np.testing.assert_array_equal(np.isnan(found["score"][0]), left)
    np.testing.assert_array_equal(found["real"][0] == -1, left)
    assert found["similarity"].shape == (1, COUNT)


def test_augmented_pairs_are_found_at_their_originals(real, gallery, limits):
    rows = np.arange(6)
    augmented = copy_audit.search_copies(
        copy_audit.augmented(evaluating.picked(real, rows), np.random.default_rng(0)), None, gallery
    )
    own = augmented["real"] == rows[:, None]
    made = list(copy_audit.searches(augmented["score"], augmented["score"], augmented["score"], own, limits))
    assert [search.name for search in made] == [SEARCHES[i] for i in (0, 1, 2, 6, 7)]
    assert made[0].recall == 1 and made[0].works and made[0].copies == 6
    assert made[0].recall_low == pytest.approx(0.025 ** (1 / 6))


def test_what_is_found_at_another_original_is_no_recall():
    scores, own = np.full((10, 8), 0.9), np.ones((10, 8), bool)
    own[:2] = False
    [search, *_] = copy_audit.searches(np.zeros((3, 8)), np.full((4, 8), 0.3), scores, own, np.full(8, 0.5))
    assert (search.recall, search.works, search.copies, search.highest_impostor) == (0.8, False, 0, 0.3)


def test_the_level_is_shared_by_the_searches():
    scores = np.random.default_rng(0).uniform(0.2, 0.4, (30, 8))
    scores[:, 3:6] = np.nan
    found = copy_audit.thresholds(scores, 1000)
    assert np.isnan(found[3:6]).all()
    assert found[7] == threshold(scores[:, 7], 1000, level=0.01)


def test_windows_that_held_too_little_say_nothing_of_impostors():
    scores = np.random.default_rng(0).uniform(0.2, 0.4, (30, 8))
    scores[:5, 2], scores[1:, 1] = 0, 0
    found = copy_audit.thresholds(scores, 1000)
    assert found[2] == threshold(scores[5:, 2], 1000, level=0.05 / 8)
    assert found[1] == 1.0


def test_three_in_n_copies_are_not_excluded():
    assert copy_audit.most_copies(1000) == pytest.approx(0.0029912, abs=1e-7)
    assert copy_audit.most_copies(1) == pytest.approx(0.95)
