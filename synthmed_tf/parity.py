"""The proof that all runtimes draw the same pictures, and that a picture does not depend on its batch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from synthmed_tf.artifact import Artifact
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models.chain import Chain

MOST_GREY_LEVELS = 1
"""Largest difference in a photograph, given the same mask."""

MOST_MASK_SHARE = 1e-5
"""Largest share of mask pixels that differ."""

BATCH_SIZES = (1, 3, 8)
_LEAST_PIXELS = 1_000_000
_LEAST_PICTURES = 24


def compare(chain: Chain, artifacts: list[Artifact]) -> dict[str, Any]:
    """Draws the same pictures in Keras and in each artifact.

    At least 24 pictures and a million mask pixels, in batches of 1, 3 and 8 in turn, against Keras in one batch size.

    Returns:
        For each runtime the share of mask pixels that differ, and the largest difference between its photograph and the
        one that Keras draws from the same mask; with the limits.

    Raises:
        SynthMedError: a limit is passed; the sentence names runtime and figure.
    """
    size = chain.config.size
    count = max(_LEAST_PICTURES, -(-_LEAST_PIXELS // size**2))
    seed = np.arange(count, dtype=np.int64) * 7_919 - 3
    index = np.arange(count, dtype=np.int64) ** 3 * 104_729
    report: dict[str, Any] = {
        "pictures": count,
        "batch_sizes": list(BATCH_SIZES),
        "limits": {"mask_share": MOST_MASK_SHARE, "grey_levels": MOST_GREY_LEVELS},
    }
    reference = _in_eights(chain.pixels, "mask", seed, index)
    for opened in artifacts:
        masks, photographs = _draw(opened, seed, index)
        again = _in_eights(chain.translate, "image", masks, seed, index)
        figures = {
            "mask_share": float(np.mean(masks != reference)),
            "grey_levels": int(np.max(np.abs(photographs.astype(int) - again.astype(int)))),
        }
        report[opened.runtime] = figures
        _check(opened.runtime, figures)
    return report


def _draw(opened: Artifact, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [opened.pixels(seed[part], index[part]) for part in _parts(len(seed), BATCH_SIZES)]
    masks, photographs = zip(*pairs, strict=True)
    return np.concatenate(masks), np.concatenate(photographs)


def _in_eights(function: Callable[..., dict[str, tf.Tensor]], output: str, *inputs: np.ndarray) -> np.ndarray:
    """One output of a function of the chain, whose inputs it is given eight rows at a time."""
    parts = _parts(len(inputs[0]), (8,))
    return np.concatenate([function(*(tf.constant(rows[part]) for rows in inputs))[output].numpy() for part in parts])


def _parts(count: int, batch_sizes: tuple[int, ...]) -> Iterator[slice]:
    start, turn = 0, 0
    while start < count:
        stop = min(count, start + batch_sizes[turn % len(batch_sizes)])
        yield slice(start, stop)
        start, turn = stop, turn + 1


def _check(runtime: str, figures: dict[str, Any]) -> None:
    if figures["mask_share"] > MOST_MASK_SHARE:
        raise SynthMedError(
            f"The {runtime} differs from Keras in {figures['mask_share']:.1e} of the mask pixels, more than "
            f"{MOST_MASK_SHARE:.0e}; nothing was exported."
        )
    if figures["grey_levels"] > MOST_GREY_LEVELS:
        raise SynthMedError(
            f"A photograph of the {runtime} differs from Keras by {figures['grey_levels']} grey levels, more than "
            f"{MOST_GREY_LEVELS}; nothing was exported."
        )
