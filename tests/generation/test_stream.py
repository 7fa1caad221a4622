"""Pairs in a stream: in order, with a bounded number between the generator and the disk."""

import threading

import numpy as np
import pytest

from synthmed_tf.generation import stream


class Generator:
    """Generates a pair's index into its corner; counts the pairs that were generated."""

    generated = 0

    def pixels(self, seed, index):
        self.generated += len(index)
        masks = np.zeros((len(index), 2, 2, 1), np.uint8)
        images = np.zeros((len(index), 2, 2, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = index, seed
        return masks, images


def _corner(pair):
    assert pair.mask.shape == (2, 2, 1)
    return pair.index, *map(int, pair.image[0, 0, :2])


def test_pairs_come_in_order_in_any_batch():
    for batch_size in (1, 3, 7, 50):
        got = list(stream.encoded(Generator(), 9, iter(range(5, 25)), _corner, batch_size, workers=3))
        assert got == [(index, index, 9) for index in range(5, 25)]


def test_no_more_than_a_few_batches_wait_for_the_disk():
    generator = Generator()
    for taken, _ in enumerate(stream.encoded(generator, 1, range(200), _corner, batch_size=2, workers=2), start=1):
        assert generator.generated - taken <= 4 * 2 + 2
    assert generator.generated == taken == 200


def test_encoding_overlaps_with_drawing():
    """The second batch is generated while the first is still being encoded; otherwise this would wait for ever."""
    second = threading.Event()

    class Second(Generator):
        def pixels(self, seed, index):
            if self.generated:
                second.set()
            return super().pixels(seed, index)

    def wait(pair):
        assert second.wait(30)
        return pair.index

    assert list(stream.encoded(Second(), 1, range(4), wait, batch_size=2, workers=1)) == [0, 1, 2, 3]


def test_what_fails_in_a_thread_is_raised():
    def fail(pair):
        if pair.index == 3:
            raise OSError(28, "No space left on device")
        return pair.index

    got = []
    with pytest.raises(OSError, match="No space left"):
        got.extend(stream.encoded(Generator(), 1, range(9), fail, batch_size=2))
    assert got == [0, 1, 2]


def test_what_was_begun_is_ended_when_the_reader_goes():
    ended = []
    results = stream.parallel(lambda item: ended.append(item), iter(range(100)), workers=2, ahead=5)
    next(results)
    results.close()
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]
