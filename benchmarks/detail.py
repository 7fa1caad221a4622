"""The detail of Stage-II's images at full size, beside photographs, for several numbers of steps of its flows.

    python benchmarks/detail.py --run RUN --data DIR --patient-regex '^([ch]\\d+)' --patients c01-c10,h01-h10 \
        --steps 10,3,1 5,2,1

Images are generated of every fifth real mask. Green less its Gaussian average (2 pixels), of 255: standard
deviation and mean in vessels, standard deviation at least 3 pixels away from them, all at least 12 pixels inside the
field of view. A row of `--steps` is the number of steps for thumbnails, for the image of 128 pixels and for full size.
The row `photograph below` starts the last one from the photograph that is averaged to 128 pixels.
"""

import argparse
import json

import keras
import numpy as np
import tensorflow as tf
from discs import data_options
from exchange import real_pairs
from scipy import ndimage

from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.exporting import exporter
from synthmed_tf.models import flow, latents, pyramid

EVERY, INSIDE, AWAY, SIGMA = 5, 12, 3, 2.0


def main() -> None:
    """Prints a JSON object a row."""
    parser = data_options(__doc__)
    parser.add_argument("--steps", type=_steps, nargs="*", help="rows; those of the run where left out")
    options = parser.parse_args()
    parts = exporter.load_stage2(options.run, latest=True)
    whole = exporter.make_image_generator(parts[0], options.run, parts[1])
    pairs = real_pairs(options.data, options.patients, parts[0].config.size, options.patient_regex)[::EVERY]
    show("photographs", pairs[..., IMAGE], pairs)
    coarse, fine = whole.coarse, whole.fine
    for steps in options.steps or [(coarse.thumbnail_steps, coarse.steps, fine.steps)]:
        coarse.thumbnail_steps, coarse.steps, fine.steps = steps
        show(",".join(map(str, steps)), generated(whole, pairs, coarse.size), pairs)
    show("photograph below", generated(fine, pairs, coarse.size), pairs)


def generated(model: keras.Model, pairs: np.ndarray, below: int) -> np.ndarray:
    """Images of the masks of pairs, `(n, size, size, 3)` uint8, by both networks or by the fine one alone."""
    made = []
    for row in range(len(pairs)):
        pair = pairs[row : row + 1]
        condition = np.concatenate([pair[..., COVERAGE], pair[..., FOV]], axis=-1) >= 128
        condition = tf.constant(np.where(condition, 1, -1), tf.float32)
        index = tf.constant([row], tf.int64)
        style = latents.sample(tf.zeros_like(index), index, flow.NOISE_KEYS, latents.STYLE)
        if isinstance(model, pyramid.FineRenderer):
            fov, light = (condition[..., 1:] + 1.0) / 2.0, tf.constant(pair[..., IMAGE] / np.float32(127.5) - 1.0)
            image = model(pyramid.averaged(light, fov, pair.shape[1] // below), condition, style)
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


if __name__ == "__main__":
    main()
