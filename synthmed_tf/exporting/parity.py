"""The proof that all runtimes generate the same images, and that an image does not depend on its batch.

Files of less precision keep the mask, and what their photographs lose is measured.
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
"""Largest difference in a photograph, given the same mask."""

MOST_MASK_SHARE = 1e-5
"""Largest share of mask pixels that differ."""

MOST_LOSS = {
    "onnx-fp16": {"grey_levels": 4, "mean_grey_levels": 0.1},
    "onnx-int8": {"grey_levels": 32, "mean_grey_levels": 1.0},
}
"""Largest and mean difference in the photographs of a smaller file, given the same mask."""

LEAST_VISIBILITY = 0.98
"""Share of the measure of how photographs show their masks that a smaller file must keep."""

BATCH_SIZES = (1, 3, 8)
_LEAST_PIXELS = 1_000_000
_LEAST_IMAGES = 24


class FromLatent(Artifact):
    """The ONNX file of `from_latent`, given what TensorFlow generates from (seed, index)."""

    runtime = "onnx-latent"

    def __init__(self, file: Path, card: dict[str, Any], chain: Chain):
        super().__init__(card)
        import onnxruntime

        self._stage1, self._style_dim = chain.config.stage1, chain.config.stage2.style_dim
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def pixels(self, seed, index):
        stage, pair = self._stage1, (tf.constant(seed), tf.constant(index))
        feed = {"latent": latents.sample(*pair, stage.latent_dim, latents.LATENT, stage.latent).numpy()}
        if self._style_dim:
            feed["style"] = latents.sample(*pair, self._style_dim, latents.STYLE).numpy()
        return tuple(self._session.run(["mask", "image"], feed))


def compare(chain: Chain, artifacts: list[Artifact], measure: Measure | None = None) -> dict[str, Any]:
    """Generates the same images in Keras and in each artifact.

    At least 24 images and a million mask pixels, in batches of 1, 3 and 8 in turn, against Keras in one batch size.

    Args:
        chain: in Keras.
        artifacts: what was exported.
        measure: how well photographs show their masks; for those of less precision.

    Returns:
        For each runtime the share of mask pixels that differ, and the largest difference between its photograph and the
        one that Keras generates from the same mask; with the limits. For those of less precision the mean difference as
        well, and the measure before and after, each with its own limits.

    Raises:
        SynthMedError: a limit is passed; the sentence names runtime and figure.
    """
    size = chain.config.size
    count = max(_LEAST_IMAGES, -(-_LEAST_PIXELS // size**2))
    seed = np.arange(count, dtype=np.int64) * 7_919 - 3
    index = np.arange(count, dtype=np.int64) ** 3 * 104_729
    report: dict[str, Any] = {
        "images": count,
        "batch_sizes": list(BATCH_SIZES),
        "limits": {"mask_share": MOST_MASK_SHARE, "grey_levels": MOST_GREY_LEVELS},
    }
    reference = _in_eights(chain.pixels, "mask", seed, index)
    for opened in artifacts:
        masks, photographs = _generate(opened, seed, index)
        again = _in_eights(chain.translate, "image", masks, seed, index)
        apart = np.abs(photographs.astype(np.int16) - again)
        figures = {"mask_share": float(np.mean(masks != reference)), "grey_levels": int(apart.max())}
        limits = report["limits"]
        if opened.runtime in MOST_LOSS:
            limits = report["limits"] | MOST_LOSS[opened.runtime] | {"visibility_kept": LEAST_VISIBILITY}
            figures |= {"mean_grey_levels": float(apart.mean()), "limits": limits}
            if measure is not None:
                before, after = measure.of(masks, again), measure.of(masks, photographs)
                figures["visibility"] = {"measure": measure.name, "float32": before, "reduced": after}
        report[opened.runtime] = figures
        _check(opened.runtime, figures, limits)
    return report


def _generate(opened: Artifact, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _check(runtime: str, figures: dict[str, Any], limits: dict[str, Any]) -> None:
    said = None
    if figures["mask_share"] > limits["mask_share"]:
        said = (
            f"The {runtime} differs from Keras in {figures['mask_share']:.1e} of the mask pixels, more than "
            f"{limits['mask_share']:.0e}"
        )
    elif figures["grey_levels"] > limits["grey_levels"]:
        said = (
            f"A photograph of the {runtime} differs from Keras by {figures['grey_levels']} grey levels, more than "
            f"{limits['grey_levels']}"
        )
    elif figures.get("mean_grey_levels", 0.0) > limits.get("mean_grey_levels", 0.0):
        said = (
            f"The photographs of the {runtime} differ from Keras by {figures['mean_grey_levels']:.2f} grey levels on "
            f"average, more than {limits['mean_grey_levels']}"
        )
    elif "visibility" in figures:
        before, after = figures["visibility"]["float32"], figures["visibility"]["reduced"]
        if after < before - (1 - LEAST_VISIBILITY) * abs(before):
            said = (
                f"The photographs of the {runtime} show their masks less: {figures['visibility']['measure']} is "
                f"{after:.3f}, and {before:.3f} in float32, of which at least {LEAST_VISIBILITY:.0%} must be kept"
            )
    if said:
        raise SynthMedError(f"{said}; nothing was exported.")
