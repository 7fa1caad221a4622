"""The counter-based generator: known answers, statistics, and independence of the batch."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from synthmed_tf.models import latents


def _words(*values):
    return tuple(tf.constant([value], tf.uint32) for value in values)


def _generate(seed, index, dim=100, stream=latents.LATENT, distribution="normal"):
    return latents.sample(tf.constant(seed, tf.int64), tf.constant(index, tf.int64), dim, stream, distribution).numpy()


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers_of_random123(key, counter, expected):
    assert tuple(int(x[0]) for x in latents.threefry_2x32(_words(*key), _words(*counter))) == expected


def test_a_row_does_not_depend_on_its_batch():
    alone = _generate([5], [11])
    among = _generate([3, 5, -1], [0, 11, 2**62])
    np.testing.assert_array_equal(among[1], alone[0])


def test_graphs_share_one_trace():
    """For any number of rows and of numbers, and any stream: a second graph calls the function of the first."""
    traces = []
    for rows, dim, stream in ((1, 3, latents.LATENT), (4, 700, latents.STYLE)):
        sample = tf.function(lambda index, dim=dim, stream=stream: latents.sample(index, index, dim, stream))
        graph = sample.get_concrete_function(tf.TensorSpec((rows,), tf.int64))
        assert graph.output_shapes == (rows, dim)
        assert "RightShift" not in {operation.type for operation in graph.graph.get_operations()}
        traces.append(latents._encrypted.experimental_get_tracing_count())
    assert traces[0] == traces[1] >= 1


def test_seeds_and_indices_use_all_64_bits():
    rows = _generate([0, 1, 2**32, -1, 0, 0, 0], [0, 0, 0, 0, 1, 2**32, -1], dim=16)
    assert len(np.unique(rows, axis=0)) == 7


def test_normal_moments():
    generates = _generate(np.full(4000, 7), np.arange(4000)).ravel().astype(np.float64)
    count = generates.size
    assert abs(generates.mean()) < 4 / np.sqrt(count)
    assert abs(generates.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs(stats.skew(generates)) < 4 * np.sqrt(6 / count)
    assert abs(stats.kurtosis(generates)) < 4 * np.sqrt(24 / count)
    assert stats.kstest(generates[:50_000], "norm").pvalue > 1e-3


def test_uniform_moments():
    generates = _generate(np.full(4000, 7), np.arange(4000), distribution="uniform").ravel().astype(np.float64)
    assert abs(generates.mean()) < 4 / np.sqrt(3 * generates.size)
    assert stats.kstest(generates[:50_000], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert generates.min() > -1 and generates.max() < 1


def test_unit_is_uniform_in_zero_to_one():
    unit = latents.sample_uniform(tf.zeros(500, tf.int64), tf.range(500, dtype=tf.int64), 6, 3).numpy()
    assert unit.min() > 0 and unit.max() < 1
    assert abs(unit.mean() - 0.5) < 4 / np.sqrt(12 * unit.size)


def test_dimensions_are_not_correlated():
    correlation = np.corrcoef(_generate(np.zeros(8000), np.arange(8000), dim=32).T)
    off_diagonal = correlation[~np.eye(32, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(8000)


@pytest.mark.parametrize("neighbour", ["index", "seed", "stream"])
def test_neighbours_are_not_correlated(neighbour):
    here = _generate(np.full(2000, 3), np.arange(2000), dim=32).ravel()
    there = {
        "index": lambda: _generate(np.full(2000, 3), np.arange(1, 2001), dim=32),
        "seed": lambda: _generate(np.full(2000, 4), np.arange(2000), dim=32),
        "stream": lambda: _generate(np.full(2000, 3), np.arange(2000), dim=32, stream=latents.STYLE),
    }[neighbour]().ravel()
    assert abs(np.corrcoef(here, there)[0, 1]) < 4 / np.sqrt(here.size)


def test_quantiles_are_symmetric_and_the_inverse_distribution_function():
    table = latents.quantiles("normal").astype(np.float64)
    np.testing.assert_array_equal(table, -table[::-1])
    np.testing.assert_allclose(stats.norm.cdf(table), (np.arange(65_536) + 0.5) / 65_536, atol=2e-8)


def test_an_unknown_distribution_is_named():
    with pytest.raises(ValueError, match="Received: distribution='cauchy'"):
        latents.quantiles("cauchy")
