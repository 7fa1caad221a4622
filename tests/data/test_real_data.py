"""Finding and reading the public sets CHASE_DB1 and HRF, where they are at hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from synthmed_tf.data.preprocessing import VESSEL_THRESHOLD, derive_fov, load_samples, uncrop
from synthmed_tf.data.sources import find_pairs, parse_patients, split_by_patient
from synthmed_tf.images import read_image, read_mask

EIGHT = np.ones((3, 3), bool)


def test_the_real_chase_db1(real_data):
    source = find_pairs(real_data / "chase_db1")
    assert source.layout == "chase_db1" and len(source.pairs) == 28
    assert all(pair.mask and pair.fov for pair in source.pairs)
    train, held = split_by_patient(source.pairs, parse_patients("11-14", source.patients))
    assert len(train) == 20 and {pair.patient for pair in held} == {"11", "12", "13", "14"}


def test_the_real_hrf(real_data):
    source = find_pairs(real_data / "hrf")
    assert source.layout == "hrf" and len(source.patients) == len(source.pairs) == 45
    assert [pair.name for pair in source.pairs if pair.mask is None] == ["11_h", "12_h", "13_h"]


def test_real_chase_db1_at_128(real_data):
    pairs = find_pairs(real_data / "chase_db1").pairs
    samples = load_samples(pairs[:8], 128)
    for pair, sample in zip(pairs, samples, strict=False):
        mask, fov = read_mask(pair.mask), read_mask(pair.fov)
        before = ndimage.label(mask & fov, EIGHT)[1]
        vessel = sample.mask[..., 0] >= VESSEL_THRESHOLD
        assert ndimage.label(vessel, EIGHT)[1] <= before + 2
        assert 1.2 < vessel[sample.fov[..., 0] > 0].mean() / mask[fov].mean() < 1.6
        near = ndimage.binary_dilation(uncrop(vessel, sample.crop), EIGHT, iterations=sample.crop.side // 128)
        assert near[mask & fov].mean() > 0.99


def test_real_field_of_view_agrees_with_the_file(real_data):
    for pair in find_pairs(real_data / "chase_db1").pairs[::7]:
        derived, given = derive_fov(read_image(pair.photograph)), read_mask(pair.fov)
        assert (derived & given).sum() / (derived | given).sum() > 0.94


def test_real_hrf_with_and_without_mask(real_data):
    pairs = {pair.name: pair for pair in find_pairs(real_data / "hrf").pairs}
    labelled, unlabelled = load_samples([pairs["01_h"], pairs["11_h"]], 128)
    assert unlabelled.mask is None and labelled.mask.shape == (128, 128, 1)
    assert (labelled.crop.height, labelled.crop.width) == (2336, 3504)
    area = (labelled.fov > 0).sum() * (labelled.crop.side / 128) ** 2 / (2336 * 3504)
    assert area == pytest.approx(0.849, abs=0.01)
    original = np.asarray(Image.open(pairs["01_h"].photograph).resize((219, 146), Image.Resampling.BOX))
    assert labelled.image[64, 64].astype(int) == pytest.approx(original[73, 110].astype(int), abs=12)
