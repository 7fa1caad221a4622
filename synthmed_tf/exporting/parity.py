"""Checks that all runtimes generate the same images, and that an image does not depend on its batch.

Files of lower precision keep the mask; the loss of their images is measured.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.exporting.label_visibility import Measure
from synthmed_tf.models import latents
from synthmed_tf.models.chained_generator import Chain

MOST_GREY_LEVELS = 1
"""Largest difference in an image, given the same mask."""

MOST_MASK_SHARE = 1e-5
"""Largest share of mask pixels that differ where one threshold makes the mask."""

MOST_MASK_SHARE_BY_PIECES = 1e-4
"""The same where pieces are kept as wholes (`mask_refiner.find_vessels`): one rounding can flip a branch."""

MOST_LOSS = {
    "onnx-fp16": {"grey_levels": 4, "mean_grey_levels": 0.1},
    "onnx-int8": {"grey_levels": 32, "mean_grey_levels": 1.0},
}
"""Largest and mean difference in the images of a smaller file, given the same mask."""

LEAST_VISIBILITY = 0.98
"""Share of the label visibility (how well images show their masks) that a smaller file must keep."""

BATCH_SIZES = (1, 3, 8)
_LEAST_PIXELS = 1_000_000
_LEAST_IMAGES = 24


class FromLatent(Artifact):
    """The ONNX file of `from_latent`, with latents that TensorFlow computes from (seed, index)."""

    runtime = "onnx-latent"

    def __init__(self, file: Path, card: dict[str, Any], chain: Chain):
        super().__init__(card)
        import onnxruntime

        self._stage1, self._style_dim = chain.config.stage1, chain.config.stage2.style_dim
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stage, pair = self._stage1, (tf.constant(seed), tf.constant(index))
        feed = {"latent": latents.sample(*pair, stage.latent_dim, latents.LATENT, stage.latent).numpy()}
        if self._style_dim:
            feed["style"] = latents.sample(*pair, self._style_dim, latents.STYLE).numpy()
        mask, image = self._session.run(["mask", "image"], feed)
        return mask, image


def compare(chain: Chain, artifacts: list[Artifact], measure: Measure | None = None) -> dict[str, Any]:
    """Generates the same images in Keras and in each artifact.

    At least 24 images and a million mask pixels, in batches of 1, 3 and 8 in turn, against Keras in one batch size.

    Args:
        chain: in Keras.
        artifacts: the exported files.
        measure: how well images show their masks; for files of lower precision.

    Returns:
        For each runtime the share of mask pixels that differ, and the largest difference between its image and the
        image that Keras generates from the same mask; with the limits. For files of lower precision also the mean
        difference, and the measure before and after, with limits of their own.

    Raises:
        SynthMedError: a limit is exceeded; the sentence names the runtime and the value.
    """
    size = chain.config.size
    count = max(_LEAST_IMAGES, -(-_LEAST_PIXELS // size**2))
    seed = np.arange(count, dtype=np.int64) * 7_919 - 3
    index = np.arange(count, dtype=np.int64) ** 3 * 104_729
    by_pieces = chain.config.stage1.architecture == "coarse_to_fine"
    mask_share = MOST_MASK_SHARE_BY_PIECES if by_pieces else MOST_MASK_SHARE
    report: dict[str, Any] = {
        "images": count,
        "batch_sizes": list(BATCH_SIZES),
        "limits": {"mask_share": mask_share, "grey_levels": MOST_GREY_LEVELS},
    }
    reference = _in_batches(chain.pixels, "mask", seed, index)
    for opened in artifacts:
        masks, images = _generate(opened, seed, index)
        again = _in_batches(chain.translate, "image", masks, seed, index)
        apart = np.abs(images.astype(np.int16) - again)
        results: dict[str, Any] = {"mask_share": float(np.mean(masks != reference)), "grey_levels": int(apart.max())}
        limits = report["limits"]
        if opened.runtime in MOST_LOSS:
            limits = report["limits"] | MOST_LOSS[opened.runtime] | {"visibility_kept": LEAST_VISIBILITY}
            results |= {"mean_grey_levels": float(apart.mean()), "limits": limits}
            if measure is not None:
                before, after = measure.of(masks, again), measure.of(masks, images)
                results["visibility"] = {"measure": measure.name, "float32": before, "reduced": after}
        report[opened.runtime] = results
        _check(opened.runtime, results, limits)
    return report


def _generate(opened: Artifact, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [opened.pixels(seed[part], index[part]) for part in _parts(len(seed), BATCH_SIZES)]
    masks, images = zip(*pairs, strict=True)
    return np.concatenate(masks), np.concatenate(images)


def _in_batches(function: Callable[..., dict[str, tf.Tensor]], output: str, *inputs: np.ndarray) -> np.ndarray:
    """One output of a function of the chain, computed for eight rows at a time."""
    parts = _parts(len(inputs[0]), (8,))
    return np.concatenate([function(*(tf.constant(rows[part]) for rows in inputs))[output].numpy() for part in parts])


def _parts(count: int, batch_sizes: tuple[int, ...]) -> Iterator[slice]:
    start, turn = 0, 0
    while start < count:
        stop = min(count, start + batch_sizes[turn % len(batch_sizes)])
        yield slice(start, stop)
        start, turn = stop, turn + 1


def _check(runtime: str, results: dict[str, Any], limits: dict[str, Any]) -> None:
    said = None
    if results["mask_share"] > limits["mask_share"]:
        said = (
            f"The {runtime} differs from Keras in {results['mask_share']:.1e} of the mask pixels, more than "
            f"{limits['mask_share']:.0e}"
        )
    elif results["grey_levels"] > limits["grey_levels"]:
        said = (
            f"An image of the {runtime} differs from Keras by {results['grey_levels']} grey levels, more than "
            f"{limits['grey_levels']}"
        )
    elif results.get("mean_grey_levels", 0.0) > limits.get("mean_grey_levels", 0.0):
        said = (
            f"The images of the {runtime} differ from Keras by {results['mean_grey_levels']:.2f} grey levels on "
            f"average, more than {limits['mean_grey_levels']}"
        )
    elif "visibility" in results:
        before, after = results["visibility"]["float32"], results["visibility"]["reduced"]
        if after < before - (1 - LEAST_VISIBILITY) * abs(before):
            said = (
                f"The images of the {runtime} show their masks less: {results['visibility']['measure']} is "
                f"{after:.3f}, and {before:.3f} in float32, of which at least {LEAST_VISIBILITY:.0%} must be kept"
            )
    if said:
        raise SynthMedError(f"{said}; nothing was exported.")
