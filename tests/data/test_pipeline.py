"""The input stream: its order, its resumption, its split over replicas, and joint augmentation."""

import itertools

import numpy as np
import pytest

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.data.sample import Crop, Sample

NOTHING = augmentation.Ranges()
EVERYTHING = augmentation.Ranges(True, True, 20.0, 0.15, 0.1, 0.05)


def _pairs(count=5, size=16):
    """Pair i is recognised by its image's constant value, 10 i."""
    pairs = np.full((count, size, size, 5), 255, np.uint8)
    for i in range(count):
        pairs[i, ..., :3] = 10 * i
    return pairs


def _take(dataset, count):
    return [{name: value.numpy() for name, value in batch.items()} for batch in itertools.islice(dataset, count)]


def _rows(batches):
    return [int(round((x[0, 0, 0] + 1) * 12.75)) for batch in batches for x in batch["image"]]


def test_each_epoch_is_a_permutation_and_epochs_differ():
    rows = _rows(_take(pipeline.batches(_pairs(), 5, seed=1, ranges=NOTHING), 4))
    epochs = [rows[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_seed_alone_decides():
    first = _take(pipeline.batches(_pairs(), 4, seed=3, ranges=EVERYTHING), 4)
    again = _take(pipeline.batches(_pairs(), 4, seed=3, ranges=EVERYTHING), 4)
    for one, other in zip(first, again, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert _rows(first) != _rows(_take(pipeline.batches(_pairs(), 4, seed=4, ranges=NOTHING), 4))


@pytest.mark.parametrize("start", [4, 8, 12])
def test_a_stream_goes_on_where_it_was(start):
    whole = _take(pipeline.batches(_pairs(), 4, seed=3, ranges=EVERYTHING), 5)
    rest = _take(pipeline.batches(_pairs(), 4, seed=3, ranges=EVERYTHING, start=start), 5 - start // 4)
    for one, other in zip(whole[start // 4 :], rest, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_replicas_and_workers_share_the_global_batch():
    whole = _take(pipeline.batches(_pairs(), 8, seed=3, ranges=EVERYTHING), 2)
    two_replicas = _take(pipeline.batches(_pairs(), 8, seed=3, ranges=EVERYTHING, replicas=2), 4)
    workers = [
        _take(pipeline.batches(_pairs(), 8, seed=3, ranges=EVERYTHING, replicas=4, worker=w, workers=2), 4)
        for w in range(2)
    ]
    for step in range(2):
        for name, expected in whole[step].items():
            halves = [two_replicas[2 * step + r][name] for r in range(2)]
            np.testing.assert_allclose(np.concatenate(halves), expected, atol=2e-6)
            quarters = [workers[w][2 * step + r][name] for w in range(2) for r in range(2)]
            np.testing.assert_allclose(np.concatenate(quarters), expected, atol=2e-6)


def test_image_coverage_and_field_of_view_move_together():
    pairs = np.zeros((1, 32, 32, 5), np.uint8)
    pairs[..., 4] = 255
    pairs[0, 8:14, 5:20, :] = 255
    for batch in _take(pipeline.batches(pairs, 2, seed=0, ranges=EVERYTHING), 5):
        inside = batch["fov"]
        np.testing.assert_allclose((batch["image"][..., :1] + 1) / 2 * inside, batch["coverage"], atol=1e-5)
        assert set(np.unique(inside)) <= {0.0, 1.0}
        assert np.all(batch["image"][np.broadcast_to(inside == 0, batch["image"].shape)] == -1.0)


def test_ranges_of_values():
    pairs = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 5)).astype(np.uint8)
    pairs[..., 4] = 255
    (batch,) = _take(pipeline.batches(pairs, 3, seed=0, ranges=NOTHING), 1)
    rows = sorted(map(bytes, np.round((batch["image"] + 1) * 127.5).astype(np.uint8)))
    assert rows == sorted(bytes(np.ascontiguousarray(pair[..., :3])) for pair in pairs)
    assert batch["coverage"].max() <= 1.0 and batch["index"].tolist() == [0, 1, 2]


def test_on_disk_and_in_memory_hold_the_same(tmp_path):
    samples = [
        Sample(
            str(i),
            str(i),
            np.full((8, 8, 3), i, np.uint8),
            mask,
            np.full((8, 8, 1), 255, np.uint8),
            Crop(0, 0, 8, 8, 8),
        )
        for i, mask in enumerate([np.full((8, 8, 1), 200, np.uint8), None])
    ]
    on_disk = pipeline.stack_samples(samples, tmp_path / "pairs.npy")
    assert isinstance(on_disk, np.memmap)
    np.testing.assert_array_equal(on_disk, pipeline.stack_samples(samples))
    assert on_disk[0, 0, 0].tolist() == [0, 0, 0, 200, 255] and on_disk[1, 0, 0].tolist() == [1, 1, 1, 0, 255]
