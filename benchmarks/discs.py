"""How bright the discs of Stage-II's thumbnails are, on real and on generated masks.

    python benchmarks/discs.py --run RUN --data DIR --patient-regex '^([ch]\\d+)' --patients c01-c10,h01-h10 --masks SET

A thumbnail has 32 x 32 pixels for an image of 128 or more. The contrast of its disc is the mean of its 8 brightest
pixels less its median, in green, inside the field of view, of 255. Prints the median over photographs, over thumbnails
of their masks, and over thumbnails of the masks of SET, a set of `synthmed generate`; two noises for each mask.
Stage-II alone has to be trained; its newest checkpoint is used.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from exchange import real_pairs

from synthmed_tf import images
from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.models import factory, flow, latents, pyramid
from synthmed_tf.training import snapshot

BRIGHTEST, MASKS, STYLES, AT_ONCE = 8, 32, 2, 8


def main() -> None:
    """Prints one JSON object."""
    parser = data_options(__doc__)
    parser.add_argument("--masks", type=Path, required=True, help="a set, whose masks are taken")
    options = parser.parse_args()
    part = snapshot.load(options.run / "stage2" / "snapshot")
    network = factory.image_generator(part.config)
    snapshot.restore(network, part, options.run / "stage2" / "snapshot")
    small = part.config.coarse_size
    pairs = real_pairs(options.data, options.patients, part.config.size, options.patient_regex)
    masks = set_masks(options)
    fields = np.repeat(part.fov[None], len(masks), axis=0)
    of = {
        "photographs": photographs(pairs, small),
        "real masks": thumbnails(network, pairs[..., COVERAGE], pairs[..., FOV], small),
        "generated masks": thumbnails(network, masks, fields, small),
    }
    found = {name: round(float(np.median(contrast(*shown))), 1) for name, shown in of.items()}
    print(json.dumps({"step": part.step} | found))


def set_masks(options: argparse.Namespace) -> np.ndarray:
    """The first masks of a set, `(n, size, size, 1)` uint8 in {0, 255}."""
    files = sorted((options.masks / "masks").glob("*.png"))[:MASKS]
    masks = np.stack([images.read_mask(file) for file in files])[..., None]
    return np.where(masks, 255, 0).astype(np.uint8)


def photographs(pairs: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails of photographs, as `thumbnails`."""
    factor = pairs.shape[1] // size * pyramid.THUMBNAIL_FACTOR
    fov = tf.constant(pairs[..., FOV] / np.float32(255))
    shown = pyramid.averaged(tf.constant(pairs[..., IMAGE] / np.float32(127.5) - 1), fov, factor)
    return shown.numpy(), pyramid.pooled(fov, factor).numpy()


def thumbnails(
    network: pyramid.CoarseRenderer, masks: np.ndarray, fields: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails `(STYLES * n, side, side, 3)` in [-1, 1] and the share of each pixel in the field of view."""
    condition = np.concatenate([np.where(masks >= 128, 1, -1), np.where(fields >= 128, 1, -1)], axis=-1)
    condition = np.tile(condition.astype(np.float32), (STYLES, 1, 1, 1))
    made, shares = [], []
    for start in range(0, len(condition), AT_ONCE):
        coverage, fov = pyramid.reduced(tf.constant(condition[start : start + AT_ONCE]), size)
        index = tf.range(start, start + len(coverage), dtype=tf.int64)
        style = latents.sample(tf.zeros_like(index), index, flow.NOISE_KEYS, latents.STYLE)
        made.append(network.thumbnail(coverage, fov, style))
        shares.append(pyramid.pooled(fov))
    return np.concatenate(made), np.concatenate(shares)


def contrast(shown: np.ndarray, shares: np.ndarray) -> list[float]:
    """The contrast of each disc."""
    greens = [(image[..., 1][share[..., 0] >= 1] + 1) * 127.5 for image, share in zip(shown, shares, strict=True)]
    return [float(np.sort(green)[-BRIGHTEST:].mean() - np.median(green)) for green in greens]


def data_options(description: str) -> argparse.ArgumentParser:
    """A parser of the run and of its real pairs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder of the real pairs")
    parser.add_argument("--patients", required=True)
    parser.add_argument("--patient-regex")
    return parser


if __name__ == "__main__":
    main()
