"""The detail of Stage-II's images at full size, beside photographs, for several numbers of steps of its flows.

    python benchmarks/detail.py --run RUN --data DIR --patient-regex '^([ch]\\d+)' --patients c01-c10,h01-h10 \
        --steps 10,3,1 5,2,1

Images are generated of every `--every`th real mask. Green less its Gaussian average (2 pixels), of 255: standard
deviation and mean in vessels, standard deviation at least 3 pixels away from them, all at least 12 pixels inside the
field of view. A row of `--steps` is the number of steps for thumbnails, for the image of 128 pixels and for full size.
The row `photograph below` starts the last one from the photograph that is averaged to 128 pixels.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from discs import real_pairs
from scipy import ndimage

from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.exporting import exporter
from synthmed_tf.models import latents, pyramid

INSIDE, AWAY, SIGMA = 12, 3, 2.0


def main() -> None:
    """Prints a JSON object a row."""
    options = _options()
    parts = exporter.load_stage2(options.run, latest=True)
    whole = exporter.make_image_generator(parts[0], options.run, parts[1])
    pairs = real_pairs(options, parts[0].config.size)[:: options.every]
    show("photographs", pairs[..., IMAGE], pairs)
    coarse, fine = whole.coarse, whole.fine
    for steps in options.steps or [(coarse.thumbnail_steps, coarse.steps, fine.steps)]:
        coarse.thumbnail_steps, coarse.steps, fine.steps = steps
        show(",".join(map(str, steps)), generated(whole, pairs), pairs)
    show("photograph below", generated(fine, pairs), pairs)


def generated(model: keras.Model, pairs: np.ndarray) -> np.ndarray:
    """Images of the masks of pairs, `(n, size, size, 3)` uint8, by both networks or by the fine one alone."""
    made = []
    for row in range(len(pairs)):
        pair = pairs[row : row + 1]
        condition = np.concatenate([pair[..., COVERAGE], pair[..., FOV]], axis=-1) >= 128
        condition = tf.constant(np.where(condition, 1, -1), tf.float32)
        index = tf.constant([row], tf.int64)
        style = latents.sample(tf.zeros_like(index), index, pyramid.NOISE_KEYS, latents.STYLE)
        if isinstance(model, pyramid.FineRenderer):
            fov, light = (condition[..., 1:] + 1.0) / 2.0, tf.constant(pair[..., IMAGE] / np.float32(127.5) - 1.0)
            image = model(pyramid.averaged(light, fov, pair.shape[1] // 128), condition, style)
        else:
            image = model(condition, style)
        made.append(np.round((image.numpy()[0] + 1.0) * 127.5).astype(np.uint8))
    return np.stack(made)


def show(name: str, images: np.ndarray, pairs: np.ndarray) -> None:
    """Prints the figures of images of the masks of pairs."""
    green = images[..., 1].astype(np.float32)
    detail = green - ndimage.gaussian_filter(green, (0, SIGMA, SIGMA))
    vessel = pairs[..., COVERAGE][..., 0] >= 128
    inside = np.stack([ndimage.binary_erosion(field, iterations=INSIDE) for field in pairs[..., FOV][..., 0] >= 128])
    near = ndimage.maximum_filter(vessel, (1, 2 * AWAY - 1, 2 * AWAY - 1))
    figures = {
        "vessels, SD": detail[inside & vessel].std(),
        "vessels, mean": detail[inside & vessel].mean(),
        "background, SD": detail[inside & ~near].std(),
    }
    print(json.dumps({"of": name} | {key: round(float(value), 2) for key, value in figures.items()}), flush=True)


def _steps(text: str) -> tuple[int, ...]:
    steps = tuple(int(part) for part in text.split(","))
    if len(steps) != 3:
        raise argparse.ArgumentTypeError(f"{text} is not three numbers, such as 10,3,1")
    return steps


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder of the real pairs")
    parser.add_argument("--patients", required=True)
    parser.add_argument("--patient-regex")
    parser.add_argument("--steps", type=_steps, nargs="*", help="rows; those of the run where left out")
    parser.add_argument("--every", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
